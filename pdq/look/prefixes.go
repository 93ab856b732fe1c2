package look

import (
	"context"

	"gonum.org/v1/gonum/stat"

	"github.com/pdquant/pdquant/datasets"
	"github.com/pdquant/pdquant/pdq"
)

// Prefix is a student's first units, with the rest of the network in full precision.
type Prefix struct {
	Unit  string    // the last one that is quantised
	Score pdq.Score // on the images
	PD    float64   // mean prediction difference at Loss.Temperature
}

// Prefixes measures s on images, whose labels must be known, with its first unit quantised, with its first two, and so
// on. So it shows at which unit the predictions change, and whether later units repair that: their rounding sees what
// the units before do. It ends at the last unit that s quantises. The last PD is that of s.
func Prefixes(ctx context.Context, q *pdq.Quantizer, s pdq.Student, images datasets.Stream) ([]Prefix, error) {
	scores, each, err := q.ComparePrefixes(ctx, s, images)
	if err != nil {
		return nil, err
	}
	n, _ := q.Folded()
	var all []Prefix
	for u, score := range scores {
		all = append(all, Prefix{Unit: n.Units[u].Name, Score: score, PD: stat.Mean(each[u], nil)})
	}
	return all, nil
}
