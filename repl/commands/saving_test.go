package commands

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/pdquant/pdquant/pdq/experiment"
)

// TestKilledSaving: wherever a process is killed while a session replaces an older one, the new one is there
// afterwards.
func TestKilledSaving(t *testing.T) {
	older := []string{sessionFile, studentFile, metricsFile, evaluationFile, roundingFile, experiment.RecordFile}
	newer := []string{sessionFile, studentFile, metricsFile, experiment.RecordFile} // not evaluated, nothing under way
	for done := 0; ; done++ {
		folder := experiment.Folder(t.TempDir())
		part, err := experiment.CreateFolder(folder.Path(savingFolder))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range older {
			write(t, folder.Path(name), "older")
		}
		for _, name := range newer {
			write(t, part.Path(name), "newer")
		}
		for path, text := range map[string]string{folder.Path(namesFolder + "/old"): "older",
			part.Path(namesFolder + "/new"): "newer"} {
			if err := os.MkdirAll(path, 0o755); err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(path, studentFile), text)
		}
		steps := replacing(folder, part)
		if done > len(steps) {
			return
		}
		for _, step := range steps[:done] {
			if err := step(); err != nil {
				t.Fatal(err)
			}
		}
		if err := finishSaving(folder); err != nil {
			t.Fatal(err)
		}
		for _, name := range newer {
			if data, err := os.ReadFile(folder.Path(name)); err != nil || string(data) != "newer" {
				t.Errorf("killed after %d steps: %s is %q, error %v", done, name, data, err)
			}
		}
		if left, _ := filepath.Glob(folder.Path("*")); len(left) != len(newer)+1 {
			t.Errorf("killed after %d steps: the folder has %q", done, left)
		}
		names, _ := filepath.Glob(folder.Path(namesFolder + "/*/*"))
		if len(names) != 1 || names[0] != folder.Path(filepath.Join(namesFolder, "new", studentFile)) {
			t.Errorf("killed after %d steps: students with names are %q", done, names)
		}
	}
}
