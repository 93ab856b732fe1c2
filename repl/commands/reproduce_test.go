package commands

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

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
	write(t, filepath.Join(dir, "baseline"), "# a comment\nw\ta\tmethod\tlambda_r\ttop1_percent\tseconds\n32\t32\tfull precision\t-\t91.64\t-\n2\t2\tMSE\t-\t79.65\t1\n2\t2\tPD+DC\t2\t77.29\tabout 1\n")
	return dir
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func reproduceArgs(dir string, more ...string) []string {
	return append([]string{"reproduce", "data=" + dir, "checkpoint=../../testdata/cifar10/resnet20-12fca82f.th", "indices=" + dir + "/indices",
		"baseline=" + dir + "/baseline", "out=" + dir + "/out.tsv", "images=8", "steps=1", "dc=1", "seeds=1,2", "backend=" + ofTests()}, more...)
}

func TestReproduce(t *testing.T) {
	dir := noiseFiles(t)
	table := func(more ...string) string {
		var out bytes.Buffer
		if err := run(context.Background(), shell.Invocation{Words: reproduceArgs(dir, more...)}, strings.NewReader(""), &out, io.Discard); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	table("rows=1,2")
	all := table()
	written, err := os.ReadFile(filepath.Join(dir, "out.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(written)), "\n")
	if len(lines) != 1+1+2+2 {
		t.Errorf("the table has %d lines, want a header, one for full precision and two seeds for each of two rows:\n%s", len(lines), written)
	}
	for _, line := range lines {
		if n := strings.Count(line, "\t"); n != strings.Count(lines[0], "\t") {
			t.Errorf("%d tabs in %q", n, line)
		}
	}
	if again := table(); again != all {
		t.Errorf("with nothing left to run the report changes from\n%s\nto\n%s", all, again)
	}
	if after, err := os.ReadFile(filepath.Join(dir, "out.tsv")); err != nil || !bytes.Equal(after, written) {
		t.Errorf("with nothing left to run the table changes (error %v)", err)
	}
	for _, want := range []string{"full precision", "PD+DC", "79.65"} {
		if !strings.Contains(all, want) {
			t.Errorf("the report lacks %q:\n%s", want, all)
		}
	}
}

func TestReproduceBadInput(t *testing.T) {
	for want, change := range map[string]func(dir string) []string{
		"rows=1,9; give different whole numbers from 1 to 3, as 1,3": func(string) []string { return []string{"rows=1,9"} },
		"seeds=1,1; give different whole numbers":                    func(string) []string { return []string{"seeds=1,1"} },
		"indices has 8 indices; ask for images=8 or fewer":           func(string) []string { return []string{"images=9"} },
		"/nowhere": func(string) []string { return []string{"data=/nowhere"} },
		`indices:1: "x" isn't an index`: func(dir string) []string {
			write(t, dir+"/indices", "x\n")
			return nil
		},
		"index 12 at position 0 is not an image": func(dir string) []string {
			write(t, dir+"/indices", strings.Repeat("12\n", 8))
			return nil
		},
		`baseline's method "QDrop" is unknown`: func(dir string) []string {
			write(t, dir+"/baseline", "w\ta\tmethod\tlambda_r\ttop1_percent\tseconds\n2\t2\tQDrop\t-\t80\t1\n")
			return nil
		},
		"baseline:2: ": func(dir string) []string {
			write(t, dir+"/baseline", "w\ta\tmethod\tlambda_r\ttop1_percent\tseconds\n2\t2\tMSE\n")
			return nil
		},
		"out.tsv has W2A2 MSE with 1024 images, 1000 rounding and 0 correction steps, not with 8 images, 1 rounding and 0 correction steps; give another file with out=": func(dir string) []string {
			table, err := os.ReadFile("../../testdata/cifar10/reproduction.tsv")
			if err != nil {
				t.Fatal(err)
			}
			write(t, dir+"/out.tsv", string(table))
			return nil
		},
		"out.tsv:1: ": func(dir string) []string {
			write(t, dir+"/out.tsv", "w\ta\nx\ty\n")
			return nil
		},
	} {
		dir := noiseFiles(t)
		args := reproduceArgs(dir)
		for _, a := range change(dir) { // instead of the one of the same key
			key, _, _ := strings.Cut(a, "=")
			for i := range args {
				if strings.HasPrefix(args[i], key+"=") {
					args[i] = a
					a = ""
				}
			}
			if a != "" {
				args = append(args, a)
			}
		}
		err := run(context.Background(), shell.Invocation{Words: args}, strings.NewReader(""), io.Discard, io.Discard)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %s", err, want)
		}
	}
}
