package commands

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/pdquant/pdquant/internal/killpoint"
	"github.com/pdquant/pdquant/pdq/experiment"
)

// replace moves a session's files from the folder saving/ to its own, in place of an older session's. A process that
// is killed meanwhile loses nothing, nor does an error: finishSaving goes on.
func replace(folder, part experiment.Folder) error {
	for _, step := range replacing(folder, part) {
		err := killpoint.Here()
		if err == nil {
			err = step()
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("repl: %w; save again", err)
		}
	}
	return nil
}

// replacing lists what replace has to do. The older session's files go first, while saving/ still has session.json,
// and saving/'s record is moved last: a folder with a record is whole, and so is saving/ with what was moved already.
func replacing(folder, part experiment.Folder) (steps []func() error) {
	files := []string{sessionFile, studentFile, metricsFile, evaluationFile, roundingFile, namesFolder,
		experiment.RecordFile}
	if exists(part.Path(sessionFile)) {
		steps = append(steps, func() error { return os.Remove(folder.Path(experiment.RecordFile)) })
		for _, name := range files {
			if !exists(part.Path(name)) || name == namesFolder { // a folder can't take another's place
				steps = append(steps, func() error { return os.RemoveAll(folder.Path(name)) })
			}
		}
	}
	for _, name := range files {
		if exists(part.Path(name)) {
			steps = append(steps, func() error { return os.Rename(part.Path(name), folder.Path(name)) })
		}
	}
	return steps
}

// finishAlone is finishSaving for a process that hasn't locked the folder. Where no saving is unfinished, it needs no
// lock.
func finishAlone(folder experiment.Folder) (err error) {
	if !exists(folder.Path(savingFolder)) {
		return nil
	}
	unlock, err := folder.Lock()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	return finishSaving(folder)
}

// finishSaving ends what a process was killed in: it moves a session that is whole in saving/ to its place, and
// removes one that isn't.
func finishSaving(folder experiment.Folder) error {
	part := experiment.Folder(folder.Path(savingFolder))
	if exists(part.Path(experiment.RecordFile)) {
		if err := replace(folder, part); err != nil {
			return err
		}
	}
	if err := errors.Join(killpoint.Here(), os.RemoveAll(string(part))); err != nil {
		return fmt.Errorf("repl: %w", err)
	}
	return nil
}
