package datasets

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
)

// cifarArchive packs a folder of six batches of one image as the published archive has them, and
// returns it with its MD5.
func cifarArchive(t *testing.T, more ...string) (archive []byte, sum string) {
	t.Helper()
	var b bytes.Buffer
	zipped := gzip.NewWriter(&b)
	files := tar.NewWriter(zipped)
	names := append([]string{
		"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin",
		"test_batch.bin", "readme.html"}, more...)
	for i, name := range names {
		content := record(byte(i%10), 1, 2, byte(i))
		header := tar.Header{Name: "cifar-10-batches-bin/" + name, Mode: 0o600, Size: int64(len(content))}
		if err := files.WriteHeader(&header); err != nil {
			t.Fatal(err)
		}
		if _, err := files.Write(content); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(files.Close(), zipped.Close()); err != nil {
		t.Fatal(err)
	}
	hash := md5.Sum(b.Bytes())
	return b.Bytes(), hex.EncodeToString(hash[:])
}

func TestDownloadCIFAR10(t *testing.T) {
	archive, sum := cifarArchive(t, "../../escaped.bin")
	var requests atomic.Int32
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		requests.Add(1)
		_, _ = w.Write(archive)
	})
	parent := t.TempDir()
	dir := filepath.Join(parent, "new", "cifar10")
	for range 2 {
		if err := downloadCIFAR10(t.Context(), s.Client(), s.URL, dir, sum, 1); err != nil {
			t.Fatal(err)
		}
	}
	if requests.Load() != 1 {
		t.Errorf("%d requests for what is there after the first", requests.Load())
	}
	if hasCIFAR10(dir, 2) {
		t.Error("batches of one image are taken for batches of two")
	}
	train, test, err := OpenCIFAR10(dir)
	if err != nil || train.Len() != 5 || test.Len() != 1 || test.Labels[0] != 5 ||
		train.Name != "cifar10/train" || test.Name != "cifar10/test" {
		t.Errorf("%s of %d, %s of %d, error %v", train.Name, train.Len(), test.Name, test.Len(), err)
	}
	if held := files(t, filepath.Join(dir, "cifar-10-batches-bin")); len(held) != 7 || held["readme.html"] != "" {
		t.Errorf("unpacked %d files", len(held))
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("left in the folder: %v, error %v", entries, err)
	}
}

func TestDownloadCIFAR10Errors(t *testing.T) {
	archive, sum := cifarArchive(t)
	for _, c := range []struct {
		name, sum, want string
		handler         http.HandlerFunc
	}{
		{"damaged", sum, "its MD5 is", func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write(archive[:len(archive)-1])
		}},
		{"missing", sum, "status 404", http.NotFound},
	} {
		s, dir := serve(t, c.handler), t.TempDir()
		err := downloadCIFAR10(t.Context(), s.Client(), s.URL, dir, c.sum, 1)
		if lacks(err, c.want, s.URL) {
			t.Errorf("%s: error %v, want %q and the URL", c.name, err, c.want)
		}
		if held, err := os.ReadDir(dir); err != nil || len(held) > 0 {
			t.Errorf("%s: left %v, error %v", c.name, held, err)
		}
	}
	ctx, stop := context.WithCancelCause(t.Context())
	stop(errors.New("no time"))
	if err := DownloadCIFAR10(ctx, nil, "http://127.0.0.1:1", t.TempDir()); lacks(err, "no time") {
		t.Errorf("cancelled: %v", err)
	}
}

// TestOpenCIFAR10: a folder with some of the images, in files train*.bin and test*.bin, is CIFAR-10 too; both parts
// must be there.
func TestOpenCIFAR10(t *testing.T) {
	dir := t.TempDir()
	put(t, records(3), dir, "train_a.bin")
	put(t, records(2), dir, "train_b.bin")
	want := "has 2 files of CIFAR-10's training images and 0 of its test images"
	if _, _, err := OpenCIFAR10(dir); !errors.Is(err, fs.ErrNotExist) || lacks(err, want) {
		t.Errorf("no test images: %v", err)
	}
	put(t, records(1), dir, "test.bin")
	train, test, err := OpenCIFAR10(dir)
	if err != nil || train.Len() != 5 || test.Len() != 1 || train.Name != "cifar10/train" {
		t.Errorf("%d and %d images, error %v", train.Len(), test.Len(), err)
	}
}
