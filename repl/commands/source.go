package commands

import (
	"errors"

	"github.com/pdquant/pdquant/datasets"
	"github.com/pdquant/pdquant/pdq/experiment"
	"github.com/pdquant/pdquant/repl/shell"
)

// dataOptions are the options that say where images are and what to make of them.
func dataOptions() []shell.Option {
	return []shell.Option{
		option("data", "", "name of a data set, or a folder or file in any known format; empty: what the network was "+
			"trained on"),
		option("like", "", "take a preset's settings for another architecture: mobilenetv2; empty: the network's own, or "+
			"for an ONNX file those that its convolutions suggest"),
		option("input", "", "ONNX files: the images among several inputs"),
		option("output", "", "ONNX files: the logits among several outputs"),
		option("units", "", "ONNX files: how they are cut: a pattern of blocks' names, layer\\d+\\.\\d+, or a file with a "+
			"line for each unit: its name, first and last layer, separated by tabs"),
		option("root", "data", "folder of data sets by their names, and of checkpoints"),
		option("labels", "", "image folders: file that labels a folder without a folder per class"),
		option("calibration", "", "image folders: file that labels the images to calibrate on; needs evaluation"),
		option("evaluation", "", "image folders: file that labels the images to test on; needs calibration"),
		option("size", "", "image folders, and ONNX files that leave it open: pixels of an image, or height x width: 32x40; "+
			"empty: the network's, mostly 224"),
		option("resize", "", "image folders: pixels of the shorter side before size is cut out; empty: the network's, "+
			"mostly 256/224 of size"),
		option("interpolation", "", "image folders: how images are resized, bilinear or bicubic; empty: the network's"),
		option("crop", "random", "image folders: calibrate on random parts of images, as the reference, or on their centre"),
		option("corrupt", "error", "image folders: a file that can't be decoded is an error, or skip: left out and counted"),
		option("mean", "", "what pixels are normalised with, a number a channel; empty: the network's, or the format's"),
		option("std", "", "as mean"),
	}
}

// sourceOf reads the options of dataOptions, and checkpoint.
func sourceOf(v shell.Values) (src experiment.Source, err error) {
	src = experiment.Source{Checkpoint: v["checkpoint"], Data: v["data"], Root: v["root"], Labels: v["labels"],
		Lists: datasets.Lists{Calibration: v["calibration"], Test: v["evaluation"]},
		Like:  v["like"], Input: v["input"], Output: v["output"], Units: v["units"]}
	if src.Images, err = datasets.ParseImageOptions(v["size"], v["resize"], v["interpolation"], v["mean"],
		v["std"]); err != nil {
		return src, err
	}
	src.Centred, src.Images.SkipCorrupt = v["crop"] == "centre", v["corrupt"] == "skip"
	return src, firstLine(errors.Join(v.OneOf("crop", "random", "centre"), v.OneOf("corrupt", "error", "skip")))
}
