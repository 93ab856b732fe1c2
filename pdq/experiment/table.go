package experiment

import (
	"fmt"
	"math"
	"slices"

	"github.com/pdquant/pdquant/pdq/plot"
)

// Table is a table of text, to be drawn by whoever shows it.
type Table struct {
	Title   string
	Columns []string
	Rows    [][]string
	Notes   []string // what the reader must know, a line each
}

// Summary is what a method gave on a network with some bits, over all seeds.
type Summary struct {
	Network, Data string
	Width
	Method  string
	Images  int
	Results []Result // a seed each; in full precision, which no seed enters, one
	Base    []Result // of the first method with the same network, bits, preset and images; nil: this is the first
	Teacher []Result // in full precision; nil: not run, or this is it
}

// group is what the results have in common that a mean over seeds may be taken of.
type group struct {
	network, data, method, preset, settings, tested string
	width                                           Width
	images, tests                                   int
}

func (r Result) group() group {
	return group{r.Network, r.Data, r.Method, r.Preset, r.Settings, r.Tested, r.Width, r.Images, r.Test.N}
}

// Summarise puts the results of each network, bits, method, preset and number of images together, in their order.
func Summarise(results []Result) []Summary {
	var all []Summary
	for _, r := range results {
		i := slices.IndexFunc(all, func(s Summary) bool { return s.Results[0].group() == r.group() })
		if i < 0 {
			i = len(all)
			all = append(all, Summary{Network: r.Network, Data: r.Data, Width: r.Width, Method: r.Method, Images: r.Images})
		}
		if r.Method != FullPrecision || len(all[i].Results) == 0 {
			all[i].Results = append(all[i].Results, r)
		}
	}
	for i, s := range all {
		if s.Method == FullPrecision {
			continue
		}
		is := s.Results[0].group()
		for _, o := range all {
			of := o.Results[0].group()
			sameTest := of.network == is.network && of.data == is.data && of.tested == is.tested && of.tests == is.tests
			if o.Method == FullPrecision && sameTest && all[i].Teacher == nil {
				all[i].Teacher = o.Results
			}
		}
		first := slices.IndexFunc(all, func(o Summary) bool {
			of := o.Results[0].group()
			of.method, of.settings = is.method, is.settings
			return of == is
		})
		if first < i {
			all[i].Base = all[first].Results
		}
	}
	return all
}

// Of returns the results of the method of that name.
func Of(results []Result, method string) []Result {
	return slices.DeleteFunc(slices.Clone(results), func(r Result) bool { return r.Method != method })
}

// Compare lays out results: a row for each network, bits and method.
func Compare(results []Result) Table {
	t := Table{Columns: []string{"network", "bits", "method", "top-1 %", "to full precision",
		"to the first method", "calibration top-1 %", "seeds", "seconds", "peak MiB"}}
	var over Over
	for _, s := range Summarise(results) {
		bits, first, teacher, seeds := s.Width.String(), "-", "-", fmt.Sprint(len(s.Results))
		if s.Method == FullPrecision {
			bits, seeds = "-", "-"
		}
		if s.Base != nil {
			first = Difference(s.Results, s.Base).Signed()
		}
		if s.Teacher != nil {
			teacher = Difference(s.Results, s.Teacher).Signed()
		}
		if len(s.Results) > 1 {
			over = OverSeeds
		}
		peak := "-"
		if m := s.peak(); m > 0 {
			peak = fmt.Sprint(m >> 20)
		}
		own := CalibrationTop1(s.Results)
		own.StandardError = math.NaN() // isn't shown
		t.Rows = append(t.Rows, []string{s.Network, bits, s.Method, Top1(s.Results).String(), teacher, first,
			own.String(), seeds, fmt.Sprintf("%.1f", Seconds(s.Results).Mean), peak})
	}
	t.Notes = notes(over)
	return t
}

func notes(over Over) []string {
	if over == OverSeeds {
		return []string{"Means over seeds ± their standard error, of full precision over images; " +
			"differences seed by seed on the same images."}
	}
	return []string{"One seed: ± is one standard error over the test images, and tells nothing about other seeds; " +
		"differences image by image."}
}

// peak is the most memory of the results.
func (s Summary) peak() int64 {
	var most int64
	for _, r := range s.Results {
		most = max(most, r.PeakMemory)
	}
	return most
}

// Bars returns the accuracies for plot.Bars: a bar for each network, bits and method.
func Bars(results []Result) []plot.Bar {
	var bars []plot.Bar
	all := Summarise(results)
	for _, s := range all {
		label := s.Method
		if slices.ContainsFunc(all, func(o Summary) bool { return o.Network != s.Network }) {
			label = s.Network + ", " + label
		}
		otherBits := func(o Summary) bool { return o.Method != FullPrecision && o.Width != s.Width }
		if s.Method != FullPrecision && slices.ContainsFunc(all, otherBits) {
			label += " " + s.Width.String()
		}
		e := Top1(s.Results)
		bars = append(bars, plot.Bar{Label: label, Value: e.Mean, Error: e.StandardError})
	}
	return bars
}
