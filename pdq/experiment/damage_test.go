package experiment

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/pdquant/pdquant/internal/fuzzed"
	"github.com/pdquant/pdquant/pdq"
)

// TestDamaged: what is damaged in a folder is an error with the file's name, and the results are never others.
func TestDamaged(t *testing.T) {
	g, whole := tinyGrid(t, "mse"), Folder(t.TempDir())
	mse := run(t, g, whole)[1]
	more := tinyGrid(t, "mse; best FineTune.Steps=1") // begins with the student
	for _, name := range []string{ResultsFile, mse.stem() + ".json", mse.StudentFile()} {
		data, err := os.ReadFile(whole.Path(name))
		if err != nil {
			t.Fatal(err)
		}
		for what, damaged := range map[string][]byte{"empty": nil, "cut": data[:len(data)/2]} {
			if name == ResultsFile && what == "empty" {
				continue // no results
			}
			f := Folder(t.TempDir())
			if err := os.CopyFS(string(f), os.DirFS(string(whole))); err != nil {
				t.Fatal(err)
			}
			if err := f.Write(name, damaged); err != nil {
				t.Fatal(err)
			}
			if _, err := more.Run(t.Context(), f); err == nil || !strings.Contains(err.Error(), f.Path(name)) {
				t.Errorf("%s, %s: error %v", name, what, err)
			}
		}
	}
}

// TestOtherStudents: a student's file that isn't the one that was evaluated is refused, with its name, wherever the
// folder's results are read. A folder whose students have no hashes opens.
func TestOtherStudents(t *testing.T) {
	g, whole := tinyGrid(t, "nearest; nearest Scales.Candidates=5"), Folder(t.TempDir())
	results := run(t, g, whole)
	file, other := results[1].StudentFile(), results[2].StudentFile()
	data, err := os.ReadFile(whole.Path(file))
	if err != nil {
		t.Fatal(err)
	}
	swapped, err := os.ReadFile(whole.Path(other))
	if err != nil {
		t.Fatal(err)
	}
	flipped := slices.Clone(data)
	flipped[len(data)-1] ^= 1
	for what, bad := range map[string][]byte{"flipped": flipped, "cut": data[:len(data)-1], "swapped": swapped} {
		f := Folder(t.TempDir())
		if err := errors.Join(os.CopyFS(string(f), os.DirFS(string(whole))), f.Write(file, bad)); err != nil {
			t.Fatal(err)
		}
		_, runErr := g.Run(t.Context(), f)
		_, resultsErr := f.Results()
		var record Record
		if err := f.ReadJSON(RecordFile, &record); err != nil {
			t.Fatal(err)
		}
		_, lastErr := f.Last(record)
		for where, err := range map[string]error{"Run": runErr, "Results": resultsErr, "Last": lastErr} {
			if err == nil || !strings.Contains(err.Error(), f.Path(file)) || !strings.Contains(err.Error(), "restore it") {
				t.Errorf("%s, %s: error %v", what, where, err)
			}
		}
		k, err := f.kept(results[1].stem())
		if err != nil {
			t.Fatal(err)
		}
		k.Student = ""
		if err := f.WriteJSON(results[1].stem()+".json", k); err != nil {
			t.Fatal(err)
		}
		if _, err := g.Run(t.Context(), f); err != nil {
			t.Errorf("%s, without hashes: error %v", what, err)
		}
	}
}

// TestDamagedStates: where neither the state nor the one before it is whole, the student begins anew.
func TestDamagedStates(t *testing.T) {
	g, f := tinyGrid(t, "mse"), Folder(t.TempDir())
	g.Every = 1
	want := run(t, g, Folder(t.TempDir()))
	ctx, cancel := context.WithCancel(t.Context())
	g.Step = func(p Progress) {
		if p.Step == pdq.StepRound && p.Unit == "layer2.0" && p.Done == 2 {
			cancel()
		}
	}
	if _, err := g.Run(ctx, f); !errors.Is(err, context.Canceled) {
		t.Fatalf("error %v", err)
	}
	states, err := filepath.Glob(f.Path("*.state*"))
	if err != nil || len(states) != 2 {
		t.Fatalf("states %q, error %v", states, err)
	}
	for _, path := range states {
		if err := f.Write(filepath.Base(path), []byte("{")); err != nil {
			t.Fatal(err)
		}
	}
	units, warned := map[string]bool{}, 0
	g.Step = func(p Progress) { units[p.Unit] = true }
	g.Warn = func(text string) {
		if strings.Contains(text, ".state") {
			warned++
		}
	}
	if got := run(t, g, f); !units["conv1"] || warned != 1 || !reflect.DeepEqual(got[1].Right, want[1].Right) {
		t.Errorf("units %v, %d warnings, or another result", units, warned)
	}
}

// TestOtherState: a state of another teacher, should it have the file's name, is refused.
func TestOtherState(t *testing.T) {
	g, f := tinyGrid(t, "mse"), Folder(t.TempDir())
	ctx, cancel := context.WithCancel(t.Context())
	g.Step = func(p Progress) {
		if p.Unit == "layer2.0" {
			cancel()
		}
	}
	if _, err := g.Run(ctx, f); !errors.Is(err, context.Canceled) {
		t.Fatalf("error %v", err)
	}
	states, err := filepath.Glob(f.Path("*.state"))
	if err != nil || len(states) != 1 {
		t.Fatalf("states %q, error %v", states, err)
	}
	other := tinyGrid(t, "mse Loss.Temperature=7")
	r := &gridRun{Grid: other, folder: f, forecast: newForecast(other)}
	config, _, err := other.Config(other.Cells()[1])
	if err != nil {
		t.Fatal(err)
	}
	q, err := pdq.New(g.Backend, other.Subjects[0].problem(calibrationOf(t, other)), config)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.state(q, filepath.Base(states[0])); err == nil || !strings.Contains(err.Error(), "Loss.Temperature") ||
		!strings.Contains(err.Error(), "remove the file") {
		t.Errorf("error %v", err)
	}
}

// TestFailed: what was finished before a method failed is in the table.
func TestFailed(t *testing.T) {
	g, f := tinyGrid(t, "nearest; mse Rounding.ScaleLearningRate=1e38"), Folder(t.TempDir())
	results, err := g.Run(t.Context(), f)
	if err == nil || !strings.Contains(err.Error(), "MSE only Rounding.ScaleLearningRate=1e38") || len(results) != 2 {
		t.Errorf("%d results, error %v", len(results), err)
	}
	if table, err := f.Results(); err != nil || len(table) != 2 || table[1].Method != "nearest rounding" {
		t.Errorf("table %v, error %v", table, err)
	}
}

// FuzzTables: no table of results and no list of indices makes a panic.
func FuzzTables(f *testing.F) {
	f.Add([]byte("3\n1\n4\n"))
	var table strings.Builder
	if err := WriteResults(&table,
		[]Result{{Network: "resnet8", Method: "MSE only", Images: 4, Test: Accuracy{3, 4}}}); err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(table.String()))
	f.Fuzz(func(t *testing.T, file []byte) {
		folder := Folder(t.TempDir())
		if err := os.WriteFile(folder.Path(ResultsFile), file, 0o600); err != nil {
			t.Fatal(err)
		}
		fuzzed.Bounded(t, func() {
			if results, err := folder.Results(); err == nil {
				Compare(results)
			}
			if indices, err := readIndices(folder.Path(ResultsFile), 5); err == nil && len(indices) > 5 {
				t.Errorf("%d different indices below 5", len(indices))
			}
		})
	})
}
