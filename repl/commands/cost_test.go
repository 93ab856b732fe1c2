package commands

import (
	"strings"
	"testing"

	"github.com/pdquant/pdquant/pdq/backend"
)

// TestCost measures a student's forms, and a file, in processes of their own.
func TestCost(t *testing.T) {
	if err := backend.LoadRuntime(); err != nil {
		t.Skip(err)
	}
	dir := t.TempDir()
	sh, out := testShell(t, "set rounding.steps=0 correction.steps=0", "run", "export "+dir+"/a.onnx images=4")
	sh.program = "pdq" // see TestMain
	for _, l := range []string{"cost threads=1 batch=1,2 seconds=0.01",
		"cost threads=2 batch=3 seconds=0.01 " + dir + "/a.onnx"} {
		if err := sh.Line(t.Context(), l); err != nil {
			t.Errorf("%s: %v", l, err)
		}
	}
	for want, n := range map[string]int{"│ full precision │ ": 2, "│ packed ": 2, "│ a.onnx ": 1,
		"packed against full precision, 1 threads, ": 2} {
		if strings.Count(out.String(), want) != n {
			t.Errorf("not %d of %q in %s", n, want, out)
		}
	}
	for l, want := range map[string]string{
		"cost " + dir + "/b.onnx":                  "b.onnx: no such file or directory; give an ONNX file",
		"cost threads=0":                           "repl: threads=0; give a whole number from 1 to 256",
		"cost batch=1,":                            "repl: batch=; give",
		"cost seconds=0":                           "repl: seconds=0; give a number above 0",
		"cost into=x.json":                         "repl: into= takes a file and one number of threads and images",
		"cost output=no " + dir + "/a.onnx":        `no output is called "no"; choose one of logits`,
		"teacher resnet8; cost threads=1 batch=1":  "the weight of conv1 has no scales; quantise all units first",
		"cost threads=1 batch=1 go.mod output=abc": "repl: cost: ",
	} {
		if err := sh.Line(t.Context(), l); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %s", l, err, want)
		}
	}
}

// TestVerdicts: memory that is saved without time is said to be so.
func TestVerdicts(t *testing.T) {
	row := func(name string, ms float64, model int64) measured {
		cost := backend.ModelCost{Milliseconds: ms, Peak: 1e8, Model: model}
		return measured{measurement{name: name, threads: 1, batch: 1}, cost, 1000}
	}
	full := row(fullPrecision, 10, 1e7)
	for _, c := range []struct {
		packed measured
		want   string
	}{{row("packed", 20, 5e6), "2.00 of the time, -5.0 MB of memory: it saves memory, not time"},
		{row("packed", 5, 5e6), "saves both"}, {row("packed", 5, 1e7), "saves time, not memory"},
		{row("packed", 10, 1e7), "saves neither time nor memory, only the file's size"}} {
		if got := verdicts([]measured{full, c.packed}); len(got) != 1 || !strings.HasSuffix(got[0], c.want) {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}
