package datasets

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// idx opens files of images in the IDX format, each with the file of its labels beside it.
func (c contents) idx(o OpenOptions) (Data, bool, error) {
	images, labels := c.files[idxImages], c.files[idxLabels]
	if len(images)+len(labels) == 0 {
		return Data{}, false, nil
	}
	if len(images) == 0 {
		return Data{}, false, fmt.Errorf("datasets: %s has labels, but no images; give the file of images, "+
			"or a folder with both", c.path)
	}
	if o.Labels != "" {
		return Data{}, false, ownLabels(c.path)
	}
	if c.file {
		beside, err := look(filepath.Dir(c.path))
		if err != nil {
			return Data{}, false, err
		}
		labels = beside.files[idxLabels]
	}
	train, test := byPart(once(images))
	train = prefer(train, "train", "")
	if len(train) > 1 || len(test) > 1 {
		return Data{}, false, fmt.Errorf("datasets: %s has %d files of images to calibrate on and %d to test on; "+
			"give one file, or a folder with one set", c.path, len(train), len(test))
	}
	pairs := make([]idxPair, 2)
	for i, files := range [][]string{train, test} {
		if len(files) == 1 {
			var err error
			if pairs[i], err = readPair(files[0], labels); err != nil {
				return Data{}, false, err
			}
		}
	}
	return c.joinPairs(pairs[0], pairs[1], o)
}

// idxPair is the images of one part and their labels; without Data, the part isn't there.
type idxPair struct{ images, labels IDX }

// readPair reads a file of images and, among labels, that of its labels: train-labels-idx1-ubyte for
// train-images-idx3-ubyte.
func readPair(images string, labels []string) (p idxPair, err error) {
	want := strings.NewReplacer("images", "labels", "idx3", "idx1").Replace(idxName(images))
	at := slices.IndexFunc(labels, func(f string) bool { return idxName(f) == want })
	if at < 0 {
		return p, fmt.Errorf("datasets: %s has no labels: there is no file %s in its folder, with or without .gz; "+
			"give both files of a part", images, want)
	}
	if p.images, err = ReadIDXFile(images); err != nil {
		return p, err
	}
	p.labels, err = ReadIDXFile(labels[at])
	return p, err
}

// joinPairs joins the images of both parts with their labels. Fashion-MNIST is known by the checksums of its images.
// Other sets have classes "0", "1" and so on, and the moments of the images to calibrate on.
func (c contents) joinPairs(train, test idxPair, o OpenOptions) (Data, bool, error) {
	name, classes := c.name, idxClasses(train.labels, test.labels)
	known := isFashionMNIST(train.images) || isFashionMNIST(test.images)
	if known {
		name, classes = "fashion-mnist", fashionMNISTClasses()
	}
	var parts [2]Images
	for i, p := range []idxPair{train, test} {
		if p.images.Data == nil {
			continue
		}
		var err error
		if parts[i], err = JoinIDX(name+[]string{"/train", "/test"}[i], p.images, p.labels, classes); err != nil {
			return Data{}, false, err
		}
	}
	mean, std := fashionMNISTMoments()
	if !known {
		from := parts[0]
		if from.Len() == 0 {
			from = parts[1]
		}
		mean, std = from.Moments()
	}
	for i := range parts {
		parts[i].Mean, parts[i].Std = mean, std
	}
	d, err := inMemory(name, formatIDX, parts[0], parts[1], o)
	return d, true, err
}

// isFashionMNIST says whether x is all images of a part of Fashion-MNIST.
func isFashionMNIST(x IDX) bool {
	return fashionMNISTTrain().images.check(x) == nil || fashionMNISTTest().images.check(x) == nil
}

// idxClasses returns names for the classes of the labels.
func idxClasses(labels ...IDX) []string {
	n := 0
	for _, x := range labels {
		for _, l := range x.Data {
			n = max(n, int(l)+1)
		}
	}
	return numbered(n)
}

// idxName returns the name of an IDX file without .gz.
func idxName(path string) string { return strings.TrimSuffix(filepath.Base(path), ".gz") }

// once leaves out files that are there with .gz, too.
func once(files []string) []string {
	var out []string
	for _, f := range files {
		if !slices.Contains(files, f+".gz") {
			out = append(out, f)
		}
	}
	return out
}
