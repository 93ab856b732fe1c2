package main

import (
	"archive/tar"
	"bufio"
	"compress/gzip"
	"crypto/sha512"
	_ "embed"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"github.com/pdquant/pdquant/internal/fetched"
	"github.com/pdquant/pdquant/pdq/backend/internal/ortlib"
)

const (
	npmPackage = "onnxruntime-node"
	// The checksum of the package's archive in version ortlib.Version, as npm writes it.
	integrity = "sha512-twhs1C2C/BFkz1yc5OY0KIU2GUq6DURO7hD4bx5Q2Qy3nAMJwRXW8xU3NVczE29VA9lolLOYepoD8fjTGOfIqw=="
)

//go:embed LICENSE.onnxruntime
var licence []byte

// memberPaths returns the library's path in the package for each GOOS/GOARCH.
func memberPaths() map[string]string {
	return map[string]string{
		"linux/amd64":  "package/bin/napi-v6/linux/x64/libonnxruntime.so.1",
		"linux/arm64":  "package/bin/napi-v6/linux/arm64/libonnxruntime.so.1",
		"darwin/arm64": "package/bin/napi-v6/darwin/arm64/libonnxruntime.1.dylib",
	}
}

// unpack checks the npm package's archive and writes this platform's library, its licence and the package's description
// to the folder work.
func unpack(archive, work string) error {
	f, err := os.Open(archive)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := verify(f, integrity); err != nil {
		return fmt.Errorf("%s: %w", archive, err)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	library, ok := memberPaths()[runtime.GOOS+"/"+runtime.GOARCH]
	if !ok {
		return fmt.Errorf("%s has no library for %s/%s", archive, runtime.GOOS, runtime.GOARCH)
	}
	if err := extract(f, work, library, "package/package.json"); err != nil {
		return fmt.Errorf("%s: %w", archive, err)
	}
	return writeLicence(work)
}

// verify reads r to its end and compares its checksum, written as npm writes it: "sha512-" and the sum in base64.
func verify(r io.Reader, want string) error {
	h := sha512.New()
	if _, err := io.Copy(h, r); err != nil {
		return err
	}
	if got := "sha512-" + base64.StdEncoding.EncodeToString(h.Sum(nil)); got != want {
		return fmt.Errorf("checksum is %s, not %s", got, want)
	}
	return nil
}

// extract writes the members of a .tgz into folder, each under its base name.
func extract(r io.Reader, folder string, members ...string) error {
	z, err := gzip.NewReader(bufio.NewReader(r))
	if err != nil {
		return err
	}
	missing := make(map[string]bool)
	for _, m := range members {
		missing[m] = true
	}
	for t := tar.NewReader(z); len(missing) > 0; {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return fmt.Errorf("no %v in the archive", missing)
		}
		if err != nil {
			return err
		}
		if !missing[h.Name] || h.Typeflag != tar.TypeReg {
			continue
		}
		if err := fetched.Write(filepath.Join(folder, filepath.Base(h.Name)), t); err != nil {
			return err
		}
		delete(missing, h.Name)
	}
	return nil
}

// writeLicence writes ONNX Runtime's licence, which npm's package leaves out.
func writeLicence(work string) error {
	return os.WriteFile(filepath.Join(work, "LICENSE"), licence, 0o644)
}

// place moves the files from work to folder, the library last: if it is there, all files are.
func place(work, folder string) error {
	library, err := ortlib.Path()
	if err != nil {
		return err
	}
	for _, name := range []string{"LICENSE", "package.json", filepath.Base(library)} {
		err := os.Rename(filepath.Join(work, name), filepath.Join(folder, name))
		if err != nil && !(name == "package.json" && errors.Is(err, fs.ErrNotExist)) { // a release has none
			return err
		}
	}
	return nil
}
