package experiment

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/stat"
	"gonum.org/v1/gonum/stat/distuv"

	"github.com/pdquant/pdquant/pdq"
)

// Accuracy is how many of n images a network has right.
type Accuracy struct{ Right, N int }

// AccuracyOf counts a score.
func AccuracyOf(s pdq.Score) Accuracy {
	a := Accuracy{N: len(s.Top1)}
	for _, right := range s.Top1 {
		if right {
			a.Right++
		}
	}
	return a
}

// Percent returns the share of images that are right, NaN if there are none.
func (a Accuracy) Percent() float64 { return 100 * float64(a.Right) / float64(a.N) }

// StandardError returns the standard error over images, in points, of p = Right/N:
//
//	100·√(p(1-p)/N)
//
// It says how far other images of the same kind would move the accuracy. It is 0 if all or no images are right, which
// means that N is too small to say, and it holds nothing about other seeds.
func (a Accuracy) StandardError() float64 {
	p := float64(a.Right) / float64(a.N)
	return 100 * math.Sqrt(p*(1-p)/float64(a.N))
}

// Over says what an Estimate is a mean over.
type Over int

// What estimates are means over.
const (
	OverImages Over = iota
	OverSeeds
)

// Estimate is a mean with its standard error. Every ± in tables is such a standard error.
type Estimate struct {
	Mean          float64
	StandardError float64 // NaN: unknown
	N             int     // how many images or seeds the mean is over; 0: nothing was run
	Over          Over
}

// meanOverSeeds returns the mean of a number that each seed gives one of, with the standard error of that mean:
//
//	s/√n,  s² = Σ(x-x̄)²/(n-1)
//
// With one seed the error is unknown (NaN), not 0. It falls with more seeds, unlike the deviation s, so the two
// must not stand in one table under the same sign.
func meanOverSeeds(xs []float64) Estimate {
	e := Estimate{Mean: stat.Mean(xs, nil), StandardError: math.NaN(), N: len(xs), Over: OverSeeds}
	if len(xs) > 1 {
		e.StandardError = stat.StdErr(stat.StdDev(xs, nil), float64(len(xs)))
	}
	return e
}

// Paired returns the difference a - b of two accuracies on the same n images, in points, with its standard error
// over images:
//
//	d = Σ(a_i-b_i)/n,  √((Σ(a_i-b_i)²/n - d²)/n)
//
// Images that both have right or both have wrong cancel, so the error is far smaller than the root of the sum of
// both accuracies' squared errors, which would be that of different images. It holds nothing about other seeds. It
// is NaN if the images' numbers differ.
func Paired(a, b pdq.Score) Estimate {
	d, se := a.Minus(b)
	return Estimate{100 * d, 100 * se, len(a.Top1), OverImages}
}

// Top1 returns the test accuracy of a method's results, in per cent: of one seed with the standard error over
// images, of several with that over seeds.
func Top1(rs []Result) Estimate {
	if len(rs) == 1 {
		return Estimate{rs[0].Test.Percent(), rs[0].Test.StandardError(), rs[0].Test.N, OverImages}
	}
	return overResults(rs, func(r Result) float64 { return r.Test.Percent() })
}

// CalibrationTop1 returns the mean accuracy on the calibration images.
func CalibrationTop1(rs []Result) Estimate {
	return overResults(rs, func(r Result) float64 { return r.Calibration.Percent() })
}

// Seconds returns the mean time of quantising.
func Seconds(rs []Result) Estimate {
	return overResults(rs, func(r Result) float64 { return r.Seconds })
}

func overResults(rs []Result, of func(Result) float64) Estimate {
	var xs []float64
	for _, r := range rs {
		xs = append(xs, of(r))
	}
	return meanOverSeeds(xs)
}

// Difference returns by how many points the results of one method are above those of another. Results with the same
// seed are paired; a base in full precision, which no seed enters, is paired with all. Of several seeds the error
// is the standard error over seeds of the paired differences, which differences of calibration images, batches and
// what drops out are in; of one seed it is that of Paired, over images, which holds none of that. So the two answer
// different questions.
func Difference(rs, base []Result) Estimate {
	var xs []float64
	var first Estimate
	for _, r := range rs {
		for _, b := range base {
			if b.Seed != r.Seed && b.Method != FullPrecision {
				continue
			}
			if xs = append(xs, r.Test.Percent()-b.Test.Percent()); len(xs) == 1 {
				first = Estimate{xs[0], math.NaN(), r.Test.N, OverImages}
				if len(r.Right.Top1) > 0 && len(b.Right.Top1) > 0 {
					first = Paired(r.Right, b.Right)
				}
			}
			break
		}
	}
	if len(xs) == 1 {
		return first
	}
	return meanOverSeeds(xs)
}

// quantile returns how many standard errors an estimate must be from 0 to be told from it, at 95 %: Student's t
// with n-1 degrees of freedom over seeds (4.30 with three), the normal distribution's 1.96 over images.
func (e Estimate) quantile() float64 {
	if e.Over == OverImages {
		return distuv.UnitNormal.Quantile(0.975)
	}
	if e.N < 2 {
		return math.NaN()
	}
	return distuv.StudentsT{Mu: 0, Sigma: 1, Nu: float64(e.N - 1)}.Quantile(0.975)
}

// Interval returns the bounds that hold the true mean in 95 of 100 experiments, if the numbers are distributed
// normally. They are NaN where the error is unknown.
func (e Estimate) Interval() (lo, hi float64) {
	d := e.quantile() * e.StandardError
	return e.Mean - d, e.Mean + d
}

// Decided says whether the 95 % interval leaves 0 out. Of 20 comparisons of equals one is decided by chance.
func (e Estimate) Decided() bool {
	lo, hi := e.Interval()
	return lo > 0 || hi < 0
}

// String returns the mean and its standard error.
func (e Estimate) String() string { return e.text("%.2f") }

// Signed returns the same with the mean's sign, for differences.
func (e Estimate) Signed() string { return e.text("%+.2f") }

func (e Estimate) text(format string) string {
	switch {
	case e.N == 0 || math.IsNaN(e.Mean):
		return "-"
	case math.IsNaN(e.StandardError):
		return fmt.Sprintf(format, e.Mean)
	}
	return fmt.Sprintf(format+" ± %.2f", e.Mean, e.StandardError)
}

// Verdict says in words whether the results of one method are better than those of another.
func Verdict(rs, base []Result) string {
	e := Difference(rs, base)
	if e.N == 0 || math.IsNaN(e.Mean) {
		return "not compared"
	}
	of := fmt.Sprintf("%s points, standard error over %d seeds", e.Signed(), e.N)
	if e.Over == OverImages {
		of = fmt.Sprintf("%s points, one seed, standard error over %d images", e.Signed(), e.N)
	}
	switch {
	case !e.Decided():
		return "not decided here: " + of
	case e.Mean > 0:
		return "seen here: " + of
	}
	return "the opposite is seen here: " + of
}
