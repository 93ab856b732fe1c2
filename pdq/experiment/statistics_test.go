package experiment

import (
	"math"
	"strings"
	"testing"

	"github.com/pdquant/pdquant/pdq"
)

// withRight has so many of 100 test images right, with seeds from 1 on.
func withRight(counts ...int) (rs []Result) {
	for i, n := range counts {
		score := pdq.Score{Top1: make([]bool, 100)}
		for k := range n {
			score.Top1[k] = true
		}
		rs = append(rs, Result{Seed: uint64(i + 1), Test: AccuracyOf(score), Right: score, Calibration: Accuracy{3, 4}})
	}
	return rs
}

func TestDifference(t *testing.T) {
	teacher := withRight(90)
	teacher[0].Method = FullPrecision
	alone := withRight(80)
	alone[0].Right = pdq.Score{}
	for _, c := range []struct {
		name     string
		rs, base []Result
		verdict  string // its beginning
		text     string
	}{
		{"clear", withRight(80, 82, 81), withRight(70, 72, 71), "seen here: ", "+10.00 ± 0.00"},
		{"clear, the other way", withRight(70, 71, 73), withRight(80, 82, 83), "the opposite is seen here: ",
			"-10.33 ± 0.33"},
		// Differences 1, 3, 5: 3 ± 2/√3, t = 2.6 where three seeds need 4.30.
		{"three seeds that vary", withRight(71, 73, 75), withRight(70, 70, 70), "not decided here: ", "+3.00 ± 1.15"},
		{"one seed, over images", withRight(80), withRight(70), "seen here: ", "+10.00 ± 3.00"},
		{"seeds that both have", withRight(80, 82), withRight(70, 72, 99), "seen here: ", "+10.00 ± 0.00"},
		{"by seed, not by place", withRight(80, 82)[1:], withRight(70, 72), "seen here: ", "+10.00 ± 3.00"},
		{"from the table alone", alone, withRight(70), "not decided here: ", "+10.00"},
		{"against full precision", withRight(80, 82), teacher, "not decided here: ", "-9.00 ± 1.00"},
		{"none", nil, withRight(70), "not compared", "-"},
	} {
		if e := Difference(c.rs, c.base); e.Signed() != c.text || !strings.HasPrefix(Verdict(c.rs, c.base), c.verdict) {
			t.Errorf("%s: %s, %s; want %s, %s", c.name, e.Signed(), Verdict(c.rs, c.base), c.text, c.verdict)
		}
	}
}

// TestMeans: the error of a mean over seeds is the standard error, not the deviation; of one seed it is that over
// images.
func TestMeans(t *testing.T) {
	rs := withRight(70, 72, 74) // deviation 2
	if got := Top1(rs); got.String() != "72.00 ± 1.15" || got.Over != OverSeeds {
		t.Errorf("three seeds: %v", got)
	}
	// Student's t of 2 degrees of freedom: 4.3027 (R, qt(0.975, 2)).
	if lo, hi := Top1(rs).Interval(); math.Abs(lo-(72-4.3027*2/math.Sqrt(3))) > 1e-3 || math.Abs(lo+hi-144) > 1e-9 {
		t.Errorf("interval %g to %g", lo, hi)
	}
	if got := Top1(rs[:1]); got.String() != "70.00 ± 4.58" || got.Over != OverImages { // 100·√(0.7·0.3/100)
		t.Errorf("one seed: %v", got)
	}
	if got := CalibrationTop1(rs[:1]).String(); got != "75.00" {
		t.Errorf("calibration of one seed %s", got)
	}
	if got := Top1(nil).String(); got != "-" {
		t.Errorf("no seed: %s", got)
	}
}
