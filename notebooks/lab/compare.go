package lab

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/stat"
	"gonum.org/v1/gonum/stat/distuv"

	"github.com/pdquant/pdquant/pdq"
)

// Spread is a mean over seeds, and their deviation: NaN of one; both of none.
type Spread struct {
	Mean, Deviation float64
	N               int
}

// SpreadOf returns the mean and deviation of xs.
func SpreadOf(xs []float64) Spread {
	mean, deviation := stat.MeanStdDev(xs, nil)
	return Spread{mean, deviation, len(xs)}
}

// String is the mean ± the deviation, as far as there are any.
func (s Spread) String() string {
	if math.IsNaN(s.Mean) {
		return "not run"
	}
	if math.IsNaN(s.Deviation) {
		return fmt.Sprintf("%.2f", s.Mean)
	}
	return fmt.Sprintf("%.2f ± %.2f", s.Mean, s.Deviation)
}

// StandardError is that of the mean; 0 of one seed, for which nothing is known.
func (s Spread) StandardError() float64 {
	if s.N < 2 {
		return 0
	}
	return stat.StdErr(s.Deviation, float64(s.N))
}

// Top1 is the accuracy on the test images in per cent.
func Top1(rs []Result) Spread { return percent(rs, func(r Result) pdq.Score { return r.Test }) }

// CalibrationTop1 is the accuracy on the images that a method was fitted to, in per cent.
func CalibrationTop1(rs []Result) Spread {
	return percent(rs, func(r Result) pdq.Score { return r.Calibration })
}

// Gap is by how many points the accuracy on the calibration images is above that on the test images.
func Gap(rs []Result) Spread {
	var xs []float64
	for _, r := range rs {
		test, _ := r.Test.Accuracy()
		cal, _ := r.Calibration.Accuracy()
		xs = append(xs, 100*(cal-test))
	}
	return SpreadOf(xs)
}

// Seconds is what quantising took.
func Seconds(rs []Result) Spread {
	var xs []float64
	for _, r := range rs {
		xs = append(xs, r.Seconds)
	}
	return SpreadOf(xs)
}

func percent(rs []Result, of func(Result) pdq.Score) Spread {
	var xs []float64
	for _, r := range rs {
		acc, _ := of(r).Accuracy()
		xs = append(xs, 100*acc)
	}
	return SpreadOf(xs)
}

// Difference is by how many points one method is better than another.
type Difference struct {
	Points, StandardError float64
	Seeds                 int
}

// Against returns by how much rs are better than others, seed by seed on the same images. The standard error is that of
// the mean over seeds; of one seed, that over test images, which tells nothing of other seeds.
func Against(rs, others []Result) Difference {
	var xs []float64
	var overImages float64
	for i, r := range rs[:min(len(rs), len(others))] {
		d, se := r.Test.Minus(others[i].Test)
		xs, overImages = append(xs, 100*d), 100*se
	}
	mean, deviation := stat.MeanStdDev(xs, nil)
	if len(xs) == 1 {
		return Difference{mean, overImages, 1}
	}
	return Difference{mean, stat.StdErr(deviation, float64(len(xs))), len(xs)}
}

// String is the difference ± its standard error.
func (d Difference) String() string {
	if d.Seeds == 0 {
		return "not run"
	}
	return fmt.Sprintf("%+.2f ± %.2f", d.Points, d.StandardError)
}

// limit is how many standard errors a difference must have, that one from chance alone has in 1 of 20
// comparisons: Student's t for few seeds.
func (d Difference) limit() float64 {
	if d.Seeds == 1 {
		return distuv.UnitNormal.Quantile(0.975)
	}
	return distuv.StudentsT{Mu: 0, Sigma: 1, Nu: float64(d.Seeds - 1)}.Quantile(0.975)
}

// Verdict says whether d bears a claim out that it is positive, at a level of 5 %.
func (d Difference) Verdict() string {
	if d.Seeds == 0 {
		return d.String()
	}
	of := fmt.Sprintf("%v points, standard error over %d seeds", d, d.Seeds)
	if d.Seeds == 1 {
		of = fmt.Sprintf("%v points, one seed, standard error over images", d)
	}
	switch {
	case math.IsNaN(d.Points):
		return "not to be compared: " + of
	case math.Abs(d.Points) <= d.limit()*d.StandardError:
		return "not decided here: " + of
	case d.Points > 0:
		return "seen here: " + of
	}
	return "the opposite is seen here: " + of
}

// Headers are those of a table of Rows.
func Headers(first string) []string {
	return []string{first, "test top-1 %", "difference", "calibration top-1 %", "calibration − test", "seeds", "seconds a seed"}
}

// Row is a line of a table: mean ± deviation over seeds, and the difference to base ± its standard error, empty if rs is base.
func Row(name string, rs, base []Result) []string {
	if len(rs) == 0 {
		return []string{name, Top1(rs).String(), "", "", "", "", ""}
	}
	difference := ""
	if len(base) == 0 || &rs[0] != &base[0] {
		difference = Against(rs, base).String()
	}
	return []string{name, Top1(rs).String(), difference, CalibrationTop1(rs).String(), Gap(rs).String(), fmt.Sprint(len(rs)), fmt.Sprintf("%.0f", Seconds(rs).Mean)}
}
