package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/pdquant/pdquant/pdq/plot"
)

// TestCharts: the committed charts are those of the committed tables.
func TestCharts(t *testing.T) {
	for name, draw := range charts() {
		path := filepath.Join(t.TempDir(), name+".svg")
		if err := draw("../..", path); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		want, err := os.ReadFile("../../docs/" + name + ".svg")
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("docs/%s.svg is stale: go run ./internal/charts %[1]s docs/%[1]s.svg (%v)", name, err)
		}
	}
}

// TestCheap: a table as grid writes it is drawn, with the methods that have two seeds beside the exact one.
func TestCheap(t *testing.T) {
	root := t.TempDir()
	rows := []string{"network\tw\ta\tmethod\tseed\timages\ttop1_percent\tseconds"}
	for _, method := range []string{"PD without DC", "PD without DC Loss.Every=4", "MSE only"} {
		for _, seed := range []string{"1", "2"} {
			rows = append(rows, fmt.Sprintf("mobilenetv2\t2\t2\t%s\t%s\t128\t80.%s\t9%s", method, seed, seed, seed))
		}
	}
	if err := os.Mkdir(filepath.Join(root, "testdata"), 0o755); err != nil {
		t.Fatal(err)
	}
	table := []byte(strings.Join(rows, "\n") + "\n")
	if err := os.WriteFile(filepath.Join(root, "testdata", "cheap.tsv"), table, 0o644); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(root, "cheap.svg")
	if err := drawCheap(root, path); err != nil {
		t.Fatal(err)
	}
	chart, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for label, drawn := range map[string]bool{"Every 4": true, "MSE only": true, "Skip 0.75": false} {
		if bytes.Contains(chart, []byte(label)) != drawn {
			t.Errorf("%s is drawn: %v, want %v", label, !drawn, drawn)
		}
	}
}

// TestAddGain: a point is the mean gain of the seeds that both methods have, at its share of the time.
func TestAddGain(t *testing.T) {
	was := seeds{"1": {80, 100}, "2": {82, 300}, "3": {1, 1}}
	is := seeds{"1": {81, 50}, "2": {85, 50}, "4": {1, 1}}
	var p plot.Points
	addGain(&p, both(was, is), share)
	addGain(&p, both(was, seeds{"1": {1, 1}}), share) // one seed: no point
	if !slices.Equal(p.X, []float64{0.25}) || !slices.Equal(p.Y, []float64{2}) || !slices.Equal(p.Errors, []float64{1}) {
		t.Errorf("points %+v", p)
	}
}
