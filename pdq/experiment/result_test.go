package experiment

import (
	"bytes"
	"math"
	"strings"
	"testing"
)

// TestTable: what is written is read, and what isn't a table is refused with its line.
func TestTable(t *testing.T) {
	want := []Result{{Network: "resnet8", Data: "fashion-mnist", Width: Width{2, 4}, Method: "PD \"quoted\" # no comment",
		Preset: "quick", Settings: "Loss.PD=2", Seed: 3, Images: 17,
		Test: Accuracy{33333, 50000}, Tested: "test images", Calibration: Accuracy{16, 17}, PD: 0.25, Seconds: 1.5,
		PeakMemory: 3 << 20, Backend: "go", Threads: 2,
		Versions: "go1.27, x", Date: "2026-11-28", Hash: "0123"},
		{Network: "a", Images: 1, Test: Accuracy{1, 1}, Calibration: Accuracy{0, 1}, PD: math.NaN()}}
	var table bytes.Buffer
	if err := WriteResults(&table, want); err != nil {
		t.Fatal(err)
	}
	got, err := ReadResults(bytes.NewReader(table.Bytes()))
	if err != nil || len(got) != 2 || !math.IsNaN(got[1].PD) {
		t.Fatalf("%+v, error %v", got, err)
	}
	for i := range want {
		want[i].PD, got[i].PD = 0, 0
		a, b := got[i].label(), want[i].label()
		if a != b || got[i].Test != want[i].Test || got[i].Calibration != want[i].Calibration ||
			got[i].Hash != want[i].Hash || got[i].PeakMemory != want[i].PeakMemory {
			t.Errorf("read %+v, want %+v", got[i], want[i])
		}
	}
	lines := strings.SplitAfter(table.String(), "\n")
	for text, want := range map[string]string{
		strings.Replace(table.String(), "network", "net", 1):          `column 1 of the table is "net"`,
		lines[0] + strings.Replace(lines[1], "\t17\t", "\tmany\t", 1): "line 2 of the table, images",
		lines[0] + "resnet8\t2\n":                                     "wrong number of fields",
	} {
		if _, err := ReadResults(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}

// TestSummarise: only results that differ in nothing but the seed are put together, and full precision, which no seed
// enters, counts once.
func TestSummarise(t *testing.T) {
	of := func(method, preset string, seed uint64, tests, right int) Result {
		return Result{Network: "n", Data: "d", Width: Width{2, 2}, Method: method, Preset: preset, Seed: seed, Images: 8,
			Test: Accuracy{right, tests}, Tested: "test images"}
	}
	full := of(FullPrecision, "", 1, 10, 9)
	full.Width = Width{32, 32}
	later := full
	later.Seed = 4
	all := Summarise([]Result{full, of("mse", "quick", 1, 10, 5), of("mse", "quick", 2, 10, 6), later,
		of("pd", "quick", 1, 10, 7), of("pd", "glance", 1, 10, 3), of("pd", "quick", 2, 20, 8)})
	if len(all) != 5 {
		t.Fatalf("%d groups", len(all))
	}
	for i, want := range []struct {
		results       int
		base, teacher bool
	}{{1, false, false}, {2, false, true}, {1, true, true}, {1, false, true}, {1, false, false}} {
		s := all[i]
		if len(s.Results) != want.results || (s.Base != nil) != want.base || (s.Teacher != nil) != want.teacher {
			t.Errorf("%s of %s: %d results, base %v, teacher %v", s.Method, s.Results[0].Preset, len(s.Results), s.Base,
				s.Teacher)
		}
	}
}
