package datasets

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"

	"github.com/pdquant/pdquant/internal/atomicfile"
)

// FashionMNISTURL is where Zalando publishes the four files of Fashion-MNIST.
const FashionMNISTURL = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"

// downloadLimit is the most bytes a file may have; the largest one has 26,421,880.
const downloadLimit = 64 << 20

// DownloadFashionMNIST fetches the four files of Fashion-MNIST (31 MB), gzip'ed, into dir. It makes dir if that doesn't
// exist. A nil client is http.DefaultClient, an empty baseURL is FashionMNISTURL. It skips files that are complete, so
// a call after a failure fetches the missing ones.
//
// A file gets its name only when all of it has arrived and the SHA-256 of its content is right: a failure or a
// cancelled ctx leaves no incomplete file, and older files as they were. Errors name the URL.
func DownloadFashionMNIST(ctx context.Context, client *http.Client, baseURL, dir string) error {
	if client == nil {
		client = http.DefaultClient
	}
	if baseURL == "" {
		baseURL = FashionMNISTURL
	}
	train, test := fashionMNISTTrain(), fashionMNISTTest()
	return download(ctx, client, baseURL, dir, []idxFile{test.labels, test.images, train.labels, train.images})
}

// download fetches those of files, gzip'ed, that dir lacks or has with other content.
func download(ctx context.Context, client *http.Client, baseURL, dir string, files []idxFile) error {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return fmt.Errorf("datasets: folder for Fashion-MNIST: %w", err)
	}
	for _, f := range files {
		path := filepath.Join(dir, f.name+".gz")
		if x, err := ReadIDXFile(path); err == nil && f.check(x) == nil {
			continue
		}
		from, err := url.JoinPath(baseURL, f.name+".gz")
		if err != nil {
			return fmt.Errorf("datasets: base URL %q: %w; give one like %s", baseURL, err, FashionMNISTURL)
		}
		if err := fetch(ctx, client, from, path, f); ctx.Err() != nil {
			return fmt.Errorf("datasets: fetching %s: %w", from, context.Cause(ctx))
		} else if err != nil {
			return fmt.Errorf("datasets: fetching %s: %w; try again, give another base URL, "+
				"or use /usr/share/datasets/fashion-mnist (Debian package dataset-fashion-mnist)", from, err)
		}
	}
	return nil
}

// fetch gets one file, compares its checksum and gives it the name path.
func fetch(ctx context.Context, client *http.Client, from, path string, f idxFile) error {
	return atomicfile.Write(path, func(part *os.File) error { return receive(ctx, client, from, part, f) })
}

// receive writes what the server sends to part and reads it again to check it.
func receive(ctx context.Context, client *http.Client, from string, part *os.File, f idxFile) error {
	if err := get(ctx, client, from, part, downloadLimit); err != nil {
		return err
	}
	if _, err := part.Seek(0, io.SeekStart); err != nil {
		return err
	}
	x, err := readIDX(part)
	if err != nil {
		return err
	}
	return f.check(x)
}

// get copies the body at from to w, as the server stores it: at most limit bytes.
func get(ctx context.Context, client *http.Client, from string, w io.Writer, limit int64) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Accept-Encoding", "identity") // keeps net/http from unpacking a .gz on its way
	resp, err := client.Do(req)
	if err != nil {
		if u, ok := errors.AsType[*url.Error](err); ok {
			err = u.Err // the URL is in the message already
		}
		return err
	}
	defer resp.Body.Close() // only read from
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("status %s", resp.Status)
	}
	n, err := io.Copy(w, io.LimitReader(resp.Body, limit+1))
	if err != nil {
		return err
	}
	if n > limit {
		return fmt.Errorf("more than %d bytes", limit)
	}
	return nil
}
