package main

import (
	"archive/zip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/pdquant/pdquant/internal/fetched"
	"github.com/pdquant/pdquant/pdq/backend/internal/pjrtlib"
)

// unpack checks the wheel in file path and moves the plugin and its licences to dir by way of the folder work, the
// plugin last: if it is there, all files are.
func unpack(path, work, dir string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	h := sha256.New()
	size, err := io.Copy(h, f)
	if err != nil {
		return err
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != sum {
		return fmt.Errorf("%s: SHA-256 is %s, not %s; download the file again", path, got, sum)
	}
	return extract(f, size, work, dir, "LICENSE", "THIRD_PARTY_NOTICES", pjrtlib.File)
}

// extract moves the files of the zip archive r that have these names, in whatever folder, to dir in their order.
func extract(r io.ReaderAt, size int64, work, dir string, names ...string) error {
	z, err := zip.NewReader(r, size)
	if err != nil {
		return err
	}
	for _, name := range names {
		i := slices.IndexFunc(z.File, func(f *zip.File) bool { return filepath.Base(f.Name) == name })
		if i < 0 {
			return fmt.Errorf("no %s in the archive", name)
		}
		if err := extractFile(z.File[i], filepath.Join(work, name)); err != nil {
			return err
		}
		if err := os.Rename(filepath.Join(work, name), filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	return nil
}

func extractFile(f *zip.File, path string) error {
	r, err := f.Open()
	if err != nil {
		return err
	}
	defer r.Close()
	return fetched.Write(path, r)
}
