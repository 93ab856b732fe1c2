package datasets

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// Data is an open data set: images to calibrate on and images to test on, none of them the same.
type Data struct {
	Name                    string   // of Sets; of other data, the last element of their path
	Format                  string   // what was recognised: "CIFAR-10, binary"
	Pool                    Pool     // images to calibrate on
	Test                    Stream   // images to test on
	Channels, Height, Width int      // of an image as networks take it
	Classes                 []string // names of the classes
	Divided                 bool     // the files have one part, and a fixed draw gave half of it to Pool and half to Test
	Unlabelled              bool     // images of Pool have no labels
	Others                  []string // paths of files in image folders that were left out
}

// Numbered says whether classes are known by the numbers of a network's outputs, of which there may be more.
func (d Data) Numbered() bool {
	return slices.Equal(d.Classes, numbered(len(d.Classes)))
}

// String describes d in a line: name, format, numbers of images, shape, classes, whether one part was divided, and
// what was left out.
func (d Data) String() string {
	text := fmt.Sprintf("%s (%s): %d calibration and %d test images of %dx%dx%d in %d classes",
		d.Name, d.Format, d.Pool.Len(), d.Test.Len(), d.Channels, d.Height, d.Width, len(d.Classes))
	if d.Divided {
		text += ", drawn from the same files; no image is in both"
	}
	if d.Unlabelled {
		text += "; the calibration images have no labels"
	}
	if len(d.Others) > 0 {
		names := make([]string, len(d.Others))
		for i, path := range d.Others {
			names[i] = filepath.Base(path)
		}
		text += "; left out: " + listed("other file", "other files", names)
	}
	return text
}

// OpenOptions says where a set known by name is, and what to make of the files.
type OpenOptions struct {
	Dir     string      // set known by name: its folder or file; "": what is built in
	Labels  string      // image folders: file that labels a folder without a folder per class; "": there is none
	Lists   Lists       // image folders: two such files, instead of Labels
	Images  ImageConfig // image folders; its Mean and Std, unless nil, replace those of all formats of bytes
	Centred bool        // image folders: calibrate on the images' centres, not on random parts as the reference does
}

// Lists are two files that label images of one folder, as OpenLists takes them. Both are "", or neither.
type Lists struct {
	Calibration string // images to calibrate on
	Test        string // images to test on
}

// check returns an error if only one file is given, or beside them a file labels.
func (l Lists) check(labels string) error {
	if (l.Calibration == "") != (l.Test == "") || labels != "" && l.Test != "" {
		return fmt.Errorf("datasets: lists: calibration %q, test %q, labels %q; give two lists, or one file of labels, "+
			"or none", l.Calibration, l.Test, labels)
	}
	return nil
}

// Open opens a data set. Its name is one of Sets, whose files are in o.Dir, or the path of a folder or file, whose
// content tells the format: CIFAR-10 (binary or Python), IDX with images and labels, NumPy's arrays, images in train/
// and val/ (or test/) with one folder per class, or in one such folder, or a flat folder of images with o.Labels or
// o.Lists. A path that is also a name of Sets needs "./" before it.
//
// Arrays are floats of 16, 32 or 64 bits [N,C,H,W] and integer labels [N], in files .npz or .npy. Their values are used
// unchanged: they are already normalised as the network takes them. They are named images (or image, x, data) and
// labels (or label, y, targets, target), unless there is only one of a kind. Words in the names of arrays and files say
// what is tested on (test, or else val) and calibrated on (calib..., or else all others); the latter need no labels.
// An integer named classes is the number of classes, which otherwise is counted.
//
// Folders with a part to train and a part to test give both. A file, or a folder that has one part, is divided: a draw
// that is always the same gives half of its images to Pool and the others to Test.
//
// The error for content of no format lists the formats and what is there. That for a path or a set that isn't on this
// machine satisfies errors.Is(err, fs.ErrNotExist).
func Open(name string, o OpenOptions) (Data, error) {
	if err := o.Lists.check(o.Labels); err != nil {
		return Data{}, err
	}
	if set, err := FindSet(name); err == nil {
		if o.Lists.Test != "" {
			return Data{}, fmt.Errorf("datasets: %s: lists of images are for a folder of images; give its path alone", name)
		}
		return set.open(o)
	}
	if o.Dir != "" {
		return Data{}, fmt.Errorf("datasets: opening %s in %s: no data set has this name; choose one of %s, "+
			"or give a path alone", name, o.Dir, strings.Join(setNames(), ", "))
	}
	return openPath(name, o)
}

// inMemory returns the data set of parts that are in memory. One of them may be empty: then the other is divided.
func inMemory(name, format string, train, test Images, o OpenOptions) (Data, error) {
	d := Data{Name: name, Format: format}
	train, test, divided, err := twoParts(name, train, test)
	if err != nil {
		return d, err
	}
	d.Divided = divided
	for _, part := range []*Images{&train, &test} {
		if part.Values == nil {
			part.Mean, part.Std = perChannel(o.Images.Mean, part.Mean), perChannel(o.Images.Std, part.Std)
		}
		if err := part.Validate(); err != nil {
			return d, err
		}
	}
	if train.Channels != test.Channels || train.Height != test.Height || train.Width != test.Width {
		return d, fmt.Errorf("datasets: %s has images of %dx%dx%d to calibrate on and of %dx%dx%d to test on; give files "+
			"of one set", name, train.Channels, train.Height, train.Width, test.Channels, test.Height, test.Width)
	}
	d.Pool, d.Test, d.Classes = train, test, train.Classes
	d.Channels, d.Height, d.Width = train.Channels, train.Height, train.Width
	return d, nil
}

// fromFiles returns the data set of parts in image files. One of them may be empty: then the other is divided.
func fromFiles(name, format string, train, test ImageFolder, o OpenOptions) (Data, error) {
	d := Data{Name: name, Format: format, Channels: 3, Height: o.Images.Height, Width: o.Images.Width}
	if err := o.Images.validate(); err != nil {
		return d, err
	}
	d.Others = slices.Concat(train.Others, test.Others)
	train, test, divided, err := twoParts(name, train, test)
	if err != nil {
		return d, err
	}
	d.Divided = divided
	d.Pool, d.Test, d.Classes = Files{train, o.Images, !o.Centred}, Files{test, o.Images, false}, train.Classes
	return d, nil
}

// part is images of one part of a data set.
type part[T any] interface {
	Len() int
	Select(indices []int) (T, error)
}

// twoParts returns train and test, or two halves of one where the other is empty.
func twoParts[T part[T]](name string, train, test T) (first, second T, divided bool, err error) {
	if train.Len() > 0 && test.Len() > 0 {
		return train, test, false, nil
	}
	whole := train
	if whole.Len() == 0 {
		whole = test
	}
	n := whole.Len()
	if n < 2 {
		return train, test, false, fmt.Errorf("datasets: %s has %d image, which cannot be both calibrated on and "+
			"tested on; give 2 or more", name, n)
	}
	calibration, others, err := halves(n)
	if err != nil {
		return train, test, false, err
	}
	if first, err = whole.Select(calibration); err != nil {
		return train, test, false, err
	}
	second, err = whole.Select(others)
	return first, second, true, err
}

// halvesSeed is of the draw that divides one part. Another value is another division: never change it.
const halvesSeed = 1

// halves draws half of n indices, rounded down, and returns these and the others, both in rising order; n >= 2.
func halves(n int) (drawn, others []int, err error) {
	order, err := Draw(n, n, halvesSeed)
	if err != nil {
		return nil, nil, err
	}
	drawn, others = order[:n/2], order[n/2:]
	slices.Sort(drawn)
	slices.Sort(others)
	return drawn, others, nil
}
