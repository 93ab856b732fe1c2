package commands

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/pdquant/pdquant/internal/fuzzed"
	"github.com/pdquant/pdquant/pdq/experiment"
	"github.com/pdquant/pdquant/repl/shell"
)

// FuzzTables: no table and no file of losses makes a panic.
func FuzzTables(f *testing.F) {
	baseline, err := os.ReadFile("../../testdata/golden/baseline.tsv")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(baseline)
	f.Add([]byte(`{"Unit":"conv1","Step":"rounding","At":1,"Loss":{"Reconstruction":1}}` + "\n"))
	sh, err := New(shell.NewTerminal(f.Output(), f.Output()))
	if err != nil {
		f.Fatal(err)
	}
	if err := sh.Line(f.Context(), "teacher resnet8"); err != nil {
		f.Fatal(err)
	}
	units := make([]savedUnit, len(sh.State.units))
	f.Fuzz(func(t *testing.T, file []byte) {
		dir := t.TempDir()
		path := filepath.Join(dir, metricsFile)
		if err := os.WriteFile(path, file, 0o600); err != nil {
			t.Fatal(err)
		}
		fuzzed.Bounded(t, func() {
			if rows, err := readBaseline(path); err == nil && rows == nil && len(file) > 0 {
				t.Error("no rows and no error")
			}
			s := sh.State.restart()
			_ = s.takeUnits(experiment.Folder(dir), units)
		})
	})
}
