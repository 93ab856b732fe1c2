package datasets

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/pdquant/pdquant/internal/atomicfile"
)

// CIFAR10URL is where the University of Toronto publishes CIFAR-10 in its binary form.
const CIFAR10URL = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"

// The archive as published: its page gives the MD5.
const (
	cifar10MD5   = "c32a1d4ab5d03f1284b67883e8d87530"
	cifar10Batch = 10_000    // images in a batch: five to train, one to test
	cifar10Bytes = 256 << 20 // the archive has 170,052,171, each file in it 30,730,000
)

// OpenCIFAR10 returns the training and test images of CIFAR-10 in dir: those in the batches of either archive of it, in
// dir or in its folder cifar-10-batches-bin or -py; without these, those in other files of either form, with names as
// train*.bin and test*.bin. Files may hold any number of images. Errors are those of CIFAR10; that of a part without
// files satisfies errors.Is(err, fs.ErrNotExist).
func OpenCIFAR10(dir string) (train, test Images, err error) {
	c, err := look(dir)
	if err != nil {
		return train, test, err
	}
	f, err := c.cifar10Files()
	if err != nil {
		return train, test, err
	}
	if len(f.train) == 0 || len(f.test) == 0 {
		return train, test, fmt.Errorf("datasets: %s has %d files of CIFAR-10's training images and %d of its test images: "+
			"%w; %s", dir, len(f.train), len(f.test), fs.ErrNotExist, cifar10Remedy)
	}
	return f.read()
}

// cifar10Files are files of CIFAR-10, of the same form.
type cifar10Files struct {
	train, test []string // paths
	form        string
}

// read reads both parts. One without files is empty.
func (f cifar10Files) read() (train, test Images, err error) {
	if len(f.train) > 0 {
		if train, err = CIFAR10(f.train...); err != nil {
			return train, test, err
		}
		train.Name = "cifar10/train"
	}
	if len(f.test) > 0 {
		if test, err = CIFAR10(f.test...); err != nil {
			return train, test, err
		}
		test.Name = "cifar10/test"
	}
	return train, test, nil
}

// cifar10Files finds the files of CIFAR-10 at c: batches before other files, and binary ones before pickles.
func (c contents) cifar10Files() (cifar10Files, error) {
	places := []contents{c}
	for _, name := range []string{"cifar-10-batches-bin", "cifar-10-batches-py"} {
		if slices.Contains(c.folders, name) {
			inner, err := look(filepath.Join(c.path, name))
			if err != nil {
				return cifar10Files{}, err
			}
			places = append(places, inner)
		}
	}
	forms := []struct {
		kind fileKind
		name string
	}{{cifarFile, formatCIFAR10}, {pickleFile, formatCIFAR10Python}}
	for _, place := range places {
		for _, form := range forms {
			train, test := byPart(place.files[form.kind])
			if prefer(train, "data_batch") != nil || prefer(test, "test_batch") != nil {
				return cifar10Files{prefer(train, "data_batch", "train"), prefer(test, "test_batch", ""), form.name}, nil
			}
		}
	}
	for _, form := range forms {
		if train, test := byPart(c.files[form.kind]); len(train)+len(test) > 0 {
			return cifar10Files{prefer(train, "train", ""), test, form.name}, nil
		}
	}
	return cifar10Files{}, nil
}

// cifar10 opens files of CIFAR-10. Their images are normalised as the published networks' trainers do.
func (c contents) cifar10(o OpenOptions) (Data, bool, error) {
	f, err := c.cifar10Files()
	if err != nil || len(f.train)+len(f.test) == 0 {
		return Data{}, false, err
	}
	if o.Labels != "" {
		return Data{}, false, ownLabels(c.path)
	}
	train, test, err := f.read()
	if err != nil {
		return Data{}, false, err
	}
	train.Mean, train.Std = ImageNetMoments()
	test.Mean, test.Std = ImageNetMoments()
	d, err := inMemory("cifar10", f.form, train, test, o)
	return d, true, err
}

// DownloadCIFAR10 fetches CIFAR-10 (170 MB) and unpacks it to dir/cifar-10-batches-bin. A nil client is
// http.DefaultClient, an empty url is CIFAR10URL. It does nothing if dir has all batches already. It unpacks the
// archive only if its MD5 is the published one, so a failure or a cancelled ctx leaves no incomplete file. Errors name
// the URL.
func DownloadCIFAR10(ctx context.Context, client *http.Client, url, dir string) error {
	if client == nil {
		client = http.DefaultClient
	}
	if url == "" {
		url = CIFAR10URL
	}
	return downloadCIFAR10(ctx, client, url, dir, cifar10MD5, cifar10Batch)
}

// downloadCIFAR10 is DownloadCIFAR10 of an archive with this MD5 and this number of images in a batch.
func downloadCIFAR10(ctx context.Context, client *http.Client, url, dir, sum string, batch int) error {
	if hasCIFAR10(dir, batch) {
		return nil
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return fmt.Errorf("datasets: folder for CIFAR-10: %w", err)
	}
	archive, err := os.CreateTemp(dir, ".cifar10-*")
	if err != nil {
		return fmt.Errorf("datasets: folder for CIFAR-10: %w", err)
	}
	defer func() { // an error here changes nothing: all of the archive is unpacked, or there is another error
		_ = errors.Join(archive.Close(), os.Remove(archive.Name()))
	}()
	err = receiveCIFAR10(ctx, client, url, archive, sum)
	if ctx.Err() != nil {
		return fmt.Errorf("datasets: fetching %s: %w", url, context.Cause(ctx))
	} else if err != nil {
		return fmt.Errorf("datasets: fetching %s: %w; try again, or give another address of cifar-10-binary.tar.gz", url, err)
	}
	if err := unpackCIFAR10(archive, filepath.Join(dir, "cifar-10-batches-bin")); err != nil {
		return fmt.Errorf("datasets: unpacking %s: %w", url, err)
	}
	return nil
}

// hasCIFAR10 says whether dir has all batches of one of the archives, each of batch images.
func hasCIFAR10(dir string, batch int) bool {
	c, err := look(dir)
	if err != nil {
		return false
	}
	f, err := c.cifar10Files()
	if err != nil || len(prefer(f.train, "data_batch")) != 5 || len(prefer(f.test, "test_batch")) != 1 {
		return false
	}
	train, test, err := f.read()
	return err == nil && train.Len() == 5*batch && test.Len() == batch
}

// receiveCIFAR10 writes what the server sends to archive, checks it, and goes back to its start.
func receiveCIFAR10(ctx context.Context, client *http.Client, url string, archive *os.File, sum string) error {
	hash := md5.New() // the one that is published
	if err := get(ctx, client, url, io.MultiWriter(archive, hash), cifar10Bytes); err != nil {
		return err
	}
	if got := hex.EncodeToString(hash.Sum(nil)); got != sum {
		return fmt.Errorf("its MD5 is %s, not the published %s", got, sum)
	}
	_, err := archive.Seek(0, io.SeekStart)
	return err
}

// unpackCIFAR10 writes the archive's batches to dir. It ignores other files, and the folders in names.
func unpackCIFAR10(archive io.Reader, dir string) error {
	unzipped, err := gzip.NewReader(archive)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	files := tar.NewReader(unzipped)
	for {
		header, err := files.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		name := path.Base(header.Name)
		if header.Typeflag != tar.TypeReg || !strings.HasSuffix(name, ".bin") {
			continue
		}
		if err := atomicfile.Write(filepath.Join(dir, name), func(part *os.File) error {
			_, err := io.Copy(part, io.LimitReader(files, cifar10Bytes))
			return err
		}); err != nil {
			return err
		}
	}
}
