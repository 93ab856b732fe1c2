package datasets

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// OpenImageNet lists the images of ImageNet, or of another set laid out as it is: dir/train with one folder per class,
// and dir/val with the same folders, or flat with a file of labels as OpenLabelled takes it (labels "": there is none).
// Where there is no val, test takes its place. Nothing is decoded. It is an error if the two parts have different
// classes: then labels would mean different things.
func OpenImageNet(dir, labels string) (train, val ImageFolder, err error) {
	if train, err = OpenImageFolder(filepath.Join(dir, "train")); err != nil {
		return train, val, err
	}
	at := filepath.Join(dir, "val")
	if _, noVal := os.Stat(at); noVal != nil {
		if _, noTest := os.Stat(filepath.Join(dir, "test")); noTest == nil {
			at = filepath.Join(dir, "test")
		}
	}
	if labels != "" {
		val, err = OpenLabelled(at, labels, train.Classes)
	} else if val, err = OpenImageFolder(at); err != nil && len(val.Classes) == 0 {
		if _, missing := os.Stat(at); missing == nil {
			err = needsLabels(at)
		}
	}
	if err != nil {
		return train, val, err
	}
	if !slices.Equal(train.Classes, val.Classes) {
		return train, val, fmt.Errorf("datasets: %s has %d classes and %s %d, which are not the same%s%s; "+
			"complete the data, so that labels mean the same", filepath.Join(dir, "train"), len(train.Classes), at,
			len(val.Classes), only("train", train.Classes, val.Classes), only(filepath.Base(at), val.Classes, train.Classes))
	}
	base := lastElement(dir)
	train.Name, val.Name = base+"/train", base+"/"+filepath.Base(at)
	return train, val, nil
}

// only says which classes a part has that another one lacks; "": none.
func only(part string, classes, others []string) string {
	var names []string
	for _, c := range classes {
		if _, known := slices.BinarySearch(others, c); !known {
			names = append(names, c)
		}
	}
	if names == nil {
		return ""
	}
	return fmt.Sprintf("; %s alone has %s", part, listed("class", "classes", names))
}
