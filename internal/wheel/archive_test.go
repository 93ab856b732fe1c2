package main

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/csv"
	"fmt"
	"io"
	"strings"
	"testing"
)

// TestWrite: RECORD lists every file with its hash and size, itself without, and the same files make the same bytes.
func TestWrite(t *testing.T) {
	w := &wheel{version: "1.2", tag: "py3-none-any"}
	w.script("run", []byte("#!/bin/sh\n"))
	w.data("share/a.txt", []byte("text"))
	w.describe([]byte("# About\n"), []byte("a license"))
	var b, again bytes.Buffer
	if err := w.write(&b); err != nil {
		t.Fatal(err)
	}
	if err := w.write(&again); err != nil || !bytes.Equal(b.Bytes(), again.Bytes()) {
		t.Errorf("written again it differs, error %v", err)
	}
	z, err := zip.NewReader(bytes.NewReader(b.Bytes()), int64(b.Len()))
	if err != nil {
		t.Fatal(err)
	}
	has := map[string]string{} // line of RECORD by name
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(data)
		has[f.Name] = fmt.Sprintf("sha256=%s,%d", base64.RawURLEncoding.EncodeToString(sum[:]), len(data))
		if strings.HasSuffix(f.Name, "/RECORD") {
			has[f.Name] = ","
			checkRecord(t, data, has)
		}
		if executable := f.Mode()&0o111 != 0; executable != strings.Contains(f.Name, "/scripts/") {
			t.Errorf("%s has mode %v", f.Name, f.Mode())
		}
	}
	if name := w.fileName(); name != "pdquant-1.2-py3-none-any.whl" {
		t.Errorf("the file's name is %s", name)
	}
}

// checkRecord checks RECORD, which is the last file, against all files.
func checkRecord(t *testing.T, data []byte, has map[string]string) {
	t.Helper()
	lines, err := csv.NewReader(bytes.NewReader(data)).ReadAll()
	if err != nil || len(lines) != len(has) {
		t.Errorf("RECORD has %d lines for %d files, error %v", len(lines), len(has), err)
	}
	for _, line := range lines {
		if got := line[1] + "," + line[2]; got != has[line[0]] {
			t.Errorf("RECORD has %s of %s, want %s", got, line[0], has[line[0]])
		}
	}
}

func TestOldEnough(t *testing.T) {
	for version, want := range map[string]bool{"": true, "GLIBC_2.2.5": true, "GLIBC_2.28": true, "GLIBC_2.29": false,
		"GLIBC_2.34": false, "GLIBC_PRIVATE": false, "GLIBCXX_3.4": false} {
		if got := oldEnough(version); got != want {
			t.Errorf("%s: %t", version, got)
		}
	}
}

func TestRelocatable(t *testing.T) {
	spec, err := relocatable([]byte(`{"argv": ["/tmp/x/pdquant", "kernel", "{connection_file}"], "language": "pdquant"}`))
	if err != nil || !strings.Contains(string(spec), `"{resource_dir}/../../../../bin/pdquant"`) ||
		strings.Contains(string(spec), "/tmp") || !strings.Contains(string(spec), `"{connection_file}"`) {
		t.Errorf("%s, error %v", spec, err)
	}
	if _, err := relocatable([]byte(`{}`)); err == nil {
		t.Error("a specification without a program passes")
	}
}
