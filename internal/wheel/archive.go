package main

import (
	"archive/zip"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"time"
)

// project is the name of the package.
const project = "pdquant"

// wheel is a binary distribution of Python's, in format 1.0.
type wheel struct {
	version string // as PEP 440 has it: 0.1.0
	tag     string // of Pythons and platforms: py3-none-manylinux_2_28_x86_64
	files   []file
}

// file is one of a wheel's.
type file struct {
	name string // path in the wheel
	mode fs.FileMode
	data []byte
}

// fileName returns the wheel's.
func (w *wheel) fileName() string { return project + "-" + w.version + "-" + w.tag + ".whl" }

// script adds a program that pip installs in the environment's bin folder.
func (w *wheel) script(name string, data []byte) { w.add(".data/scripts/"+name, 0o755, data) }

// data adds a file with a path below the environment's folder.
func (w *wheel) data(name string, data []byte) { w.add(".data/data/"+name, 0o644, data) }

// info adds a file of the package's metadata.
func (w *wheel) info(name string, data []byte) { w.add(".dist-info/"+name, 0o644, data) }

func (w *wheel) add(name string, mode fs.FileMode, data []byte) {
	w.files = append(w.files, file{project + "-" + w.version + name, mode, data})
}

// describe adds the metadata that pip reads. The readme is Markdown.
func (w *wheel) describe(readme, license []byte) {
	w.info("METADATA", fmt.Appendf(nil, `Metadata-Version: 2.4
Name: %s
Version: %s
Summary: Low-bit post-training quantisation of image classifiers (PD-Quant): a shell and a Jupyter kernel
License-Expression: Apache-2.0
License-File: LICENSE
Requires-Python: >=3.9
Requires-Dist: onnxruntime
Description-Content-Type: text/markdown

%s`, project, w.version, readme))
	w.info("WHEEL", fmt.Appendf(nil, "Wheel-Version: 1.0\nGenerator: %s\nRoot-Is-Purelib: false\nTag: %s\n", project,
		w.tag))
	w.info("licenses/LICENSE", license)
}

// write writes the wheel. The same files make the same bytes.
func (w *wheel) write(to io.Writer) error {
	record := project + "-" + w.version + ".dist-info/RECORD"
	files := append(slices.Clone(w.files), file{record, 0o644, w.record(record)})
	epoch := time.Date(1980, time.January, 1, 0, 0, 0, 0, time.UTC) // the earliest that the format has
	z := zip.NewWriter(to)
	for _, f := range files {
		h := &zip.FileHeader{Name: f.name, Method: zip.Deflate, Modified: epoch}
		h.SetMode(f.mode)
		part, err := z.CreateHeader(h)
		if err == nil {
			_, err = part.Write(f.data)
		}
		if err != nil {
			return fmt.Errorf("wheel: %s: %w", f.name, err)
		}
	}
	return z.Close()
}

// record returns the list of files with their hashes and sizes. Its own line, that of name, has none.
func (w *wheel) record(name string) []byte {
	var b strings.Builder
	for _, f := range w.files {
		sum := sha256.Sum256(f.data)
		fmt.Fprintf(&b, "%s,sha256=%s,%d\n", f.name, base64.RawURLEncoding.EncodeToString(sum[:]), len(f.data))
	}
	fmt.Fprintf(&b, "%s,,\n", name)
	return []byte(b.String())
}
