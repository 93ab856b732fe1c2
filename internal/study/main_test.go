package main

import (
	"bytes"
	"encoding/csv"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/pdquant/pdquant/datasets"
	"github.com/pdquant/pdquant/notebooks/lab"
)

// ownEnvironment keeps what the machine has set away from a test.
func ownEnvironment(t *testing.T, root string) {
	t.Setenv("PDQUANT_ROOT", root)
	for _, name := range []string{"PDQUANT_NOTEBOOKS", "PDQUANT_MINUTES", "PDQUANT_DATA"} {
		t.Setenv(name, "")
	}
}

// TestStudy: a line for each network, bits, settings and seed, and the same again from what is kept.
func TestStudy(t *testing.T) {
	root := t.TempDir()
	ownEnvironment(t, root)
	out := filepath.Join(root, "study.tsv")
	args := []string{"-networks=resnet8", "-bits=2/2,4/8", "-settings=quick/nearest; quick/nearest Scales.Power=2", "-images=8", "-held=40", "-seeds=2", "-all=Scales.Candidates=10", "-out=" + out}
	if err := run(t.Context(), args); err != nil {
		t.Fatal(err)
	}
	table, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(table)), "\n")
	if len(lines) != 1+2*2*2 {
		t.Errorf("%d lines:\n%s", len(lines), table)
	}
	for _, want := range []string{"resnet8\t2\t2\tquick/nearest\tScales.Candidates=10\t1\t", "resnet8\t4\t8\tquick/nearest Scales.Power=2\tScales.Candidates=10\t2\t", "\t40\theld-out training images\t", "\t0.00\t0.00\t"} {
		if !strings.Contains(string(table), want) {
			t.Errorf("no %q in\n%s", want, table)
		}
	}
	checkPredictions(t, table)
	if err := run(t.Context(), args); err != nil {
		t.Fatal(err)
	}
	if again, err := os.ReadFile(out); err != nil || string(again) != string(table) {
		t.Errorf("from what is kept the table is\n%s\nerror %v", again, err)
	}
}

// checkPredictions: the first settings' prediction difference is unchanged, the others' changed by what it is; more bits have less.
func checkPredictions(t *testing.T, table []byte) {
	t.Helper()
	r := csv.NewReader(bytes.NewReader(table))
	r.Comma = '\t'
	rows, err := r.ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	number := func(row int, column string) float64 {
		x, err := strconv.ParseFloat(rows[row][slices.Index(rows[0], column)], 64)
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	pd := func(row int) float64 { return number(row, "prediction_difference") }
	for _, row := range []int{1, 2, 5, 6} { // two seeds each of the first settings, before as many of the others
		change := number(row+2, "prediction_change")
		if number(row, "prediction_change") != 0 || math.Abs(pd(row+2)-pd(row)-change) > 2e-5 || number(row+2, "prediction_change_error") <= 0 {
			t.Errorf("rows %d and %d:\n%s", row, row+2, table)
		}
	}
	if pd(5) <= 0 || pd(5) >= pd(1) {
		t.Errorf("the prediction difference is %g at W2A2 and %g at W4A8", pd(1), pd(5))
	}
}

// TestSplit: no image is both calibrated on and held out, and indices say which are calibrated on.
func TestSplit(t *testing.T) {
	file := filepath.Join(t.TempDir(), "indices")
	if err := os.WriteFile(file, []byte("7\n0\n3\n9\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := study{images: 3, held: 4, indices: file}
	calibration, held, err := s.split(10)
	if err != nil || !slices.Equal(calibration, []int{7, 0, 3}) || !slices.Equal(held, []int{1, 2, 4, 5}) {
		t.Errorf("calibration %v, held out %v, error %v", calibration, held, err)
	}
	s.indices = ""
	calibration, held, err = s.split(7)
	if err != nil || !slices.Equal(calibration, []int{4, 5, 6}) || !slices.Equal(held, []int{0, 1, 2, 3}) {
		t.Errorf("calibration %v, held out %v, error %v", calibration, held, err)
	}
	for n, want := range map[int]string{6: "6 training images don't suffice for -images=3 and -held=4", 5: "number 1 is"} {
		if n == 5 {
			s.indices = file
		}
		if _, _, err := s.split(n); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("of %d images: error %v, want %q", n, err, want)
		}
		s.indices = ""
	}
}

// TestDistort: every other image has noise, of about the deviation that is said; the others are smoother, and as light.
func TestDistort(t *testing.T) {
	ownEnvironment(t, t.TempDir())
	l, err := lab.Open()
	if err != nil {
		t.Fatal(err)
	}
	subject, err := l.Subject("resnet8")
	if err != nil {
		t.Fatal(err)
	}
	images, err := subject.Pool.(datasets.Images).Select([]int{3, 4})
	if err != nil {
		t.Fatal(err)
	}
	was := slices.Clone(images.Pixels)
	distort(images)
	per := len(was) / 2
	var noise, n, before, after, rough, smooth float64
	for i, v := range was {
		x, y := float64(v), float64(images.Pixels[i])
		switch {
		case i < per && v >= 30 && v <= 225:
			noise, n = noise+(y-x)*(y-x), n+1
		case i >= per:
			before, after = before+x, after+y
			if i%28 > 0 {
				rough += math.Abs(x - float64(was[i-1]))
				smooth += math.Abs(y - float64(images.Pixels[i-1]))
			}
		}
	}
	if sd := math.Sqrt(noise / n); math.Abs(sd-7) > 7*4/math.Sqrt(2*n) {
		t.Errorf("the noise of %g pixels has a deviation of %g", n, sd)
	}
	if math.Abs(after/before-1) > 0.01 || smooth >= rough || smooth < rough/2 {
		t.Errorf("blurring changes the mean from %g to %g, and the changes from pixel to pixel from %g to %g", before/float64(per), after/float64(per), rough, smooth)
	}
}

func TestBadInput(t *testing.T) {
	ownEnvironment(t, t.TempDir())
	twice := filepath.Join(t.TempDir(), "twice")
	if err := os.WriteFile(twice, []byte(strings.Repeat("7 8 ", 600)), 0o600); err != nil {
		t.Fatal(err)
	}
	for arg, want := range map[string]string{
		"-settings=":                 "an empty setting",
		"-settings=slow":             `no preset "slow"`,
		"-settings=quick/pd":         `no baseline "pd"`,
		"-settings=quick Loss.PD":    "give a field and its value",
		"-settings=quick Loss.P=1":   `no field "Loss.P"`,
		"-settings=quick Loss.PD=-1": "Loss.PD is -1",
		"-bits=2":                    "as 2/4",
		"-networks=resnet9":          "resnet9",
		"-seeds=0":                   "-seeds=0",
		"-indices=missing":           "no such file or directory; -indices takes",
		"-indices=" + twice:          "number 3 is 7 like number 1",
		"-hard":                      "-held=3000",
		"-held=3000":                 "2048 training images don't suffice",
	} {
		if err := run(t.Context(), []string{arg, "-tests=8"}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", arg, err, want)
		}
	}
}
