package main

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// server is what Jupyter's server writes about itself.
type server struct{ URL, Token string }

// TestOpen: JupyterLab starts with both kernels, runs one, and leaves no process when it is asked to end.
func TestOpen(t *testing.T) {
	if testing.Short() {
		t.Skip("installs JupyterLab and builds the kernels; run without -short")
	}
	t.Chdir(filepath.Join("..", ".."))
	if _, err := lab(t.Context()); err != nil {
		t.Skip(err)
	}
	runtime := t.TempDir()
	j, err := newJupyter()
	if err != nil {
		t.Fatal(err)
	}
	j.env = append(j.env, "JUPYTER_RUNTIME_DIR="+runtime, "BROWSER=true") // no browser
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- j.open(ctx) }()
	s := started(t, runtime, ended)
	if text := s.ask(t, http.MethodGet, "lab"); !strings.Contains(text, "JupyterLab") {
		t.Errorf("lab: %.300s", text)
	}
	text := s.ask(t, http.MethodGet, "api/kernelspecs")
	for _, name := range []string{pdquant, gonb} {
		if !strings.Contains(text, filepath.Join("kernels", name)) && !strings.Contains(text, `"name": "`+name+`"`) {
			t.Errorf("no kernel %s: %.600s", name, text)
		}
	}
	if text := s.ask(t, http.MethodPost, "api/kernels"); !strings.Contains(text, "id") {
		t.Errorf("a kernel: %s", text)
	}
	children := descendants(os.Getpid())
	if len(children) < 2 { // the server and a kernel
		t.Errorf("processes %v", children)
	}
	cancel()
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("it doesn't end")
	}
	if left := descendants(os.Getpid()); len(left) > 0 {
		t.Errorf("processes %v are left", left)
	}
	if _, err := http.Get(s.URL); err == nil {
		t.Errorf("%s answers still", s.URL)
	}
}

// started waits until a server has written what it is.
func started(t *testing.T, runtime string, ended <-chan error) (s server) {
	t.Helper()
	for range 3000 {
		paths, err := filepath.Glob(filepath.Join(runtime, "*server-*.json"))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			if data, err := os.ReadFile(path); err == nil && json.Unmarshal(data, &s) == nil && s.answers() {
				return s
			}
		}
		select {
		case err := <-ended:
			t.Fatalf("it ended, error %v", err)
		case <-time.After(100 * time.Millisecond):
		}
	}
	t.Fatal("no server in five minutes")
	return s
}

func (s server) answers() bool {
	r, err := http.Get(s.URL + "api")
	if err != nil {
		return false
	}
	return r.Body.Close() == nil && r.StatusCode == http.StatusOK
}

// ask returns the answer to a request. What is posted asks for pdquant's kernel.
func (s server) ask(t *testing.T, method, path string) string {
	t.Helper()
	body := ""
	if method == http.MethodPost {
		body = `{"name": "` + pdquant + `"}`
	}
	r, err := http.NewRequestWithContext(t.Context(), method, s.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "token "+s.Token)
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode >= http.StatusBadRequest {
		t.Fatalf("%s: %s, error %v: %.500s", path, answer.Status, err, text)
	}
	return string(text)
}
