package commands

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pdquant/pdquant/internal/soaked"
	"github.com/pdquant/pdquant/models/arch"
	"github.com/pdquant/pdquant/pdq"
	"github.com/pdquant/pdquant/pdq/experiment"
	"github.com/pdquant/pdquant/repl/shell"
)

// run runs what a program is given.
func run(ctx context.Context, o shell.Invocation, stdin io.Reader, stdout, stderr io.Writer) error {
	sh, err := New(shell.NewTerminal(stdout, stderr))
	if err != nil {
		return err
	}
	err = sh.Invoke(ctx, o, stdin)
	return errors.Join(err, sh.Close(), sh.Failed())
}

// runLine runs one command, as the program's arguments give it.
func runLine(ctx context.Context, line string, stdout, stderr io.Writer) error {
	return run(ctx, shell.Invocation{Words: strings.Fields(line)}, strings.NewReader(""), stdout, stderr)
}

func TestBadInput(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for line, want := range map[string]string{
		"dmeo":                                  `repl: no command "dmeo"; did you mean demo?`,
		"demo bits=2":                           `repl: demo has no option "bits=2"; its options are teacher, w, a, images,`,
		"demo w":                                `repl: demo has no option "w"; its options are`,
		"demo w=2 w=3":                          "repl: option w is given twice",
		"demo teacher=resnet9":                  `arch: no network is called "resnet9"; choose one of mobilenetv2, `,
		"demo w=1":                              "repl: w=1; give a whole number from 2 to 8",
		"demo a=9":                              "repl: a=9; give a whole number from 2 to 8",
		"demo a=two":                            "repl: a=two; give a whole number from 2 to 8",
		"demo images=0":                         "repl: images=0; give a whole number from 1 to ",
		"demo images=2049 out=" + dir + "/demo": "cannot draw 2049 of 2048 images; ask for 1 to 2048",
		"demo anew=maybe":                       "repl: anew=maybe; choose true or false",
		"demo steps=-1":                         "repl: steps=-1; give a whole number from 0 to 1000000",
		"demo preset=slow":                      `pdq: no preset "slow"; choose one of glance, quick, best, fast, paper`,
		"demo backend=tpu":                      `"tpu"`,
		"demo backend=onnx:/no.so":              "/no.so",
		"demo out=" + file + "/run":             "run folder",
		"download dir=" + dir + " url=http://127.0.0.1:1/": "http://127.0.0.1:1/",
		"train out=" + file + "/run": "repl: out=" + file + "/run: experiment: run folder: mkdir " +
			file + ": not a directory; choose another",
		"train data=/nowhere out=" + dir:    "/nowhere",
		"train data=" + dir + " out=" + dir: "dataset-fashion-mnist",
	} {
		var stdout bytes.Buffer
		err := runLine(context.Background(), line, &stdout, io.Discard)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: error %v, want one line with %s", line, err, want)
		}
		if stdout.Len() > 0 {
			t.Errorf("%s: printed %q", line, stdout.String())
		}
	}
}

func TestHelp(t *testing.T) {
	var out bytes.Buffer
	if err := runLine(context.Background(), "help", &out, io.Discard); err != nil {
		t.Fatal(err)
	}
	sh, err := New(shell.NewTerminal(io.Discard, io.Discard))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range sh.Commands() {
		if !strings.Contains(out.String(), c.Help) {
			t.Errorf("help doesn't list %s", c.Name)
		}
	}
}

// TestDemo runs the whole demo with few images and steps, with the smallest teacher twice.
func TestDemo(t *testing.T) {
	for _, teacher := range arch.TeacherNames() {
		t.Run(teacher, func(t *testing.T) {
			if teacher != "resnet8" && testing.Short() {
				t.Skip("slow under -short: resnet8's demo takes the same way")
			}
			if teacher == "resnet20" || teacher == "regnetx" {
				soaked.Only(t, "the demos of resnet8 and mobilenetv2 take the same way")
			}
			first := demoTable(t, teacher)
			if teacher != "resnet8" || testing.Short() {
				return
			}
			if second := demoTable(t, teacher); first != second {
				t.Errorf("two runs give\n%s\nand\n%s", first, second)
			}
		})
	}
}

// ofTests is the backend that tests take: the fastest one here. Scripts, whose numbers are compared, take the Go
// backend.
func ofTests() string { return "auto" }

// demoTable runs a demo and returns its table without the seconds and bytes.
func demoTable(t *testing.T, teacher string) string {
	dir := filepath.Join(t.TempDir(), "run")
	var out, log bytes.Buffer
	args := []string{"demo", "teacher=" + teacher, "images=8", "test=40", "steps=2", "dc=2", "finetune=2",
		"backend=" + ofTests(), "out=" + dir}
	if err := runLine(context.Background(), strings.Join(args, " "), &out, &log); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"full precision", "nearest rounding", "MSE only", "PD-Quant against MSE only: ",
		"best against MSE only: ", "one seed, standard error over 40 images", "one standard error over the test images"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the report doesn't say %q:\n%s", want, &out)
		}
	}
	if !strings.Contains(log.String(), "rule qdrop") {
		t.Errorf("the bits aren't printed:\n%s", &log)
	}
	checkFolder(t, dir, "go run ./repl demo teacher="+teacher+" w=2 a=2 images=8 seed=1 preset=glance steps=2 dc=2 "+
		"finetune=2 test=40 backend="+ofTests()+" keep=500 anew=false out="+dir)
	results, err := experiment.Folder(dir).Results()
	if err != nil {
		t.Fatal(err)
	}
	for i := range results {
		results[i].Seconds, results[i].PeakMemory = 0, 0
	}
	return fmt.Sprintf("%#v", results)
}

func checkFolder(t *testing.T, dir, command string) {
	data, err := os.ReadFile(filepath.Join(dir, "run.json"))
	if err != nil {
		t.Fatal(err)
	}
	var r experiment.Record
	if err := json.Unmarshal(data, &r); err != nil {
		t.Fatal(err)
	}
	if len(r.Calibration.Indices) != 8 || len(r.TeacherHash) != 64 || len(r.Methods) != 4 ||
		r.Methods[2].Config.Rounding.Steps != 2 || r.Command != command {
		t.Errorf("run.json holds %+v", r)
	}
	chart, err := os.Open(filepath.Join(dir, "chart.png"))
	if err != nil {
		t.Fatal(err)
	}
	defer chart.Close()
	if _, err := png.Decode(chart); err != nil {
		t.Error(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 4+1+2*4 { // the lock and the tables; what each image gave; a student for each method
		t.Errorf("the folder holds %v", entries)
	}
}

// TestCancelledDemo begins anew in a folder that holds another run, whose results go.
func TestCancelledDemo(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"run.json", "results.tsv", "chart.png"} {
		write(t, filepath.Join(dir, name), "")
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	var log bytes.Buffer
	line := "demo teacher=resnet8 images=8 test=40 backend=" + ofTests() + " out=" + dir
	if err := runLine(ctx, line+" w=9 anew=true", io.Discard, io.Discard); err == nil || errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 3 {
		t.Errorf("before the options are checked, results are removed; left %v", entries)
	}
	if err := runLine(ctx, line+" anew=true", io.Discard, &log); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if !strings.Contains(log.String(), "the same command goes on from there, without anew=true") {
		t.Errorf("printed\n%s", &log)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 2 || entries[0].Name() != ".lock" || entries[1].Name() != "run.json" {
		t.Errorf("the folder holds %v", entries)
	}
}

// TestPlanLines: of few layers each has a line, of many those with the same bits share one.
func TestPlanLines(t *testing.T) {
	plan := []pdq.LayerBits{{Layer: "conv1", Weight: 8, Output: 4}, {Layer: "add", Output: 4}}
	if got := planLines(plan); len(got) != 2 || strings.Join(strings.Fields(got[0]), " ") != "conv1 weight 8, output 4" {
		t.Errorf("two layers: %q", got)
	}
	for i := range manyLayers {
		plan = append(plan, pdq.LayerBits{Layer: fmt.Sprint("conv", i+2), Weight: 4})
	}
	want := []string{"weight 8, output 4 conv1", "output 4 add", "weight 4 30 layers, conv2 to conv31",
		"(run.json lists every layer)"}
	got := planLines(plan)
	for i, line := range got {
		if i >= len(want) || strings.Join(strings.Fields(line), " ") != want[i] {
			t.Errorf("many layers: line %d is %q", i, line)
		}
	}
	if len(got) != len(want) {
		t.Errorf("many layers: %q", got)
	}
}
