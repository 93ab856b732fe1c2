package datasets

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

const (
	cifar10Pixels = 3 * 32 * 32       // of an image
	cifar10Record = 1 + cifar10Pixels // bytes: label, pixels [3,32,32]
)

// cifar10Remedy says which files are read.
const cifar10Remedy = "give the .bin files of cifar-10-binary.tar.gz, unpacked, " +
	"or the batches of cifar-10-python.tar.gz"

// CIFAR10 returns the images of CIFAR-10, 3x32x32 in ten classes, in files of its binary or its Python form, one file
// after the other. A binary file is any whole number of records, as data_batch_1.bin and test_batch.bin. A Python file
// is a pickle, as data_batch_1 and test_batch; nothing in it is run. Errors give file, byte and record.
//
// Mean and Std are those of the 50,000 training images. A network trained with others, such
// as [ImageNetMoments], needs these: set them.
//
// The format: records of 3,073 bytes, the label, then the pixels [3,32,32], red first.
// Source: https://www.cs.toronto.edu/~kriz/cifar.html.
func CIFAR10(paths ...string) (Images, error) {
	if len(paths) == 0 {
		return Images{}, errors.New("datasets: no files of CIFAR-10; " + cifar10Remedy)
	}
	var names []string
	im := cifar10(nil, nil)
	for _, path := range paths {
		if err := im.appendFile(path); err != nil {
			return Images{}, fmt.Errorf("datasets: %w; %s", err, cifar10Remedy)
		}
		names = append(names, strings.TrimSuffix(filepath.Base(path), ".bin"))
	}
	im.Name = "cifar10/" + strings.Join(names, "+")
	return im, im.Validate()
}

// cifar10 returns CIFAR-10's images with these pixels and labels.
func cifar10(pixels []uint8, labels []int32) Images {
	return Images{
		Channels: 3, Height: 32, Width: 32, Pixels: pixels, Labels: labels,
		Classes: []string{"airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"},
		Mean:    []float32{0.4914, 0.4822, 0.4465}, Std: []float32{0.2470, 0.2435, 0.2616}, // of the training images
	}
}

// ImageNetMoments returns the mean and deviation per channel, red first, of pixel/255 over
// ImageNet's training images, with which torchvision's networks are trained, and so are
// akamaster's ResNets for CIFAR-10.
// Source: torchvision's references/classification/presets.py; trainer.py of
// github.com/akamaster/pytorch_resnet_cifar10.
func ImageNetMoments() (mean, std []float32) {
	return []float32{0.485, 0.456, 0.406}, []float32{0.229, 0.224, 0.225}
}

// appendFile adds the images of a file. Errors name it.
func (im *Images) appendFile(path string) error {
	f, err := openFile(path)
	if err != nil {
		return err
	}
	defer f.Close() // only read from
	info, err := f.Stat()
	if err == nil && int64(len(im.Pixels))+info.Size() > idxLimit {
		err = fmt.Errorf("more than %d bytes of CIFAR-10", idxLimit)
	}
	if err == nil {
		err = im.appendCIFAR10(f, info.Size())
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// appendCIFAR10 adds the images of a file, in either form.
func (im *Images) appendCIFAR10(f *os.File, size int64) error {
	if isPickle(f) {
		records, err := readCIFAR10Python(f, size)
		if err != nil {
			return err
		}
		return im.appendRecords(bytes.NewReader(records))
	}
	if err := cifar10Size(size); err != nil {
		return err
	}
	im.Pixels = slices.Grow(im.Pixels, int(size))
	return im.appendRecords(f)
}

// cifar10Size is an error unless size bytes are a whole number of records.
func cifar10Size(size int64) error {
	if size == 0 {
		return errors.New("byte 0: the file is empty")
	}
	if rest := size % cifar10Record; rest != 0 {
		return fmt.Errorf("byte %d: the file ends within record %d, %d bytes after the last whole one of %d",
			size, size/cifar10Record, rest, cifar10Record)
	}
	return nil
}

// appendRecords adds the records in r. It allocates memory only for what it has read.
func (im *Images) appendRecords(r io.Reader) error {
	buffered := bufio.NewReader(r)
	var b [cifar10Record]byte
	for at := int64(0); ; at += cifar10Record {
		n, err := io.ReadFull(buffered, b[:])
		switch {
		case errors.Is(err, io.EOF) && at > 0:
			return nil
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return cifar10Size(at + int64(n))
		case err != nil:
			return fmt.Errorf("byte %d: %w", at+int64(n), err)
		case int(b[0]) >= len(im.Classes):
			return fmt.Errorf("byte %d: label %d of record %d is not one of %d classes",
				at, b[0], at/cifar10Record, len(im.Classes))
		}
		im.Labels = append(im.Labels, int32(b[0]))
		im.Pixels = append(im.Pixels, b[1:]...)
	}
}
