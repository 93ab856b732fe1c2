package commands

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/pdquant/pdquant/pdq/experiment"
	"github.com/pdquant/pdquant/repl/shell"
)

// noiseFiles writes what reproduce reads: images of noise and a short baseline.
func noiseFiles(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	rng := rand.New(rand.NewPCG(1, 1))
	for name, n := range map[string]int{"train_lossless_8068.bin": 12, "test_first1017.bin": 20} {
		data := make([]byte, n*3073)
		for i := range data {
			data[i] = byte(rng.IntN(256))
			if i%3073 == 0 {
				data[i] %= 10
			}
		}
		write(t, filepath.Join(dir, name), string(data))
	}
	write(t, filepath.Join(dir, "indices"), "3\n1\n4\n11\n5\n9\n2\n6\n")
	write(t, filepath.Join(dir, "baseline"), "# a comment\nw\ta\tmethod\tlambda_r\ttop1_percent\tseconds\n32\t32\tfull "+
		"precision\t-\t91.64\t-\n2\t2\tMSE\t-\t79.65\t1\n2\t2\tPD+DC\t2\t77.29\tabout 1\n")
	return dir
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func reproduceArgs(dir string, more ...string) []string {
	args := []string{"reproduce", "data=" + dir, "checkpoint=../../testdata/cifar10/resnet20-12fca82f.th",
		"indices=" + dir + "/indices",
		"baseline=" + dir + "/baseline", "out=" + dir + "/run", "images=8", "steps=1", "dc=1", "seeds=1,2",
		"backend=" + ofTests()}
	for _, a := range more { // instead of the one of the same key
		key, _, _ := strings.Cut(a, "=")
		args = slices.DeleteFunc(args, func(o string) bool { return strings.HasPrefix(o, key+"=") })
	}
	return append(args, more...)
}

func TestReproduce(t *testing.T) {
	dir := noiseFiles(t)
	report := func(more ...string) string {
		var out bytes.Buffer
		if err := run(context.Background(), shell.Invocation{Words: reproduceArgs(dir, more...)}, strings.NewReader(""),
			&out, io.Discard); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	report("rows=1,2")
	all := report()
	f := experiment.Folder(filepath.Join(dir, "run"))
	results, err := f.Results()
	if err != nil || len(results) != 1+2+2 {
		t.Fatalf("%d results, want one in full precision and two seeds for each of two rows; error %v", len(results), err)
	}
	if r := results[4]; r.Method != "PD+DC, λr 2" || r.Settings != "Correction.Steps=1 Rounding.Steps=1 Loss.PD=0.5" ||
		r.Seed != 2 || r.Images != 8 || r.Test.N != 20 {
		t.Errorf("the last result is %#v", r)
	}
	written, err := os.ReadFile(f.Path(experiment.ResultsFile))
	if err != nil {
		t.Fatal(err)
	}
	if again := report(); again != all {
		t.Errorf("with nothing left to run the report changes from\n%s\nto\n%s", all, again)
	}
	if after, err := os.ReadFile(f.Path(experiment.ResultsFile)); err != nil || !bytes.Equal(after, written) {
		t.Errorf("with nothing left to run the table changes (error %v)", err)
	}
	mse := experiment.Top1(results[1:3])
	mse.Mean -= 79.65
	for _, want := range []string{"full precision", "PD+DC", "79.65", experiment.Top1(results[1:3]).String(),
		mse.Signed()} {
		if !strings.Contains(all, want) {
			t.Errorf("the report lacks %q:\n%s", want, all)
		}
	}
	if more := report("seeds=7..7", "rows=2"); !strings.Contains(more, " 1 ") || strings.Contains(more, "PD+DC") {
		t.Errorf("one row and seed give\n%s", more)
	}
}

func TestReproduceBadInput(t *testing.T) {
	for want, change := range map[string]func(dir string) []string{
		"rows=1,9; give different whole numbers from 1 to 3, as 1,3": func(string) []string { return []string{"rows=1,9"} },
		"rows=1 has full precision only":                             func(string) []string { return []string{"rows=1"} },
		`seeds "1,1" have 1 twice`:                                   func(string) []string { return []string{"seeds=1,1"} },
		"9 calibration images of a list of 8; ask for 1 to 8":        func(string) []string { return []string{"images=9"} },
		"preset=quick; choose paper or fast": func(string) []string {
			return []string{"preset=quick"}
		},
		"/nowhere": func(string) []string {
			return []string{"data=/nowhere"}
		},
		`number 1 is "x"`: func(dir string) []string {
			write(t, dir+"/indices", "x\n")
			return nil
		},
		"there are images 0 to 11": func(dir string) []string {
			write(t, dir+"/indices", "12\n")
			return nil
		},
		`baseline's method "QDrop" is unknown`: func(dir string) []string {
			write(t, dir+"/baseline", "w\ta\tmethod\tlambda_r\ttop1_percent\tseconds\n2\t2\tQDrop\t-\t80\t1\n")
			return nil
		},
		`λr "-" of the baseline's method PD isn't a number`: func(dir string) []string {
			write(t, dir+"/baseline", "w\ta\tmethod\tlambda_r\ttop1_percent\tseconds\n2\t2\tPD\t-\t80\t1\n")
			return nil
		},
		"baseline:2: ": func(dir string) []string {
			write(t, dir+"/baseline", "w\ta\tmethod\tlambda_r\ttop1_percent\tseconds\n2\t2\tMSE\n")
			return nil
		},
		"results.tsv: experiment: ": func(dir string) []string {
			if err := os.Mkdir(dir+"/run", 0o755); err != nil {
				t.Fatal(err)
			}
			write(t, dir+"/run/results.tsv", "w\ta\nx\ty\n")
			return nil
		},
	} {
		dir := noiseFiles(t)
		args := reproduceArgs(dir, change(dir)...)
		err := run(context.Background(), shell.Invocation{Words: args}, strings.NewReader(""), io.Discard, io.Discard)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %s", err, want)
		}
	}
}
