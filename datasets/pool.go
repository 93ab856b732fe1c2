package datasets

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"iter"
	"path/filepath"
	"slices"
)

// Stream is images to go through in batches: Images, which are in memory, or Files, which are decoded batch by batch.
type Stream interface {
	Len() int // number of images, corrupt ones too
	// Batches yields the images in their order, size at a time; the last batch has the rest. It ends after an error.
	Batches(ctx context.Context, size int) iter.Seq2[Images, error]
	Evenly(n int) (Stream, error)  // n images, in equal distances; 0: all
	Describe() (name, hash string) // for run records
}

// Pool is images from which calibration sets are drawn.
type Pool interface {
	Len() int
	Calibrate(ctx context.Context, n int, seed uint64) (Calibration, error) // n different ones, drawn by seed
}

// Calibrate is the function Calibrate of im.
func (im Images) Calibrate(_ context.Context, n int, seed uint64) (Calibration, error) {
	return Calibrate(im, n, seed)
}

// Files is an ImageFolder with the settings that make images of its files.
type Files struct {
	Folder ImageFolder
	Config ImageConfig
	Random bool // Calibrate takes random parts of the images, as LoadRandom does; false: their centres
}

// Len returns the number of files.
func (f Files) Len() int { return f.Folder.Len() }

// Evenly returns n files in equal distances; all if n is 0 or at least their number. The first n would be of few
// classes, as files are sorted by class.
func (f Files) Evenly(n int) (Stream, error) {
	if n == 0 || n >= f.Len() {
		return f, nil
	}
	var err error
	f.Folder, err = f.Folder.Select(spaced(n, f.Len()))
	return f, err
}

// Batches is that of the folder.
func (f Files) Batches(ctx context.Context, size int) iter.Seq2[Images, error] {
	return f.Folder.Batches(ctx, f.Config, size)
}

// Describe returns the folder's name and the SHA-256 in hex of the lines "label file", with files' names without
// folders. Their content doesn't enter: reading it would take as long as to evaluate on it.
func (f Files) Describe() (name, hash string) {
	h := sha256.New()
	for i, file := range f.Folder.Files {
		fmt.Fprintf(h, "%d %s\n", f.Folder.Labels[i], filepath.Base(file)) // a hash never fails
	}
	return f.Folder.Name, hex.EncodeToString(h.Sum(nil))
}

// Calibrate decodes n different images, drawn by seed. If f.Random is set it records what part of each was taken. There
// are fewer than n if corrupt files are left out, which Skipped lists; Indices are those of the others.
func (f Files) Calibrate(ctx context.Context, n int, seed uint64) (Calibration, error) {
	indices, err := Draw(n, f.Len(), seed)
	if err != nil {
		return Calibration{}, fmt.Errorf("%w (pool %s)", err, f.Folder.Name)
	}
	drawn, err := f.Folder.Select(indices)
	if err != nil {
		return Calibration{}, err
	}
	c := Calibration{Seed: seed}
	if f.Random {
		c.Images, c.Crops, err = drawn.LoadRandom(ctx, f.Config, seed)
	} else {
		c.Images, err = drawn.Load(ctx, f.Config)
	}
	c.Indices = slices.DeleteFunc(indices, func(k int) bool { return slices.Contains(c.Skipped, f.Folder.Files[k]) })
	return c, err
}
