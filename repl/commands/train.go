package commands

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"github.com/pdquant/pdquant/datasets"
	"github.com/pdquant/pdquant/models"
	"github.com/pdquant/pdquant/models/arch"
	"github.com/pdquant/pdquant/models/checkpoint"
	"github.com/pdquant/pdquant/pdq"
	"github.com/pdquant/pdquant/pdq/backend"
	"github.com/pdquant/pdquant/pdq/experiment"
	"github.com/pdquant/pdquant/repl/shell"
)

func (e *engine) trainCommand() command {
	return command{
		Name: "train", Group: groupPrograms,
		Help: "train a teacher on the whole of Fashion-MNIST and write it as safetensors",
		Options: []shell.Option{
			option("teacher", "resnet8", "network: "+strings.Join(arch.Designs(), ", ")),
			option("epochs", "8", "passes over the 60,000 training images"),
			option("seed", "1", "of initial weights, order and augmentation"),
			option("data", "/usr/share/datasets/fashion-mnist", "folder with the four IDX files"),
			option("backend", "auto", "auto, go, onnx, xla, ..."),
			option("out", "models/arch/teachers", "folder to write TEACHER.safetensors to"),
		},
		Run: e.alone(trainTeacher),
	}
}

func trainTeacher(c *call) error {
	v := c.Values
	training := arch.DefaultTraining()
	var err error
	if training.Epochs, err = v.Number("epochs", 1, 10000); err != nil {
		return err
	}
	seed, err := v.Number("seed", 0, 1<<31)
	if err != nil {
		return err
	}
	training.Seed = uint64(seed)
	folder, err := experiment.CreateFolder(v["out"]) // before the hours of training
	if err != nil {
		return fmt.Errorf("repl: out=%s: %w", v["out"], err)
	}
	images, test, err := datasets.FashionMNIST(v["data"])
	if err != nil {
		return err
	}
	n, err := arch.Design(v["teacher"],
		arch.Input{Channels: images.Channels, Height: images.Height, Width: images.Width, Classes: len(images.Classes)})
	if err != nil {
		return err
	}
	b, note, err := backend.Open(v["backend"])
	if err != nil {
		return err
	}
	c.Note("%s", note)
	start := time.Now()
	w, err := arch.Train(c.Context, b, n, images, training, c.progress.attach(training.Epochs))
	c.progress.done()
	if err != nil {
		return err
	}
	seconds := time.Since(start).Seconds()
	score, err := pdq.EvaluateTeacher(c.Context, b, experiment.Suited(pdq.MachineConfig{}, b), n, w, test, nil)
	if err != nil {
		return err
	}
	acc, stderror := score.Accuracy()
	return c.writeTeacher(folder, v["teacher"]+".safetensors", w, map[string]string{
		"network": n.Name, "data": images.Name + ", normalised with mean " + fmt.Sprint(images.Mean) + " and deviation " +
			fmt.Sprint(images.Std),
		"command":  "go run ./repl " + c.Line(),
		"settings": fmt.Sprintf("%+v", training),
		"top1":     fmt.Sprintf("%.2f%% of %d test images, standard error %.2f", 100*acc, test.Len(), 100*stderror),
		"seconds":  fmt.Sprintf("%.0f", seconds), "backend": b.String(),
	})
}

func (c *call) writeTeacher(folder experiment.Folder, name string, w models.Weights, record map[string]string) error {
	var file bytes.Buffer
	if err := checkpoint.WriteWeights(&file, w, record); err != nil {
		return err
	}
	if err := folder.Write(name, file.Bytes()); err != nil {
		return err
	}
	c.Print("%s: %s, %s s, %d bytes", folder.Path(name), record["top1"], record["seconds"], file.Len())
	return nil
}
