package experiment

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/pdquant/pdquant/datasets"
	"github.com/pdquant/pdquant/models"
	"github.com/pdquant/pdquant/models/arch"
	"github.com/pdquant/pdquant/pdq"
)

// ErrMissing is the error of Open where images or weights aren't on this machine. The message says how to get them.
var ErrMissing = errors.New("experiment: missing")

// missing returns err as ErrMissing.
func missing(err error) error {
	if errors.Is(err, ErrMissing) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrMissing, err)
}

// Subject is a network to quantise, with its images.
type Subject struct {
	Source  Source // what Open was given; zero: the subject was made otherwise
	Name    string // the registry's, or the architecture's
	Design  string // the architecture
	Like    string // what presets take the network for, as Source.Like; "": Design
	Data    string // name of the data set: one of datasets.Sets, or the last element of a path
	About   string // the data set in a line: format, numbers of images, shape, classes
	Network *models.Network
	Weights models.Weights
	File    File                 // the ONNX file that network and weights are read from
	Origin  string               // where the weights come from, as "shipped"
	Record  map[string]string    // how a shipped network was trained, as arch.Teacher has it; nil: others
	Trained arch.Trained         // the registry's entry, with accuracies on Data; zero: it has none
	Images  datasets.ImageConfig // what image files become, before Source.Images
	Pool    datasets.Pool        // images to calibrate on
	Test    datasets.Stream      // images to test on
	Tested  string               // what those are: "test images", or others of the training files
	Notes   []string             // what the user should know, a line each
}

// Source says where a Subject's network and images are.
type Source struct {
	Name       string // in the registry, as "resnet20-cifar10"; an architecture with Checkpoint, as "resnet34"; a file
	Like       string // what presets take the network for, as "mobilenetv2"; "": what it is, or for a file looks like
	Input      string // ONNX files: the images among several inputs
	Output     string // ONNX files: the logits among several outputs
	Units      string // ONNX files: how they are cut into units, as onnx.Cut takes it
	Statistics int    // images for Subject.Measured, which whoever opens the Source calls; 0: none
	Checkpoint string // file of the weights; "": the registry's file in Root, or the built-in weights
	Set        string // name of the data set, which Data has if that is given, too; "": Data, or the registry's network's
	Data       string // data set: a name, or the path of a folder or file; "": Set in Root, or what is built in
	Root       string // folder of data sets by name, and of checkpoints/ with published weights; "": data

	Images  datasets.ImageOptions // changes to how image files become the network's images; moments of all data
	Labels  string                // image folders: file that labels a folder without a folder per class
	Lists   datasets.Lists        // image folders: files that label those to calibrate on and those to test on
	Centred bool                  // image folders: calibrate on centres of images, not on random parts as the reference

	Tests     int    // test images, in equal distances; 0: all
	Indices   string // file with the pool's images to calibrate on, a number a line; "": the whole pool
	Fixed     bool   // each seed calibrates on the first of Indices in their order, instead of drawing its own from them
	Held      int    // test on n images of the pool that aren't calibrated on, to choose settings; 0: on the test images
	Distorted bool   // with Held: half of these get noise, half are blurred
}

// DefaultRoot is the Root of a Source that names none.
const DefaultRoot = "data"

// Open finds a network and its images. The data set says how many channels and classes the network has, and of what
// size its images are; an ONNX file says so itself. What isn't on this machine is ErrMissing.
func Open(src Source) (Subject, error) {
	s, err := src.open()
	if err != nil {
		return s, err
	}
	s.Source, s.Like = src, src.Like
	_, err = pdq.Paper(s.Architecture(), 4, 4) // whether it is known
	return s, err
}

// Architecture returns what presets know the network by.
func (s Subject) Architecture() string {
	if s.Like != "" {
		return s.Like
	}
	return s.Design
}

func (src Source) open() (Subject, error) {
	if IsONNX(src.Name) {
		return src.openONNX()
	}
	s := Subject{Name: src.Name, Design: src.Name, Tested: "test images"}
	trained, err := arch.Find(src.Name)
	if err == nil {
		s.Design = trained.Design
	} else if src.Checkpoint == "" {
		return s, fmt.Errorf("%w; or give an architecture with its checkpoint and data set", err)
	}
	s.Images = arch.Preprocessing(s.Design)
	data, err := src.data(trained, s.Images)
	if err != nil {
		return s, err
	}
	s.Data, s.About, s.Pool, s.Test = data.Name, data.String(), data.Pool, data.Test
	if s.Data == trained.Data {
		s.Trained = trained
	}
	if data.Divided {
		s.Tested = "images that aren't calibrated on"
	}
	files, pictures := data.Pool.(datasets.Files)
	if pictures && s.Images.String() != datasets.ImageNetConfig().String() {
		s.Notes = append(s.Notes, fmt.Sprintf("images as %s takes them, but for what options say: %v", s.Design,
			files.Config))
	}
	path, err := src.checkpoint(trained)
	if err != nil {
		return s, err
	}
	in := arch.Input{Channels: data.Channels, Height: data.Height, Width: data.Width, Classes: len(data.Classes)}
	if set, err := datasets.FindSet(trained.Data); err == nil && data.Numbered() && (pictures || src.Checkpoint == "") {
		in.Classes = max(in.Classes, set.Classes) // the last ones may have no images
	}
	if s, err = load(s, path, in); err != nil {
		return s, err
	}
	return src.split(s)
}

// OpenData opens the data set alone, as Open does for a network whose image files are made as images says.
func (src Source) OpenData(images datasets.ImageConfig) (datasets.Data, error) {
	trained, err := arch.Find(src.Name)
	if err != nil {
		trained = arch.Trained{} // no data of its own
	}
	return src.data(trained, images)
}

// data opens the data set: the one that is given, or the one that t was trained on. Image files become the network's
// images as images says, but for what src changes.
func (src Source) data(t arch.Trained, images datasets.ImageConfig) (datasets.Data, error) {
	o := datasets.OpenOptions{Labels: src.Labels, Lists: src.Lists, Images: src.Images.Apply(images),
		Centred: src.Centred}
	name := src.Set
	switch {
	case name != "":
		o.Dir = src.Data
	case src.Data != "":
		name = src.Data
	case t.Data != "":
		name = t.Data
	default:
		return datasets.Data{}, fmt.Errorf("experiment: %s comes with no data set; give one by name or path", src.Name)
	}
	if set, err := datasets.FindSet(name); err == nil && o.Dir == "" {
		o.Dir = SetFolder(set.Name, src.root())
	}
	d, err := datasets.Open(name, o)
	if errors.Is(err, fs.ErrNotExist) {
		err = missing(err)
	}
	return d, err
}

func (src Source) root() string {
	if src.Root == "" {
		return DefaultRoot
	}
	return src.Root
}

// SetFolder returns where the data set called name is looked for, or belongs: its folder in root; "": it is built in,
// and its folder isn't there.
func SetFolder(name, root string) string {
	dir := filepath.Join(root, name)
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) && name == "fashion-mnist" {
		return ""
	}
	return dir
}

// WeightsFile returns where t's weights are looked for, or belong: in this repository, or the folder checkpoints in
// root; "": they are built in.
func WeightsFile(t arch.Trained, root string) string {
	if t.File == "" {
		return ""
	}
	kept := filepath.Join("testdata", t.Data, t.File) // this repository has one
	for _, dir := range []string{".", ".."} {
		if _, err := os.Stat(filepath.Join(dir, kept)); err == nil {
			return filepath.Join(dir, kept)
		}
	}
	return filepath.Join(root, "checkpoints", t.File)
}

// checkpoint returns the file of the weights, which are t's unless others are given; "": they are built in.
func (src Source) checkpoint(t arch.Trained) (string, error) {
	if src.Checkpoint != "" {
		return src.Checkpoint, nil
	}
	path := WeightsFile(t, src.root())
	if path == "" {
		return "", nil
	}
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("%w: weights %s: get %s from %s", ErrMissing, path, t.File, t.Page)
	}
	return path, nil
}
