package lab

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/pdquant/pdquant/datasets"
	"github.com/pdquant/pdquant/models"
	"github.com/pdquant/pdquant/models/arch"
)

// ErrMissing is of a network whose weights or data aren't on this machine.
var ErrMissing = errors.New("lab: missing")

// Subject is a trained network with images to calibrate and test it on.
type Subject struct {
	arch.Trained
	Network *models.Network
	Weights models.Weights
	Pool    datasets.Pool
	Test    datasets.Stream
}

// subject reads the network called name and its data, of which dir has a folder for each set, and checkpoints.
// It is ErrMissing, with what is missing and where to get it, if they aren't there.
func subject(dir, name string, tests int) (Subject, error) {
	s := Subject{}
	var err error
	if s.Trained, err = arch.Find(name); err != nil {
		return s, err
	}
	set, err := datasets.FindSet(s.Data)
	if err != nil {
		return s, err
	}
	if s.Pool, s.Test, err = images(set, filepath.Join(dir, s.Data)); err != nil {
		return s, err
	}
	if s.Test, err = s.Test.Evenly(tests); err != nil {
		return s, err
	}
	path, err := checkpoint(s.Trained, dir)
	if err != nil {
		return s, err
	}
	s.Network, s.Weights, err = s.Load(path, arch.SquareInput(set.Channels, set.Size, set.Classes))
	return s, err
}

// images reads a data set from its folder, or what of it is built in.
func images(set datasets.Set, dir string) (datasets.Pool, datasets.Stream, error) {
	o := datasets.OpenOptions{Dir: dir, Images: datasets.ImageNetConfig()}
	if _, err := os.Stat(dir); err != nil {
		if set.Name != "fashion-mnist" {
			return nil, nil, fmt.Errorf("%w: images of %s: %s", ErrMissing, set.Name, set.Get)
		}
		o.Dir = ""
	}
	train := filepath.Join(dir, "train_lossless_8068.bin") // the part of CIFAR-10 that the command reproduce takes
	if _, err := os.Stat(train); err != nil || set.Name != "cifar10" {
		return set.Open(o)
	}
	pool, err := datasets.CIFAR10(train)
	if err != nil {
		return nil, nil, err
	}
	test, err := datasets.CIFAR10(filepath.Join(dir, "test_first1017.bin"))
	pool.Mean, pool.Std = datasets.ImageNetMoments() // as the published networks' trainer normalises
	test.Mean, test.Std = pool.Mean, pool.Std
	return pool, test, err
}

// checkpoint returns where a network's weights are; "": built in.
func checkpoint(t arch.Trained, dir string) (string, error) {
	if t.File == "" {
		return "", nil
	}
	for _, path := range []string{filepath.Join(root(), "testdata", t.Data, t.File), filepath.Join(dir, "checkpoints", t.File)} {
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("%w: weights %s: %s", ErrMissing, t.File, t.Page)
}
