package datasets

import (
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// Set is a data set that this kit knows by name.
type Set struct {
	Name                    string
	About                   string // what it is
	Get                     string // how to get it
	Channels, Size, Classes int    // of its images as networks take them
	open                    func(o OpenOptions) (Data, error)
}

// Sets lists the data sets by name.
func Sets() []Set {
	return []Set{
		{"cifar10", "CIFAR-10: 50,000 training and 10,000 test images", getCIFAR10, 3, 32, 10, openCIFAR10},
		{"fashion-mnist", "Fashion-MNIST: 60,000 training images, 2,048 of them built in, and 10,000 test images, built in",
			getFashionMNIST, 1, 28, 10, openFashionMNIST},
		{"imagenet", "ImageNet (ILSVRC 2012): 1,281,167 training and 50,000 validation images",
			getImageNet, 3, 224, 1000, openImageNet},
	}
}

// How to get the sets.
const (
	getCIFAR10 = "the command download cifar10 (170 MB from the University of Toronto), " +
		"or the files of either of its archives"
	getFashionMNIST = "the command download fashion-mnist (31 MB from Zalando), or Debian's package dataset-fashion-mnist"
	getImageNet     = "register at image-net.org; unpack to train/ and val/ with one folder per class, " +
		"or a flat val/ with a file of labels"
)

// FindSet returns the data set called name. The error lists the names.
func FindSet(name string) (Set, error) {
	for _, s := range Sets() {
		if s.Name == name {
			return s, nil
		}
	}
	return Set{}, fmt.Errorf("datasets: no data set is called %q; choose one of %s", name, strings.Join(setNames(), ", "))
}

// setNames lists the names of Sets.
func setNames() []string {
	var names []string
	for _, s := range Sets() {
		names = append(names, s.Name)
	}
	return names
}

// check returns an error unless o is what the set called name can be opened with. get says how to get the set.
func (o OpenOptions) check(name, get string) error {
	if o.Dir == "" {
		return fmt.Errorf("datasets: none of %s is built in; give its folder; %s (%w)", name, get, fs.ErrNotExist)
	}
	if _, err := os.Stat(o.Dir); err != nil {
		return fmt.Errorf("datasets: %s is in no folder %s; %s (%w)", name, o.Dir, get, err)
	}
	return nil
}

func openCIFAR10(o OpenOptions) (Data, error) {
	if o.Labels != "" {
		return Data{}, ownLabels("cifar10")
	}
	if err := o.check("cifar10", getCIFAR10); err != nil {
		return Data{}, err
	}
	c, err := look(o.Dir)
	if err != nil {
		return Data{}, err
	}
	d, known, err := c.cifar10(o)
	if err == nil && !known {
		err = fmt.Errorf("datasets: %s %v, but nothing of CIFAR-10; get it by %s", o.Dir, c, getCIFAR10)
	}
	return d, err
}

func openFashionMNIST(o OpenOptions) (Data, error) {
	if o.Labels != "" {
		return Data{}, ownLabels("fashion-mnist")
	}
	if o.Dir != "" {
		if err := o.check("fashion-mnist", getFashionMNIST); err != nil {
			return Data{}, err
		}
		train, test, err := FashionMNIST(o.Dir)
		if err != nil {
			return Data{}, err
		}
		return inMemory("fashion-mnist", formatIDX, train, test, o)
	}
	pool, err := FashionMNISTCalibration()
	if err != nil {
		return Data{}, err
	}
	test, err := FashionMNISTTest()
	if err != nil {
		return Data{}, err
	}
	return inMemory("fashion-mnist", "built in", pool, test, o)
}

func openImageNet(o OpenOptions) (Data, error) {
	if err := o.check("imagenet", getImageNet); err != nil {
		return Data{}, err
	}
	train, val, err := OpenImageNet(o.Dir, o.Labels)
	if err != nil {
		return Data{}, err
	}
	if n := len(train.Classes); n != 1000 {
		return Data{}, fmt.Errorf("datasets: %s has %d classes, ImageNet 1000: labels of a part of it are other numbers "+
			"than networks were trained with; complete the data, or open the folder by its path", o.Dir, n)
	}
	return fromFiles("imagenet", formatFolders, train, val, o)
}

// ownLabels is the error for a file of labels where the files of the data have them.
func ownLabels(name string) error {
	return fmt.Errorf("datasets: a file of labels for %s, which has its own; leave it out", name)
}
