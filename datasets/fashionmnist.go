package datasets

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// The draw behind FashionMNISTCalibration: image i of the pool is image
// Draw(FashionMNISTPoolSize, 60000, FashionMNISTPoolSeed)[i] of the training part.
const (
	FashionMNISTPoolSize = 2048
	FashionMNISTPoolSeed = 1
)

// fashionMNISTRemedy says where the four files come from.
const fashionMNISTRemedy = "copy the four files from /usr/share/datasets/fashion-mnist " +
	"(Debian package dataset-fashion-mnist) or call DownloadFashionMNIST"

//go:embed fashionmnist/*.gz
var fashionMNISTFiles embed.FS // read-only; a variable because go:embed wants one

// idxFile is one file of a published data set.
type idxFile struct {
	name   string // without .gz
	sha256 string // hex, of the content: how gzip packed it differs between mirrors
}

// idxPart is one part of a data set: images and their labels.
type idxPart struct {
	name           string
	images, labels idxFile
}

// fashionMNISTTrain describes the published training part. The checksums here and in
// fashionMNISTTest are those of the content of Debian's package, which is the published
// one: fashionmnist/README.md says how that was checked.
func fashionMNISTTrain() idxPart {
	return idxPart{"fashion-mnist/train",
		idxFile{"train-images-idx3-ubyte", "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888"},
		idxFile{"train-labels-idx1-ubyte", "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9"}}
}

// fashionMNISTTest describes the published test part.
func fashionMNISTTest() idxPart {
	return idxPart{"fashion-mnist/test",
		idxFile{"t10k-images-idx3-ubyte", "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b"},
		idxFile{"t10k-labels-idx1-ubyte", "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34"}}
}

// FashionMNISTTest returns the 10,000 test images of Fashion-MNIST, 1x28x28, 1,000 of each of
// ten classes, from the package itself.
func FashionMNISTTest() (Images, error) {
	part := fashionMNISTTest()
	return embeddedFashionMNIST(part.name, part.images.name, part.labels.name)
}

// FashionMNISTCalibration returns 2,048 training images of Fashion-MNIST, 1x28x28, from the
// package itself: a pool to calibrate from. They were drawn from the 60,000 without
// regard to class, see FashionMNISTPoolSeed.
func FashionMNISTCalibration() (Images, error) {
	const images, labels = "calibration-images-idx3-ubyte", "calibration-labels-idx1-ubyte"
	return embeddedFashionMNIST("fashion-mnist/calibration", images, labels)
}

// FashionMNIST returns the 60,000 training and 10,000 test images of Fashion-MNIST, 1x28x28,
// from the four published files in dir, with or without .gz. Files with other content,
// such as MNIST's digits, which have the same names and sizes, are an error. The error for a
// missing file says where to get it and satisfies errors.Is(err, fs.ErrNotExist).
func FashionMNIST(dir string) (train, test Images, err error) {
	if train, err = readFashionMNIST(dir, fashionMNISTTrain()); err != nil {
		return Images{}, Images{}, err
	}
	if test, err = readFashionMNIST(dir, fashionMNISTTest()); err != nil {
		return Images{}, Images{}, err
	}
	return train, test, nil
}

// readFashionMNIST reads one part from dir.
func readFashionMNIST(dir string, part idxPart) (Images, error) {
	pixels, err := part.images.read(dir)
	if err != nil {
		return Images{}, err
	}
	labels, err := part.labels.read(dir)
	if err != nil {
		return Images{}, err
	}
	return joinFashionMNIST(part.name, pixels, labels)
}

// read reads f from dir, f.name.gz if there is one and f.name if not, and compares its
// checksum.
func (f idxFile) read(dir string) (IDX, error) {
	path := filepath.Join(dir, f.name+".gz")
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		path = filepath.Join(dir, f.name)
	}
	x, err := ReadIDXFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return IDX{}, fmt.Errorf("%w, nor is %s.gz there; %s", err, f.name, fashionMNISTRemedy)
	}
	if err != nil {
		return IDX{}, err
	}
	if err := f.check(x); err != nil {
		return IDX{}, fmt.Errorf("datasets: %s: %w; %s", path, err, fashionMNISTRemedy)
	}
	return x, nil
}

// check compares x with f's checksum.
func (f idxFile) check(x IDX) error {
	sum, err := x.sum()
	if err != nil {
		return err
	}
	if sum != f.sha256 {
		return fmt.Errorf("content has SHA-256 %s, %s has %s", sum, f.name, f.sha256)
	}
	return nil
}

// embeddedFashionMNIST reads a part from the package's own files.
func embeddedFashionMNIST(name, images, labels string) (Images, error) {
	var xs [2]IDX
	for i, file := range []string{images, labels} {
		f, err := fashionMNISTFiles.Open("fashionmnist/" + file + ".gz")
		if err != nil {
			return Images{}, fmt.Errorf("datasets: %w", err)
		}
		if xs[i], err = ReadIDX(f, file); err != nil {
			return Images{}, err
		}
	}
	return joinFashionMNIST(name, xs[0], xs[1])
}

// joinFashionMNIST joins images and labels under Fashion-MNIST's classes.
func joinFashionMNIST(name string, pixels, labels IDX) (Images, error) {
	im, err := JoinIDX(name, pixels, labels, fashionMNISTClasses())
	im.Mean, im.Std = fashionMNISTMoments()
	return im, err
}

func fashionMNISTClasses() []string {
	return []string{
		"T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"}
}

// fashionMNISTMoments returns the mean and deviation of the training part, rounded to the four digits in common use.
func fashionMNISTMoments() (mean, std []float32) { return []float32{0.2860}, []float32{0.3530} }
