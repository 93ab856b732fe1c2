// Command charts draws the charts of the documents from the tables of testdata:
//
//	go run ./internal/charts [FILE]
//
// FILE, an SVG or PNG, is docs/pays.svg unless given. It measures nothing; package experiment does.
package main

import (
	"cmp"
	"encoding/csv"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"gonum.org/v1/gonum/stat"

	"github.com/pdquant/pdquant/pdq/plot"
)

func main() {
	file := "docs/pays.svg"
	if len(os.Args) > 1 {
		file = os.Args[1]
	}
	if err := draw(".", file); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// setting is a network at some widths, with some number of calibration images, as the tables have it.
type setting struct{ network, w, a, images string }

// seeds are the accuracies of a method in per cent, by seed.
type seeds map[string]float64

// draw writes the chart to path, from the tables under root.
func draw(root, path string) error {
	var pd, best plot.Points
	pd.Label, best.Label = "PD in the blocks", "best"
	for _, t := range []struct {
		file, method string
		to           *plot.Points
	}{
		{"testdata/pd.tsv", "quick Correction.Steps=0", &pd},
		{"testdata/best.tsv", "best FineTune.Steps=300", &best},
		{"testdata/cifar10/best.tsv", "best", &best},
	} {
		table, err := read(filepath.Join(root, t.file))
		if err != nil {
			return err
		}
		if err := addGains(t.to, table, t.method); err != nil {
			return fmt.Errorf("%s: %w", t.file, err)
		}
	}
	c := plot.Chart{Title: "Where prediction difference pays",
		Subtitle: "change against squared error only, mean of three seeds ± standard error",
		X:        "top-1 of squared error only, %", Y: "points of top-1"}
	return plot.Scatter(path, c, []plot.Points{pd, best})
}

// addGains adds a point for each setting that has both the method and squared error only.
func addGains(to *plot.Points, table map[setting]map[string]seeds, method string) error {
	n := 0
	for _, s := range slices.SortedFunc(maps.Keys(table), func(a, b setting) int {
		return cmp.Or(cmp.Compare(a.network, b.network), cmp.Compare(a.w, b.w), cmp.Compare(a.a, b.a),
			cmp.Compare(a.images, b.images))
	}) {
		base, with := squaredError(table[s]), table[s][method]
		var gains, bases []float64
		for _, seed := range slices.Sorted(maps.Keys(with)) {
			if was, ok := base[seed]; ok {
				gains, bases = append(gains, with[seed]-was), append(bases, was)
			}
		}
		if len(gains) < 2 {
			continue
		}
		mean, deviation := stat.MeanStdDev(gains, nil)
		to.X, to.Y = append(to.X, stat.Mean(bases, nil)), append(to.Y, mean)
		to.Errors = append(to.Errors, deviation/math.Sqrt(float64(len(gains))))
		n++
	}
	if n == 0 {
		return fmt.Errorf("no setting has %q with two seeds beside squared error only", method)
	}
	return nil
}

// squaredError returns the method of squared error only: the one whose name ends in /mse.
func squaredError(methods map[string]seeds) seeds {
	for name, s := range methods {
		if strings.HasSuffix(name, "/mse") {
			return s
		}
	}
	return nil
}

// read reads a table of results.
func read(path string) (map[setting]map[string]seeds, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close() // only read from
	r := csv.NewReader(file)
	r.Comma = '\t'
	rows, err := r.ReadAll()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	column := map[string]int{}
	for i, name := range rows[0] {
		column[name] = i
	}
	table := map[setting]map[string]seeds{}
	for _, row := range rows[1:] {
		at := setting{row[column["network"]], row[column["w"]], row[column["a"]], row[column["calibration_images"]]}
		top1, err := strconv.ParseFloat(row[column["top1_percent"]], 64)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		method := row[column["settings"]]
		if table[at] == nil {
			table[at] = map[string]seeds{}
		}
		if table[at][method] == nil {
			table[at][method] = seeds{}
		}
		table[at][method][row[column["seed"]]] = top1
	}
	return table, nil
}
