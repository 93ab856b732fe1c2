// Command charts draws the charts in docs from tables in testdata, which package experiment has measured:
//
//	go run ./internal/charts [NAME [FILE]]
//
// NAME is pays, for where prediction difference pays; cheap, for accuracy over seconds of cheaper forms; or accuracy,
// for accuracy over seconds beside the published code. FILE is an SVG or PNG, docs/NAME.svg if left out. Without NAME,
// it draws pays.
package main

import (
	"cmp"
	"encoding/csv"
	"errors"
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
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "charts:", err)
		os.Exit(1)
	}
}

// charts are the functions that draw a chart of the tables under root to path.
func charts() map[string]func(root, path string) error {
	return map[string]func(root, path string) error{"pays": drawPays, "cheap": drawCheap,
		"accuracy": drawAccuracy}
}

// run draws the chart that the arguments name.
func run(args []string) error {
	name := "pays"
	if len(args) > 0 {
		name = args[0]
	}
	draw, ok := charts()[name]
	if !ok || len(args) > 2 {
		return fmt.Errorf("%q; give a chart, %s, and perhaps a file",
			args, strings.Join(slices.Sorted(maps.Keys(charts())), " or "))
	}
	if len(args) > 1 {
		return draw(".", args[1])
	}
	return draw(".", "docs/"+name+".svg")
}

// setting is a network, its bits of weights and activations, and a number of calibration images, as text in the tables.
type setting struct{ network, w, a, images string }

// result is the accuracy of a student in per cent, and how long it took.
type result struct{ top1, seconds float64 }

// seeds has the results of a method by seed.
type seeds map[string]result

// pair has the results of two methods with the same seed.
type pair struct{ was, is result }

// drawPays draws what prediction difference changes against squared error only.
func drawPays(root, path string) error {
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
		table, err := read(filepath.Join(root, t.file), "settings", "calibration_images")
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

// drawCheap draws what cheaper forms of prediction difference change against the exact form, over their time. A point
// is the mean over seeds for a network and its bits.
func drawCheap(root, path string) error {
	table, err := read(filepath.Join(root, "testdata/cheap.tsv"), "method", "images") // as grid writes it
	if err != nil {
		return err
	}
	const exact = "PD without DC"
	var kinds []plot.Points
	for _, k := range []struct{ label, method string }{
		{"Skip 0.75", exact + " Loss.Skip=0.75"},
		{"Every 4", exact + " Loss.Every=4"},
		{"Skip 0.75, Reuse", exact + " Loss.Skip=0.75 Loss.Reuse=true"},
		{"MSE only", "MSE only"},
		{"best", "best FineTune.Steps=300"},
	} {
		p := plot.Points{Label: k.label}
		for _, s := range sorted(table) {
			addGain(&p, both(table[s][exact], table[s][k.method]), share)
		}
		if len(p.X) > 0 {
			kinds = append(kinds, p)
		}
	}
	c := plot.Chart{Title: "Cheaper prediction difference",
		Subtitle: "change against the exact one, mean of seeds ± standard error",
		X:        "time, as a share of the exact one's", Y: "points of top-1"}
	return plot.Scatter(path, c, kinds)
}

// drawAccuracy draws what methods reach in which time, beside the published code. A point is the mean over seeds.
func drawAccuracy(root, path string) error {
	table, err := read(filepath.Join(root, "testdata/accuracy.tsv"), "method", "images")
	if err != nil {
		return err
	}
	var kinds []plot.Points
	for _, label := range []string{"MSE only", "best", "published code"} {
		p := plot.Points{Label: label}
		for _, s := range sorted(table) {
			for _, method := range slices.Sorted(maps.Keys(table[s])) {
				if strings.HasPrefix(method, label) {
					addMean(&p, table[s][method])
				}
			}
		}
		kinds = append(kinds, p)
	}
	c := plot.Chart{Title: "Time to accuracy", Subtitle: "ResNet-20 on CIFAR-10, W2A2, mean of seeds ± standard error",
		X: "seconds, as a power of 10", Y: "top-1, %"}
	return plot.Scatter(path, c, kinds)
}

// addMean adds a point for a method: the means of its accuracy and of its time.
func addMean(to *plot.Points, of seeds) {
	var top1, seconds []float64
	for _, seed := range slices.Sorted(maps.Keys(of)) {
		top1, seconds = append(top1, of[seed].top1), append(seconds, of[seed].seconds)
	}
	mean, deviation := stat.MeanStdDev(top1, nil)
	if len(top1) < 2 {
		deviation = 0
	}
	to.X, to.Y = append(to.X, math.Log10(stat.Mean(seconds, nil))), append(to.Y, mean)
	to.Errors = append(to.Errors, deviation/math.Sqrt(float64(len(top1))))
}

// share is the time that the new method takes as a share of the old one's.
func share(pairs []pair) float64 {
	var was, is float64
	for _, p := range pairs {
		was, is = was+p.was.seconds, is+p.is.seconds
	}
	return is / was
}

// before is the mean accuracy of the old method.
func before(pairs []pair) float64 {
	var sum float64
	for _, p := range pairs {
		sum += p.was.top1
	}
	return sum / float64(len(pairs))
}

// addGains adds a point for each setting that has both the method and squared error only.
func addGains(to *plot.Points, table map[setting]map[string]seeds, method string) error {
	had := len(to.X)
	for _, s := range sorted(table) {
		addGain(to, both(squaredError(table[s]), table[s][method]), before)
	}
	if len(to.X) == had {
		return fmt.Errorf("no setting has two seeds with both %q and squared error only", method)
	}
	return nil
}

// addGain adds a point at x with the mean gain in accuracy, if there are two pairs.
func addGain(to *plot.Points, pairs []pair, x func([]pair) float64) {
	if len(pairs) < 2 {
		return
	}
	var gains []float64
	for _, p := range pairs {
		gains = append(gains, p.is.top1-p.was.top1)
	}
	mean, deviation := stat.MeanStdDev(gains, nil)
	to.X, to.Y = append(to.X, x(pairs)), append(to.Y, mean)
	to.Errors = append(to.Errors, deviation/math.Sqrt(float64(len(gains))))
}

// both pairs the results of two methods, in the order of seeds.
func both(was, is seeds) (pairs []pair) {
	for _, seed := range slices.Sorted(maps.Keys(is)) {
		if base, ok := was[seed]; ok {
			pairs = append(pairs, pair{base, is[seed]})
		}
	}
	return pairs
}

// sorted returns the settings of a table in order.
func sorted(table map[setting]map[string]seeds) []setting {
	return slices.SortedFunc(maps.Keys(table), func(a, b setting) int {
		return cmp.Or(cmp.Compare(a.network, b.network), cmp.Compare(a.w, b.w), cmp.Compare(a.a, b.a),
			cmp.Compare(a.images, b.images))
	})
}

// squaredError returns the results of squared error only: of the method whose name ends in /mse.
func squaredError(methods map[string]seeds) seeds {
	for name, s := range methods {
		if strings.HasSuffix(name, "/mse") {
			return s
		}
	}
	return nil
}

// read reads a table of results. method and images name the columns of these.
func read(path, method, images string) (map[setting]map[string]seeds, error) {
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
		at := setting{row[column["network"]], row[column["w"]], row[column["a"]], row[column[images]]}
		top1, err := strconv.ParseFloat(row[column["top1_percent"]], 64)
		seconds, failed := strconv.ParseFloat(row[column["seconds"]], 64)
		if err := errors.Join(err, failed); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		name := row[column[method]]
		if table[at] == nil {
			table[at] = map[string]seeds{}
		}
		if table[at][name] == nil {
			table[at][name] = seeds{}
		}
		table[at][name][row[column["seed"]]] = result{top1, seconds}
	}
	return table, nil
}
