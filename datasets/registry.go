package datasets

import (
	"errors"
	"fmt"
	"os"
	"strings"
)

// Set is a data set that this kit knows by name.
type Set struct {
	Name                    string
	About                   string // what it is
	Get                     string // how to get it
	Channels, Size, Classes int    // of its images as networks take them
	open                    func(o OpenOptions) (Pool, Stream, error)
}

// OpenOptions says where a data set's files are, and what to make of them.
type OpenOptions struct {
	Dir     string      // folder of its files; "" : what is built in
	Labels  string      // ImageNet only: file that labels a flat val/; "": val/ has a folder per class
	Images  ImageConfig // ImageNet only
	Centred bool        // ImageNet only: calibrate on the images' centres, not on random parts as the reference does
}

// Sets lists the data sets by name.
func Sets() []Set {
	return []Set{
		{"cifar10", "CIFAR-10: 50,000 training and 10,000 test images",
			"the command download cifar10 (170 MB from the University of Toronto), or the files of either of its archives", 3, 32, 10, openCIFAR10},
		{"fashion-mnist", "Fashion-MNIST: 60,000 training images, 2,048 of them built in, and 10,000 test images, built in",
			"the command download fashion-mnist (31 MB from Zalando), or Debian's package dataset-fashion-mnist", 1, 28, 10, openFashionMNIST},
		{"imagenet", "ImageNet (ILSVRC 2012): 1,281,167 training and 50,000 validation images",
			"register at image-net.org; unpack to train/ and val/ with one folder per class, or a flat val/ with a file of labels", 3, 224, 1000, openImageNet},
	}
}

// FindSet returns the data set called name. The error lists the names.
func FindSet(name string) (Set, error) {
	var names []string
	for _, s := range Sets() {
		if s.Name == name {
			return s, nil
		}
		names = append(names, s.Name)
	}
	return Set{}, fmt.Errorf("datasets: no data set is called %q; choose one of %s", name, strings.Join(names, ", "))
}

// Open returns the images to calibrate on, of the training part, and those to test on.
func (s Set) Open(o OpenOptions) (Pool, Stream, error) {
	if o.Dir != "" {
		if info, err := os.Stat(o.Dir); err != nil || !info.IsDir() {
			return nil, nil, fmt.Errorf("datasets: %s is in no folder %s; %s", s.Name, o.Dir, s.Get)
		}
	}
	if o.Labels != "" && s.Name != "imagenet" {
		return nil, nil, fmt.Errorf("datasets: a file of labels for %s, which has its own; leave it out", s.Name)
	}
	return s.open(o)
}

func openCIFAR10(o OpenOptions) (Pool, Stream, error) {
	if o.Dir == "" {
		return nil, nil, errors.New("datasets: none of cifar10 is built in; give its folder")
	}
	train, test, err := OpenCIFAR10(o.Dir)
	// As the published networks' trainers normalise.
	train.Mean, train.Std = ImageNetMoments()
	test.Mean, test.Std = train.Mean, train.Std
	return train, test, err
}

func openFashionMNIST(o OpenOptions) (Pool, Stream, error) {
	if o.Dir != "" {
		train, test, err := FashionMNIST(o.Dir)
		return train, test, err
	}
	pool, err := FashionMNISTCalibration()
	if err != nil {
		return nil, nil, err
	}
	test, err := FashionMNISTTest()
	return pool, test, err
}

func openImageNet(o OpenOptions) (Pool, Stream, error) {
	if o.Dir == "" {
		return nil, nil, errors.New("datasets: none of imagenet is built in; give its folder, which has train/ and val/")
	}
	train, val, err := OpenImageNet(o.Dir, o.Labels)
	if err != nil {
		return nil, nil, err
	}
	if len(train.Classes) != 1000 {
		return nil, nil, fmt.Errorf("datasets: %s has %d classes, ImageNet 1000: labels of a part of it are other numbers than networks were trained with; complete the data", o.Dir, len(train.Classes))
	}
	return Files{train, o.Images, !o.Centred}, Files{val, o.Images, false}, nil
}
