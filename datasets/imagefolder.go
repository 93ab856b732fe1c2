package datasets

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// ImageFolder lists images in files, JPEG or PNG, with their labels. Nothing is decoded until it is asked for.
type ImageFolder struct {
	Name    string   // data set and part, for messages and run records
	Files   []string // paths
	Labels  []int32  // of each file, an index into Classes
	Classes []string // names of the classes, sorted
}

// Len returns the number of images.
func (f ImageFolder) Len() int { return len(f.Files) }

// OpenImageFolder lists the images of a folder with one folder per class, as ImageNet's train/ and val/
// have them: classes are the folders' names, sorted, and images are sorted within. Files that
// don't end in .jpg, .jpeg or .png are left out. It is an error if there are none.
//
// Reference: torchvision.datasets.ImageFolder.
func OpenImageFolder(dir string) (ImageFolder, error) {
	f := ImageFolder{Name: filepath.Base(dir)}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return f, fmt.Errorf("datasets: %w; give a folder with one folder per class", err)
	}
	for _, e := range entries {
		if info, err := os.Stat(filepath.Join(dir, e.Name())); err == nil && info.IsDir() { // a link to one too
			f.Classes = append(f.Classes, e.Name())
		}
	}
	for label, class := range f.Classes {
		files, err := imageFiles(filepath.Join(dir, class))
		if err != nil {
			return f, fmt.Errorf("datasets: %w", err)
		}
		if len(files) == 0 {
			return f, fmt.Errorf("datasets: %s has no images (.jpg, .jpeg, .png); remove it, or complete the data",
				filepath.Join(dir, class))
		}
		for _, file := range files {
			f.Files, f.Labels = append(f.Files, file), append(f.Labels, int32(label))
		}
	}
	if len(f.Files) == 0 {
		return f, fmt.Errorf("datasets: %s has no folders of images; give a folder with one folder per class, "+
			"or a file of labels", dir)
	}
	return f, nil
}

// OpenLabelled lists the images in one folder by a file of labels. Its lines are a file's name and a class, separated
// by white space: "ILSVRC2012_val_00000001.JPEG n01751748". classes are all classes in the order of the network's
// outputs, which is sorted, as OpenImageFolder lists those of train/; nil: the classes in the file. Errors give the
// line.
func OpenLabelled(dir, labels string, classes []string) (ImageFolder, error) {
	f := ImageFolder{Name: filepath.Base(dir), Classes: classes}
	names, err := readLabels(labels)
	if err != nil {
		return f, err
	}
	if classes == nil {
		for _, l := range names {
			f.Classes = append(f.Classes, l.class)
		}
		slices.Sort(f.Classes)
		f.Classes = slices.Compact(f.Classes)
	}
	for i, l := range names {
		label, known := slices.BinarySearch(f.Classes, l.class)
		if !known {
			return f, fmt.Errorf("datasets: %s:%d: class %q is none of the %d of the training images; "+
				"give the labels of the same data set", labels, i+1, l.class, len(f.Classes))
		}
		path := filepath.Join(dir, filepath.Base(l.file))
		if _, err := os.Stat(path); err != nil {
			return f, fmt.Errorf("datasets: %s:%d: %w; complete the data, or remove the line", labels, i+1, err)
		}
		f.Files, f.Labels = append(f.Files, path), append(f.Labels, int32(label))
	}
	return f, nil
}

// labelsLine is a line of a file of labels, for messages.
const labelsLine = "as ILSVRC2012_val_00000001.JPEG n01751748"

type labelled struct{ file, class string }

// readLabels reads lines of a file's name and a class.
func readLabels(path string) ([]labelled, error) {
	file, err := openFile(path)
	if err != nil {
		return nil, fmt.Errorf("datasets: %w", err)
	}
	defer file.Close() // only read from
	var names []labelled
	s := bufio.NewScanner(file)
	for s.Scan() {
		fields := strings.Fields(s.Text())
		if len(fields) != 2 {
			return nil, fmt.Errorf("datasets: %s:%d: %.50q is not a file's name and a class (%s); "+
				"a list of bare numbers doesn't say which file each is for", path, len(names)+1, s.Text(), labelsLine)
		}
		names = append(names, labelled{fields[0], fields[1]})
	}
	if err := s.Err(); err != nil {
		return nil, fmt.Errorf("datasets: %s: %w", path, err)
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("datasets: %s has no lines; give one for each image", path)
	}
	return names, nil
}

// imageFiles returns the images below dir, sorted.
func imageFiles(dir string) ([]string, error) {
	var files []string
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if isPicture(path) && !e.IsDir() {
			files = append(files, path)
		}
		return nil
	})
	if errors.Is(err, fs.ErrNotExist) {
		err = nil // a link that leads nowhere
	}
	return files, err
}

// isPicture says whether a file is taken for an image, by its name's ending.
func isPicture(path string) bool {
	return slices.Contains([]string{".jpg", ".jpeg", ".png"}, strings.ToLower(filepath.Ext(path)))
}

// hasPicture says whether there is an image below dir.
func hasPicture(dir string) bool {
	found := false
	_ = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error { // what can't be read has none
		if err != nil {
			return fs.SkipDir
		}
		if found = isPicture(path) && !e.IsDir(); found {
			return fs.SkipAll
		}
		return nil
	})
	return found
}

// Select returns the images at indices, in that order. An index outside 0 to Len-1 is an error.
func (f ImageFolder) Select(indices []int) (ImageFolder, error) {
	out := f
	out.Files, out.Labels = nil, nil
	for i, k := range indices {
		if k < 0 || k >= f.Len() {
			return out, fmt.Errorf("datasets: index %d at position %d is not an image of %s; it has 0 to %d",
				k, i, f.Name, f.Len()-1)
		}
		out.Files, out.Labels = append(out.Files, f.Files[k]), append(out.Labels, f.Labels[k])
	}
	return out, nil
}
