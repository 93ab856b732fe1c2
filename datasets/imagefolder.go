package datasets

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// ImageFolder lists images in files with their labels. Nothing is decoded until it is asked for.
type ImageFolder struct {
	Name    string   // data set and part, for messages and run records
	Files   []string // paths
	Labels  []int32  // of each file, an index into Classes
	Classes []string // names of the classes, sorted
	Others  []string // paths of files that were left out: they have no image's ending, or no label
}

// Len returns the number of images.
func (f ImageFolder) Len() int { return len(f.Files) }

// OpenImageFolder lists the images of a folder with one folder per class, as ImageNet's train/ and val/
// have them: classes are the folders' names, sorted, and images are sorted within. Names of images end in .jpg, .jpeg,
// .png, .bmp, .tif, .tiff or .webp. Links are followed. Names that begin with a dot are left out. It is an error if
// a class has no images, or if there are none.
//
// Reference: torchvision.datasets.ImageFolder.
func OpenImageFolder(dir string) (ImageFolder, error) {
	f := ImageFolder{Name: filepath.Base(dir)}
	top, err := list(dir)
	if err != nil {
		return f, fmt.Errorf("datasets: %w; give a folder with one folder per class", err)
	}
	for _, name := range top.files {
		path := filepath.Join(dir, name)
		if _, err := os.Stat(path); err != nil {
			return f, fmt.Errorf("datasets: %w, to which a link leads; complete the data, or remove the link", err)
		}
		f.Others = append(f.Others, path)
	}
	f.Classes = top.folders
	for label, class := range f.Classes {
		files, others, err := listPictures(filepath.Join(dir, class))
		if err != nil {
			return f, fmt.Errorf("datasets: %w", err)
		}
		if len(files) == 0 {
			return f, fmt.Errorf("datasets: %s has no images (%s); complete the data, or move a folder that is no class away",
				filepath.Join(dir, class), strings.Join(pictureEndings(), ", "))
		}
		for _, file := range files {
			f.Files, f.Labels = append(f.Files, file), append(f.Labels, int32(label))
		}
		f.Others = append(f.Others, others...)
	}
	if len(f.Files) == 0 {
		return f, fmt.Errorf("datasets: %s has no folders of images; give a folder with one folder per class, "+
			"or a file of labels", dir)
	}
	return f, nil
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
