// Package atomicfile writes files as a whole or not at all, and reads them.
package atomicfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"

	"github.com/pdquant/pdquant/internal/killpoint"
)

// Write writes the file at path. fill writes its content to a temporary file in the same folder. If fill succeeds, this
// is synced and renamed to path. If not, it is removed, and an older file at path stays as it was.
func Write(path string, fill func(f *os.File) error) error {
	return write(path, fill, func() error { return nil })
}

// Replace is Write, but renames an older file at path to earlier, which it overwrites.
func Replace(path, earlier string, fill func(f *os.File) error) error {
	return write(path, fill, func() error { return keep(path, earlier) })
}

// write is Write, but calls before between writing and renaming.
func write(path string, fill func(f *os.File) error, before func() error) (err error) {
	if err := killpoint.Here(); err != nil {
		return err
	}
	part, err := create(path)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(part.Name()))
		}
	}()
	if err := errors.Join(killpoint.Here(), fill(part), part.Chmod(0o644), part.Sync(), part.Close()); err != nil {
		return err
	}
	if err := errors.Join(killpoint.Here(), before()); err != nil {
		return err
	}
	if err := killpoint.Here(); err != nil {
		return err
	}
	if err := os.Rename(part.Name(), path); err != nil {
		return err
	}
	syncFolder(filepath.Dir(path))
	return nil
}

// create makes the temporary file of path. Its error names path, which users know.
func create(path string) (*os.File, error) {
	part, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*"+PartEnd)
	if failed := new(fs.PathError); errors.As(err, &failed) {
		failed.Path = path
	}
	return part, err
}

// Try is an error if Write couldn't make a file at path as things are. It leaves nothing behind.
func Try(path string) error {
	part, err := create(path)
	if err != nil {
		return err
	}
	return errors.Join(part.Close(), os.Remove(part.Name()))
}

// syncFolder makes a rename permanent, if the system can sync folders. If it can't, the older file, which is also
// whole, may be back after a power failure.
func syncFolder(dir string) {
	if f, err := os.Open(dir); err == nil {
		_ = f.Sync()
		_ = f.Close()
	}
}

// keep gives the file at path, if there is one, the name second as well.
func keep(path, second string) error {
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := os.Remove(second); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := killpoint.Here(); err != nil {
		return err
	}
	if os.Link(path, second) == nil {
		return nil
	}
	data, err := os.ReadFile(path) // the file system has no links
	if err != nil {
		return err
	}
	return WriteBytes(second, data)
}

// Open opens a regular file for reading. Anything else, such as a named pipe, which may never end, is an error.
func Open(path string) (*os.File, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s isn't a regular file (%v); remove it", path, info.Mode().Type())
	}
	return os.Open(path)
}

// Read returns the content of a file that Open opens.
func Read(path string) ([]byte, error) {
	f, err := Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() // only read from
	return io.ReadAll(f)
}

// PartEnd ends the names of temporary files.
const PartEnd = ".part"

// partName matches the names of temporary files.
const partName = `\.\d+\` + PartEnd + `$`

// RemoveParts removes the temporary files that killed processes have left in a folder; files of other programs stay. No
// other process may be writing there.
func RemoveParts(dir string) error {
	files, err := os.ReadDir(dir)
	of := regexp.MustCompile(partName)
	for _, file := range files {
		if file.Type().IsRegular() && of.MatchString(file.Name()) {
			err = errors.Join(err, killpoint.Here(), os.Remove(filepath.Join(dir, file.Name())))
		}
	}
	return err
}

// WriteBytes writes data to the file at path.
func WriteBytes(path string, data []byte) error {
	return Write(path, func(f *os.File) error {
		_, err := f.Write(data)
		return err
	})
}
