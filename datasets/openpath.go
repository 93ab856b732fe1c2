package datasets

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// openPath opens the folder or file at path, whose content says what it is.
func openPath(path string, o OpenOptions) (Data, error) {
	c, err := look(path)
	if err != nil {
		return Data{}, fmt.Errorf("%w; give a path that exists, or a data set by name: %s",
			err, strings.Join(setNames(), ", "))
	}
	if o.Lists.Test != "" {
		return c.lists(o)
	}
	for _, format := range []func(contents, OpenOptions) (Data, bool, error){
		contents.imageParts, contents.idx, contents.cifar10, contents.onePart, contents.classFolders, contents.arrays,
		contents.labelled,
	} {
		if d, known, err := format(c, o); known || err != nil {
			return d, err
		}
	}
	return Data{}, fmt.Errorf("datasets: %s %v; give one of these formats: %s",
		path, c, strings.Join(formatsKnown(), "; "))
}

// imageParts opens image folders with train/ and val/, or test/ where there is no val/.
func (c contents) imageParts(o OpenOptions) (Data, bool, error) {
	has := func(name string) bool { return slices.Contains(c.folders, name) }
	if !has("train") || !has("val") && !has("test") {
		return Data{}, false, nil
	}
	train, test, err := OpenImageNet(c.path, o.Labels)
	if err != nil {
		return Data{}, false, err
	}
	d, err := fromFiles(c.name, formatFolders, train, test, o)
	return d, true, err
}

// onePart opens image folders that have train/, val/ or test/ alone.
func (c contents) onePart(o OpenOptions) (Data, bool, error) {
	var parts []string
	for _, name := range c.folders {
		if slices.Contains([]string{"train", "val", "test"}, name) {
			parts = append(parts, name)
		}
	}
	if len(parts) != 1 {
		return Data{}, false, nil
	}
	inner, err := look(filepath.Join(c.path, parts[0]))
	if err != nil {
		return Data{}, false, err
	}
	inner.name = c.name
	if d, known, err := inner.classFolders(o); known || err != nil {
		return d, known, err
	}
	if len(c.folders) > 1 {
		return Data{}, false, nil // a class may be called "train"
	}
	return inner.labelled(o)
}

// classFolders opens a folder that has one folder of images per class.
func (c contents) classFolders(o OpenOptions) (Data, bool, error) {
	if !slices.ContainsFunc(c.folders, func(name string) bool {
		images, _, err := listPictures(filepath.Join(c.path, name))
		return len(images) > 0 || err != nil // which OpenImageFolder says
	}) {
		return Data{}, false, nil
	}
	if o.Labels != "" {
		return Data{}, false, ownLabels(c.path + ", a folder with one folder per class")
	}
	whole, err := OpenImageFolder(c.path)
	if err != nil {
		return Data{}, false, err
	}
	if len(whole.Classes) == 1 {
		return Data{}, false, fmt.Errorf("datasets: %s has one folder of images, %s, and so one class; "+
			"give a folder with one folder per class", c.path, whole.Classes[0])
	}
	whole.Name = c.name
	d, err := fromFiles(c.name, formatFolders, whole, ImageFolder{}, o)
	return d, true, err
}

// labelled opens a folder of images with a file that labels them.
func (c contents) labelled(o OpenOptions) (Data, bool, error) {
	if c.file || len(c.files[pictureFile]) == 0 {
		return Data{}, false, nil
	}
	if o.Labels == "" {
		return Data{}, false, needsLabels(c.path)
	}
	whole, err := OpenLabelled(c.path, o.Labels, nil)
	if err != nil {
		return Data{}, false, err
	}
	whole.Name = c.name
	d, err := fromFiles(c.name, formatLabelled, whole, ImageFolder{}, o)
	return d, true, err
}

// lists opens a folder of images with a list of those to calibrate on and one of those to test on.
func (c contents) lists(o OpenOptions) (Data, error) {
	if c.file || len(c.files[pictureFile]) == 0 {
		return Data{}, fmt.Errorf("datasets: %s %v; give the folder that has the images which %s and %s list", c.path, c,
			o.Lists.Calibration, o.Lists.Test)
	}
	train, test, err := OpenLists(c.path, o.Lists.Calibration, o.Lists.Test)
	if err != nil {
		return Data{}, err
	}
	train.Name = c.name + ", " + filepath.Base(o.Lists.Calibration)
	test.Name = c.name + ", " + filepath.Base(o.Lists.Test)
	return fromFiles(c.name, formatLabelled, train, test, o)
}

// needsLabels is the error for a folder of images without labels.
func needsLabels(dir string) error {
	return fmt.Errorf("datasets: %s has no folders of classes; give the file that labels its images "+
		"(lines %s)", dir, labelsLine)
}
