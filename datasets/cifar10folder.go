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
	"net/http"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/pdquant/pdquant/internal/atomicfile"
)

// CIFAR10URL is where the University of Toronto publishes CIFAR-10 in its binary form.
const CIFAR10URL = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"

// The archive as published: its page gives the MD5.
const (
	cifar10MD5   = "c32a1d4ab5d03f1284b67883e8d87530"
	cifar10Bytes = 256 << 20 // the archive has 170,052,171, each file in it 30,730,000
)

// OpenCIFAR10 returns the 50,000 training and 10,000 test images of CIFAR-10 from the files that either
// archive of it unpacks to: six batches, in dir or in its folder cifar-10-batches-bin or -py. Without these,
// it takes the files train*.bin and test*.bin in dir, which may hold any number of images in the binary form.
// Errors are those of CIFAR10; that of a missing file satisfies errors.Is(err, fs.ErrNotExist).
func OpenCIFAR10(dir string) (train, test Images, err error) {
	at, ending := filepath.Join(dir, "cifar-10-batches-bin"), ".bin"
	for _, place := range []struct{ folder, ending string }{{"", ".bin"}, {"", ""}, {"cifar-10-batches-bin", ".bin"}, {"cifar-10-batches-py", ""}} {
		if _, err := os.Stat(filepath.Join(dir, place.folder, "test_batch"+place.ending)); err == nil {
			at, ending = filepath.Join(dir, place.folder), place.ending
			break
		}
	}
	var batches []string
	for i := range 5 {
		batches = append(batches, filepath.Join(at, fmt.Sprintf("data_batch_%d%s", i+1, ending)))
	}
	tests := []string{filepath.Join(at, "test_batch"+ending)}
	if _, err := os.Stat(tests[0]); err != nil {
		if excerpts, excerptTests := cifar10Excerpt(dir); excerpts != nil && excerptTests != nil {
			batches, tests = excerpts, excerptTests
		}
	}
	if train, err = CIFAR10(batches...); err != nil {
		return Images{}, Images{}, err
	}
	train.Name = "cifar10/train"
	if test, err = CIFAR10(tests...); err != nil {
		return Images{}, Images{}, err
	}
	test.Name = "cifar10/test"
	return train, test, nil
}

// cifar10Excerpt lists the files in dir that hold some of CIFAR-10's training and test images, by their names' beginnings.
func cifar10Excerpt(dir string) (train, test []string) {
	train, _ = filepath.Glob(filepath.Join(dir, "train*.bin")) // fails only for a bad pattern
	test, _ = filepath.Glob(filepath.Join(dir, "test*.bin"))
	return train, test
}

// DownloadCIFAR10 fetches CIFAR-10 (170 MB) and unpacks it to dir/cifar-10-batches-bin. A nil client is
// http.DefaultClient, an empty url is CIFAR10URL. Nothing is unpacked unless the MD5 of the archive is
// the published one, so that a failure or a cancelled ctx leaves no half of a file; what dir has
// already isn't fetched again. Errors name the URL.
func DownloadCIFAR10(ctx context.Context, client *http.Client, url, dir string) error {
	if client == nil {
		client = http.DefaultClient
	}
	if url == "" {
		url = CIFAR10URL
	}
	return downloadCIFAR10(ctx, client, url, dir, cifar10MD5)
}

func downloadCIFAR10(ctx context.Context, client *http.Client, url, dir, sum string) error {
	if _, _, err := OpenCIFAR10(dir); err == nil {
		return nil
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return fmt.Errorf("datasets: folder for CIFAR-10: %w", err)
	}
	archive, err := os.CreateTemp(dir, ".cifar10-*")
	if err != nil {
		return fmt.Errorf("datasets: folder for CIFAR-10: %w", err)
	}
	defer func() { _ = errors.Join(archive.Close(), os.Remove(archive.Name())) }() // all of it is unpacked, or there is another error
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

// unpackCIFAR10 writes the archive's batches to dir: no other files, and no folders, whatever it names.
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
