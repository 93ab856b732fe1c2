package datasets

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Formats, as Data names them.
const (
	formatCIFAR10       = "CIFAR-10, binary"
	formatCIFAR10Python = "CIFAR-10, python"
	formatIDX           = "IDX"
	formatArrays        = "NumPy arrays, used unchanged"
	formatFolders       = "image folders"
	formatLabelled      = "images with a file of labels"
)

// formatsKnown says what Open reads, a line for each format.
func formatsKnown() []string {
	return []string{
		"CIFAR-10's binary files: its batches, train*.bin and test*.bin, or one file",
		"CIFAR-10's python batches",
		"IDX files of the MNIST family, images and labels, gzip'ed or not",
		"NumPy's arrays (.npz or .npy): images as floats [N,C,H,W], used unchanged, and labels as integers [N]",
		"images (" + pictureFormats + ") with one folder per class, in train/ and val/ (or test/), or in one folder",
		"a folder of images with a file that labels them",
	}
}

// fileKind is what a file holds. Its beginning and size decide; for images, archives of
// arrays, and records of CIFAR-10 that are cut off, its name.
type fileKind int

const (
	otherFile   fileKind = iota
	cifarFile            // records of CIFAR-10
	pickleFile           // perhaps a batch of CIFAR-10's Python form
	idxImages            // IDX with 3 dimensions
	idxLabels            // IDX with 1 dimension
	arrayFile            // NumPy's arrays, by its beginning or its name
	pictureFile          // an image, by its name
)

// contents is what is at a path.
type contents struct {
	path    string
	name    string                // last element of path
	file    bool                  // path is one file, and files has it alone
	files   map[fileKind][]string // paths, sorted by name
	folders []string              // names, sorted
}

// look finds out what is at path. It reads the beginnings of files, and no folder below.
func look(path string) (contents, error) {
	c := contents{path: path, name: lastElement(path), files: map[fileKind][]string{}}
	info, err := os.Stat(path)
	if err != nil {
		return c, fmt.Errorf("datasets: %w", err)
	}
	if !info.IsDir() {
		c.file = true
		return c, c.add(path, info)
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return c, fmt.Errorf("datasets: %w", err)
	}
	for _, e := range entries {
		at := filepath.Join(path, e.Name())
		info, err := os.Stat(at) // follows links
		switch {
		case err != nil || strings.HasPrefix(e.Name(), "."):
		case info.IsDir():
			c.folders = append(c.folders, e.Name())
		default:
			if err := c.add(at, info); err != nil {
				return c, err
			}
		}
	}
	return c, nil
}

// lastElement returns the last element of path, even if that is "." or "..".
func lastElement(path string) string {
	if full, err := filepath.Abs(path); err == nil {
		path = full
	}
	return filepath.Base(path)
}

// add sorts a file in.
func (c *contents) add(path string, info os.FileInfo) error {
	k, err := kindOf(path, info)
	if err != nil {
		return fmt.Errorf("datasets: %s: %w", path, err)
	}
	c.files[k] = append(c.files[k], path)
	return nil
}

// kindOf says what the file at path holds.
func kindOf(path string, info os.FileInfo) (fileKind, error) {
	if !info.Mode().IsRegular() {
		return otherFile, nil
	}
	if isPicture(path) {
		return pictureFile, nil
	}
	f, err := openFile(path)
	if err != nil {
		return otherFile, err
	}
	defer f.Close() // only read from
	start, packed, err := beginning(f)
	if err != nil {
		return otherFile, err
	}
	records := info.Size() > 0 && info.Size()%cifar10Record == 0
	idx := len(start) >= 4 && bytes.Equal(start[:3], []byte{0, 0, idxUint8})
	switch name := filepath.Base(path); {
	case idx && (packed || !records || idxSize(start) == info.Size()): // a record may begin as IDX does
		return map[byte]fileKind{3: idxImages, 1: idxLabels}[start[3]], nil
	case bytes.HasPrefix(start, []byte("\x93NUMPY")), filepath.Ext(name) == ".npz", filepath.Ext(name) == ".npy":
		return arrayFile, nil
	case packed:
		return otherFile, nil
	case isPickle(f):
		return pickleFile, nil
	case records && start[0] <= 9, filepath.Ext(name) == ".bin" && anyPrefix(name, "data_batch", "test", "train"):
		return cifarFile, nil
	}
	return otherFile, nil
}

// beginning returns the first bytes of a file, up to the header of IDX images, after decompression if it is packed.
func beginning(f io.Reader) (start []byte, packed bool, err error) {
	buffered := bufio.NewReader(f)
	var in io.Reader = buffered
	if magic, _ := buffered.Peek(2); bytes.Equal(magic, []byte{0x1f, 0x8b}) { // an error comes back when read
		unzipped, err := gzip.NewReader(buffered)
		if err != nil {
			return nil, true, nil // it only looks packed
		}
		in, packed = unzipped, true
	}
	start = make([]byte, 16)
	n, err := io.ReadFull(in, start)
	if packed || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil // short or damaged: whoever reads all of it says so
	}
	return start[:n], packed, err
}

// idxSize returns how many bytes an IDX file with this beginning has; -1 if it has neither 1 nor 3 dimensions.
func idxSize(start []byte) int64 {
	size := int64(1)
	dimensions := int(start[3])
	if dimensions != 1 && dimensions != 3 || len(start) < 4+4*dimensions {
		return -1
	}
	for i := range dimensions {
		size *= int64(binary.BigEndian.Uint32(start[4+4*i:]))
	}
	return size + int64(4+4*dimensions)
}

func anyPrefix(name string, prefixes ...string) bool {
	return slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(name, p) })
}

// String says what is there, after the path in messages.
func (c contents) String() string {
	var names []string
	for _, k := range []fileKind{cifarFile, pickleFile, idxImages, idxLabels, arrayFile, pictureFile, otherFile} {
		for _, f := range c.files[k] {
			names = append(names, filepath.Base(f))
		}
	}
	text := "has no files"
	switch {
	case c.file:
		return "is a file of another kind"
	case len(names) > 0:
		text = "has " + listed("file", "files", names)
	}
	if len(c.folders) > 0 {
		text += " and " + listed("folder", "folders", c.folders)
	}
	return text
}

// listed says how many things there are, and the first names of them.
func listed(one, more string, names []string) string {
	const most = 4
	n := len(names)
	if n == 1 {
		more = one
	}
	if n > most {
		names = append(slices.Clone(names[:most]), "...")
	}
	return fmt.Sprintf("%d %s (%s)", n, more, strings.Join(names, ", "))
}
