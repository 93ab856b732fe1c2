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
	"github.com/pdquant/pdquant/models/checkpoint"
)

// ErrMissing is the error of Open where images or weights aren't on this machine. The message says how to get them.
var ErrMissing = errors.New("experiment: missing")

// Subject is a network to quantise, with its images.
type Subject struct {
	Name    string // the registry's, or the architecture's
	Design  string // the architecture, which decides a preset's settings
	Data    string // name of the data set
	Network *models.Network
	Weights models.Weights
	Origin  string          // where the weights come from, as "shipped"
	Trained arch.Trained    // the registry's entry, with published accuracies; zero: the network isn't in the registry
	Pool    datasets.Pool   // images to calibrate on
	Test    datasets.Stream // images to test on
	Tested  string          // what those are: "test images", or held-out training images
}

// Source says where a Subject's network and images are.
type Source struct {
	Name       string // in the registry, as "resnet20-cifar10"; or an architecture, as "resnet34", with Set and Checkpoint
	Checkpoint string // file of the weights; "": the registry's file in Root, or the built-in weights
	Set        string // name of the data set; "": the one that the registry's network was trained on
	Data       string // the data set's folder; "": Root and the set's name, or what is built in
	Root       string // folder of data sets, and of checkpoints/ with published weights; "": data

	Labels      string // ImageNet: file that labels a flat val/
	Centred     bool   // ImageNet: calibrate on the centres of images, not on random parts as the reference does
	SkipCorrupt bool   // ImageNet: leave out files that can't be decoded, instead of an error

	Tests     int    // test images, in equal distances; 0: all
	Indices   string // file with the pool's images to calibrate on, a number a line; "": the whole pool
	Fixed     bool   // each seed calibrates on the first of Indices in their order, instead of drawing its own from them
	Held      int    // test on n images of the pool, which aren't calibrated on, to choose settings by; 0: on the test images
	Distorted bool   // with Held: half of these get noise, half are blurred
}

// Open finds a network and its images. What isn't on this machine is ErrMissing.
func Open(src Source) (Subject, error) {
	if src.Root == "" {
		src.Root = "data"
	}
	s := Subject{Name: src.Name, Design: src.Name, Data: src.Set, Tested: "test images"}
	trained, err := arch.Find(src.Name)
	if err == nil {
		s.Trained, s.Design = trained, trained.Design
		if s.Data == "" {
			s.Data = trained.Data
		}
	} else if src.Checkpoint == "" || src.Set == "" {
		return s, fmt.Errorf("%w; or give an architecture with its checkpoint and the name of its data set", err)
	}
	set, err := datasets.FindSet(s.Data)
	if err != nil {
		return s, err
	}
	if s.Pool, s.Test, err = src.images(set); err != nil {
		return s, err
	}
	if s.Network, s.Weights, s.Origin, err = src.network(s, set); err != nil {
		return s, err
	}
	return src.split(s)
}

// images opens the data set.
func (src Source) images(set datasets.Set) (datasets.Pool, datasets.Stream, error) {
	o := datasets.OpenOptions{Dir: src.Data, Labels: src.Labels, Images: datasets.ImageNetConfig(), Centred: src.Centred}
	o.Images.SkipCorrupt = src.SkipCorrupt
	if o.Dir == "" {
		o.Dir = filepath.Join(src.Root, set.Name)
		if _, err := os.Stat(o.Dir); errors.Is(err, fs.ErrNotExist) {
			if set.Name != "fashion-mnist" {
				return nil, nil, fmt.Errorf("%w: images of %s in %s: %s", ErrMissing, set.Name, o.Dir, set.Get)
			}
			o.Dir = ""
		}
	}
	return set.Open(o)
}

// network loads the network and its weights, and says where these come from.
func (src Source) network(s Subject, set datasets.Set) (*models.Network, models.Weights, string, error) {
	if s.Trained.Name == "" {
		n, err := arch.Design(s.Design, arch.SquareInput(set.Channels, set.Size, set.Classes))
		if err != nil {
			return nil, nil, "", err
		}
		w, err := checkpoint.Load(src.Checkpoint, n)
		return n, w, "weights of " + src.Checkpoint, err
	}
	path, err := src.checkpoint(s.Trained)
	if err != nil {
		return nil, nil, "", err
	}
	n, w, err := s.Trained.Load(path, arch.SquareInput(set.Channels, set.Size, set.Classes))
	if path == "" {
		return n, w, "shipped", err
	}
	return n, w, "weights of " + path, err
}

// checkpoint returns the file of t's weights; "": they are built in.
func (src Source) checkpoint(t arch.Trained) (string, error) {
	if src.Checkpoint != "" || t.File == "" {
		return src.Checkpoint, nil
	}
	shipped := filepath.Join("testdata", t.Data, t.File) // this repository has one
	for _, dir := range []string{".", ".."} {
		if _, err := os.Stat(filepath.Join(dir, shipped)); err == nil {
			return filepath.Join(dir, shipped), nil
		}
	}
	path := filepath.Join(src.Root, "checkpoints", t.File)
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("%w: weights %s: get %s from %s", ErrMissing, path, t.File, t.Page)
	}
	return path, nil
}
