package datasets

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
)

// serve starts a server on the loopback interface that answers by handler.
func serve(t *testing.T, handler http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(handler)
	t.Cleanup(s.Close)
	return s
}

// files returns the content of each file in dir, by name.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	held := map[string]string{}
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		held[e.Name()] = string(b)
	}
	return held
}

func TestDownload(t *testing.T) {
	source, dir := t.TempDir(), filepath.Join(t.TempDir(), "new", "folder")
	part := writePart(t, source, ".gz")
	var requests atomic.Int32
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		w.Header().Set("Content-Encoding", "gzip") // as some servers label a .gz
		http.FileServer(http.Dir(source)).ServeHTTP(w, r)
	})
	get := func() error {
		return download(t.Context(), s.Client(), s.URL, dir, []idxFile{part.images, part.labels})
	}
	if err := get(); err != nil {
		t.Fatal(err)
	}
	if got, want := files(t, dir), files(t, source); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("fetched %q, want %q", got, want)
	}
	if _, err := readFashionMNIST(dir, part); err != nil {
		t.Error(err)
	}

	requests.Store(0)
	if err := get(); err != nil || requests.Load() != 0 {
		t.Errorf("all there: %d requests, error %v", requests.Load(), err)
	}
	if err := os.WriteFile(filepath.Join(dir, "toy-labels.gz"), []byte("damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := get(); err != nil || requests.Load() != 1 {
		t.Errorf("one damaged: %d requests, error %v", requests.Load(), err)
	}
	if got, want := files(t, dir), files(t, source); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("repaired to %q, want %q", got, want)
	}
}

func TestDownloadErrors(t *testing.T) {
	source := t.TempDir()
	part := writePart(t, source, ".gz")
	good := files(t, source)["toy-images.gz"]
	for _, c := range []struct {
		name, want string
		handler    http.HandlerFunc
	}{
		{"not found", "status 404 Not Found; try again, give another base URL", http.NotFound},
		{"web page", "byte 0: 3c 68 is not the start", func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, "<html>log in first</html>")
		}},
		{"wrong checksum", "content has SHA-256 " + part.labels.sha256 + ", toy-images has " + part.images.sha256,
			func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, twoLabels) }},
		{"connection lost", "unexpected EOF", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", fmt.Sprint(len(good)))
			fmt.Fprint(w, good[:20])
		}},
		{"short file", "file ends within", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, good[:20]) }},
		{"empty file", "byte 0: file ends", func(http.ResponseWriter, *http.Request) {}},
		{"trailing bytes", "at the end", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, good+"more") }},
		{"redirects", "stopped after 10 redirects", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, r.URL.Path, http.StatusFound)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, dir := serve(t, c.handler), t.TempDir()
			old := filepath.Join(dir, "toy-images.gz")
			if err := os.WriteFile(old, []byte("older"), 0o600); err != nil {
				t.Fatal(err)
			}
			err := download(t.Context(), s.Client(), s.URL+"/mirror/", dir, []idxFile{part.images, part.labels})
			if lacks(err, c.want, s.URL+"/mirror/toy-images.gz: ") {
				t.Errorf("error %v, want one with the URL and %q", err, c.want)
			}
			if got := files(t, dir); len(got) != 1 || got["toy-images.gz"] != "older" {
				t.Errorf("folder holds %q, want the older file only", got)
			}
		})
	}
}

func TestDownloadCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, twoImages[:10])
		w.(http.Flusher).Flush()
		cancel()
		<-r.Context().Done()
	})
	dir := t.TempDir()
	err := DownloadFashionMNIST(ctx, nil, s.URL, dir)
	if err == nil || !strings.HasSuffix(err.Error(), "t10k-labels-idx1-ubyte.gz: context canceled") {
		t.Errorf("cancelled: %v", err)
	}
	if got := files(t, dir); len(got) != 0 {
		t.Errorf("folder holds %q", got)
	}
}

func TestDownloadUnreachable(t *testing.T) {
	s := serve(t, http.NotFound)
	s.Close()
	err := DownloadFashionMNIST(t.Context(), nil, s.URL, t.TempDir())
	if lacks(err, "connection refused", debian) || strings.Count(err.Error(), s.URL) != 1 {
		t.Errorf("server gone: %v", err)
	}
	if err := DownloadFashionMNIST(t.Context(), nil, "http://[", t.TempDir()); lacks(err, FashionMNISTURL) {
		t.Errorf("bad base URL: %v", err)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := DownloadFashionMNIST(t.Context(), nil, s.URL, file); lacks(err, file) {
		t.Errorf("folder that is a file: %v", err)
	}
}

func TestGetLimit(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "12345") })
	var b strings.Builder
	if err := get(t.Context(), s.Client(), s.URL, &b, 5); err != nil || b.String() != "12345" {
		t.Errorf("five bytes: %q, %v", b.String(), err)
	}
	if err := get(t.Context(), s.Client(), s.URL, &b, 4); lacks(err, "more than 4 bytes") {
		t.Errorf("one byte too many: %v", err)
	}
}

// TestDownloadFashionMNIST fetches the true test files from a server that lacks the training files.
func TestDownloadFashionMNIST(t *testing.T) {
	s, dir := serve(t, http.FileServer(http.Dir("fashionmnist")).ServeHTTP), t.TempDir()
	err := DownloadFashionMNIST(t.Context(), s.Client(), s.URL, dir)
	if lacks(err, s.URL+"/train-labels-idx1-ubyte.gz: status 404") {
		t.Errorf("error %v, want one about the training labels", err)
	}
	if im, err := readFashionMNIST(dir, fashionMNISTTest()); err != nil || im.Len() != 10000 {
		t.Errorf("%d test images, error %v", im.Len(), err)
	}
	if got := files(t, dir); len(got) != 2 {
		t.Errorf("%d files in the folder, want 2", len(got))
	}
}
