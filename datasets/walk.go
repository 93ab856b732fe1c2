package datasets

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// listing is what lies in a folder itself.
type listing struct {
	path    string
	folders []string // names, sorted
	files   []string // names, sorted; links that lead nowhere too
}

// list lists a folder. Links are what they lead to. Names that begin with a dot are left out: they are of tools, as
// .ipynb_checkpoints, and no data.
func list(path string) (listing, error) {
	l := listing{path: path}
	entries, err := os.ReadDir(path)
	if err != nil {
		return l, err
	}
	for _, e := range entries {
		isDir := e.IsDir()
		if e.Type()&os.ModeSymlink != 0 {
			info, err := os.Stat(filepath.Join(path, e.Name()))
			isDir = err == nil && info.IsDir()
		}
		switch {
		case strings.HasPrefix(e.Name(), "."):
		case isDir:
			l.folders = append(l.folders, e.Name())
		default:
			l.files = append(l.files, e.Name())
		}
	}
	return l, nil
}

// listAll lists a folder and the folders below it, sorted by their paths. A folder to which several links lead is
// listed once; a link to a folder that it is in is an error.
func listAll(path string) ([]listing, error) {
	var all []listing
	seen := map[string]bool{} // folders, without links
	var add func(path string, above []string) error
	add = func(path string, above []string) error {
		real, err := filepath.EvalSymlinks(path)
		if err != nil {
			return err
		}
		if slices.Contains(above, real) {
			return fmt.Errorf("%s is a link to a folder that it is in; remove the link", path)
		}
		if seen[real] {
			return nil
		}
		seen[real] = true
		l, err := list(path)
		if err != nil {
			return err
		}
		all = append(all, l)
		for _, name := range l.folders {
			if err := add(filepath.Join(path, name), append(slices.Clip(above), real)); err != nil {
				return err
			}
		}
		return nil
	}
	if err := add(path, nil); err != nil {
		return nil, err
	}
	slices.SortFunc(all, func(a, b listing) int { return strings.Compare(a.path, b.path) })
	return all, nil
}

// listPictures returns the paths of the images in and below a folder, in the order of torchvision's ImageFolder, and
// those of other files.
func listPictures(dir string) (images, others []string, err error) {
	all, err := listAll(dir)
	if err != nil {
		return nil, nil, err
	}
	for _, l := range all {
		for _, name := range l.files {
			if path := filepath.Join(l.path, name); isPicture(path) {
				images = append(images, path)
			} else {
				others = append(others, path)
			}
		}
	}
	return images, others, nil
}

// pictureEndings are those of torchvision's ImageFolder, but for .ppm and .pgm, which aren't read.
func pictureEndings() []string {
	return []string{".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp"}
}

// isPicture says whether a file is taken for an image, by its name's ending.
func isPicture(path string) bool {
	return slices.Contains(pictureEndings(), strings.ToLower(filepath.Ext(path)))
}
