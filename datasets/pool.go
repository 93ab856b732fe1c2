package datasets

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"iter"
	"path/filepath"
)

// Stream is images to look at once, one batch after the other: Images, which are in memory, or
// Files, which are decoded as they are asked for.
type Stream interface {
	Len() int // images, those among them that will turn out to be corrupt
	// Batches yields the images in their order, size at a time, the last batch with what is left,
	// and nothing after an error.
	Batches(ctx context.Context, size int) iter.Seq2[Images, error]
	Evenly(n int) (Stream, error)  // n of them, in equal distances; 0: all
	Describe() (name, hash string) // for run records
}

// Pool is images to calibrate on a part of.
type Pool interface {
	Len() int
	Calibrate(ctx context.Context, n int, seed uint64) (Calibration, error) // n different ones, drawn by seed
}

// Calibrate is the function Calibrate of im.
func (im Images) Calibrate(_ context.Context, n int, seed uint64) (Calibration, error) {
	return Calibrate(im, n, seed)
}

// Files is an ImageFolder whose images are made in one way.
type Files struct {
	Folder ImageFolder
	Config ImageConfig
	Random bool // Calibrate takes random parts of the images, as LoadRandom does; false: their centres
}

// Len returns the number of files.
func (f Files) Len() int { return f.Folder.Len() }

// Evenly returns n files in equal distances, all if n is 0 or no less than there are: sorted by class as
// they are, their beginning would be of a few classes.
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

// Describe returns the folder's name, and the SHA-256 in hex of the lines "label file" with the files'
// own names: not of what is in them, which would take as long as to evaluate on them.
func (f Files) Describe() (name, hash string) {
	h := sha256.New()
	for i, file := range f.Folder.Files {
		fmt.Fprintf(h, "%d %s\n", f.Folder.Labels[i], filepath.Base(file)) // a hash never fails
	}
	return f.Folder.Name, hex.EncodeToString(h.Sum(nil))
}

// Calibrate decodes n different images, drawn by seed, and records of Random parts what was taken. Files
// that are left out as corrupt make them fewer.
func (f Files) Calibrate(ctx context.Context, n int, seed uint64) (Calibration, error) {
	indices, err := Draw(n, f.Len(), seed)
	if err != nil {
		return Calibration{}, fmt.Errorf("%w (pool %s)", err, f.Folder.Name)
	}
	drawn, err := f.Folder.Select(indices)
	if err != nil {
		return Calibration{}, err
	}
	c := Calibration{Seed: seed, Indices: indices}
	if f.Random {
		c.Images, c.Crops, err = drawn.LoadRandom(ctx, f.Config, seed)
	} else {
		c.Images, _, err = drawn.Load(ctx, f.Config)
	}
	return c, err
}
