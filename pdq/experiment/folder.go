package experiment

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gofrs/flock"

	"github.com/pdquant/pdquant/internal/atomicfile"
	"github.com/pdquant/pdquant/internal/killpoint"
	"github.com/pdquant/pdquant/internal/sealed"
	"github.com/pdquant/pdquant/pdq"
)

// Folder is a run's directory.
type Folder string

// CreateFolder makes the directory, if it isn't there, and checks that it can be written to.
func CreateFolder(path string) (Folder, error) {
	if err := os.MkdirAll(path, 0o755); err != nil {
		return "", fmt.Errorf("experiment: run folder: %w; choose another", err)
	}
	if err := killpoint.Here(); err != nil {
		return "", fmt.Errorf("experiment: run folder: %w", err)
	}
	f, err := os.CreateTemp(path, ".write.*"+atomicfile.PartEnd)
	if err != nil {
		return "", fmt.Errorf("experiment: run folder %s can't be written to: %w; choose another", path, err)
	}
	err = errors.Join(f.Close(), killpoint.Here(), ignore(os.Remove(f.Name()), fs.ErrNotExist)) // Lock removes it too
	return Folder(path), err
}

// Lock makes f this process's alone to write to, until unlock is called or the process ends, however it does, and
// removes what processes that were killed left half written. The error names the process that has it.
func (f Folder) Lock() (unlock func() error, err error) {
	lock, err := f.flock(lockFile)
	if err != nil {
		return nil, err
	}
	if ok, err := lock.TryLock(); err != nil || !ok {
		return nil, f.locked(err)
	}
	err = errors.Join(killpoint.Here(), os.WriteFile(f.Path(lockFile), fmt.Appendf(nil, "(%d)\n", os.Getpid()), 0o644))
	if err := errors.Join(err, atomicfile.RemoveParts(string(f))); err != nil {
		return nil, errors.Join(fmt.Errorf("experiment: run folder: %w", err), lock.Unlock())
	}
	return lock.Unlock, nil
}

// Join is Lock for processes that share f, each of which writes the files of what it has claimed. Only one that is
// alone removes what others left half written.
func (f Folder) Join(ctx context.Context) (unlock func() error, err error) {
	if unlock, err := f.Lock(); err == nil {
		if err := unlock(); err != nil {
			return nil, fmt.Errorf("experiment: run folder: %w", err)
		}
	}
	lock, err := f.flock(lockFile)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second) // another process may be looking whether it is alone
	defer cancel()
	if ok, err := lock.TryRLockContext(ctx, 50*time.Millisecond); !ok {
		return nil, f.locked(ignore(err, context.DeadlineExceeded))
	}
	return lock.Unlock, nil
}

// claim makes what is called name this process's alone to compute, until release is called or the process ends. If
// another process has it, release is nil.
func (f Folder) claim(name string) (release func() error, err error) {
	lock, err := f.flock("." + name + claimEnd)
	if err != nil {
		return nil, err
	}
	if ok, err := lock.TryLock(); err != nil || !ok {
		return nil, err
	}
	return lock.Unlock, nil
}

// flock returns the lock of the file called name.
func (f Folder) flock(name string) (*flock.Flock, error) {
	if info, err := os.Lstat(f.Path(name)); err == nil && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("experiment: run folder: %s isn't a regular file (%v); remove it", f.Path(name),
			info.Mode().Type())
	}
	return flock.New(f.Path(name)), nil
}

// locked is the error of a folder that can't be locked, because of err, or because another process has it.
func (f Folder) locked(err error) error {
	if err != nil {
		return fmt.Errorf("experiment: run folder %s can't be locked: %w; choose another", f, err)
	}
	by, _ := os.ReadFile(f.Path(lockFile)) // who it is helps, but isn't needed
	return fmt.Errorf("experiment: run folder %s is being written to by another process%s; "+
		"wait for it, or choose another folder", f, strings.TrimRight(" "+string(by), " \n"))
}

// lockFile stays when the folder isn't locked: to remove it could remove another process's.
const lockFile = ".lock"

// claimEnd ends the names of files that claim locks. They stay, too.
const claimEnd = ".claim"

// Path returns the path of the file called name.
func (f Folder) Path(name string) string { return filepath.Join(string(f), name) }

// Write writes the file called name, whole or not at all.
func (f Folder) Write(name string, data []byte) error {
	if err := atomicfile.WriteBytes(f.Path(name), data); err != nil {
		return fmt.Errorf("experiment: run folder: %w", err)
	}
	return nil
}

// replace writes the file called name by fill, whole or not at all, and keeps the one that was there as
// Previous(name).
func (f Folder) replace(name string, fill func(w io.Writer) error) error {
	err := atomicfile.Replace(f.Path(name), f.Path(Previous(name)), func(file *os.File) error { return fill(file) })
	if err != nil {
		return fmt.Errorf("experiment: run folder: %w", err)
	}
	return nil
}

// WriteJSON writes v, of which JSON makes an object, as the file called name. The object gets a checksum of the
// file as its last field.
func (f Folder) WriteJSON(name string, v any) error {
	data, err := json.MarshalIndent(v, "", "\t")
	if err != nil {
		return fmt.Errorf("experiment: run folder: %s: %w", name, err)
	}
	object, ok := bytes.CutSuffix(data, []byte("\n}"))
	if !ok {
		return fmt.Errorf("experiment: run folder: %s: JSON makes no object with fields of %T", name, v)
	}
	data = fmt.Appendf(object, ",\n\t%q: %q\n}\n", sealed.Key, sealed.Placeholder())
	sealed.Seal(data)
	return f.Write(name, data)
}

// ReadJSON reads what WriteJSON wrote. It is an error if the file has changed since; one without a checksum is
// read as it is.
func (f Folder) ReadJSON(name string, to any) error {
	data, err := atomicfile.Read(f.Path(name))
	if err != nil {
		return fmt.Errorf("experiment: %w", err)
	}
	var sum struct{ SHA256 string }
	if err = json.Unmarshal(data, &sum); err == nil && sum.SHA256 != "" {
		err = sealed.Check(data, sum.SHA256)
	}
	if err == nil {
		err = json.Unmarshal(data, to)
	}
	if err != nil {
		return fmt.Errorf("experiment: %s: %w", f.Path(name), err)
	}
	return nil
}

// SaveStudent writes s, a student of q, to the file called name, whole or not at all. The hash is for Unchanged.
func (f Folder) SaveStudent(q *pdq.Quantizer, name string, s pdq.Student) (hash string, err error) {
	var file bytes.Buffer
	if err := q.WriteStudent(&file, s); err != nil {
		return "", err
	}
	return hashOfFile(file.Bytes()), f.Write(name, file.Bytes())
}

// hashOfFile returns the SHA-256 of a file's content, in hex.
func hashOfFile(data []byte) string { return fmt.Sprintf("%x", sha256.Sum256(data)) }

// Unchanged is an error if the file called name has another hash than SaveStudent returned, as a student of other
// settings has under this name. If there is no file, the error is fs.ErrNotExist. An empty hash, which folders of older
// versions have, fits any file.
func (f Folder) Unchanged(name, hash string) error {
	if hash == "" {
		return nil
	}
	data, err := atomicfile.Read(f.Path(name))
	if err != nil {
		return fmt.Errorf("experiment: %w", err)
	}
	if hashOfFile(data) != hash {
		return fmt.Errorf("experiment: %s isn't what was saved; restore it, or quantise again in another folder",
			f.Path(name))
	}
	return nil
}

// LoadStudent reads what SaveStudent wrote. Errors are those of Quantizer.ReadStudent, with the file's name.
func (f Folder) LoadStudent(q *pdq.Quantizer, name string) (pdq.Student, error) {
	file, err := atomicfile.Open(f.Path(name))
	if err != nil {
		return pdq.Student{}, fmt.Errorf("experiment: %w", err)
	}
	defer file.Close() // only read from
	s, err := q.ReadStudent(file)
	if err != nil {
		err = fmt.Errorf("%s: %w", f.Path(name), err)
	}
	return s, err
}

// SaveState writes s, a state of q, to the file called name, whole or not at all. The state that was there
// before is kept beside it (Previous).
func (f Folder) SaveState(q *pdq.Quantizer, name string, s pdq.State) error {
	return f.replace(name, func(w io.Writer) error { return q.WriteState(w, s) })
}

// LoadState reads what SaveState wrote. If there is none, the error is fs.ErrNotExist. Other errors are those of
// Quantizer.ReadState, with the file's name; ErrDamaged says whether the state before it is whole.
func (f Folder) LoadState(q *pdq.Quantizer, name string) (pdq.State, error) {
	file, err := atomicfile.Open(f.Path(name))
	if err != nil {
		return pdq.State{}, fmt.Errorf("experiment: %w", err)
	}
	defer file.Close() // only read from
	s, err := q.ReadState(file)
	if err == nil {
		return s, nil
	}
	err = fmt.Errorf("%s: %w", f.Path(name), err)
	if !errors.Is(err, pdq.ErrDamaged) {
		return s, err
	}
	if earlier, e := atomicfile.Open(f.Path(Previous(name))); e == nil {
		defer earlier.Close() // only read from
		if record, e := pdq.ReadStateRecord(earlier); e == nil {
			err = fmt.Errorf("%w; the one before it, %s, is whole, of %v", err, Previous(name), record)
		}
	}
	return s, err
}

// Previous is the name of the state that was written before the one called name.
func Previous(name string) string { return name + ".previous" }

// RemoveState removes the state called name and the one before it, as far as they are there.
func (f Folder) RemoveState(name string) error {
	var errs []error
	for _, name := range []string{name, Previous(name)} {
		err := killpoint.Here()
		if err == nil {
			err = ignore(os.Remove(f.Path(name)), fs.ErrNotExist)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("experiment: run folder: %w", err))
		}
	}
	return errors.Join(errs...)
}
