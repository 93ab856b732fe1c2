package experiment

import (
	"context"
	"fmt"

	"github.com/gomlx/compute"

	"github.com/pdquant/pdquant/pdq"
)

// statisticsSeed is of the draw of images for statistics.
const statisticsSeed = 1

// Measured returns s with the statistics of n images of its pool in place of batch normalisation's, as
// pdq.WithStatistics computes them. Its name then ends in "-statistics" and n. With n 0 it returns s.
func (s Subject) Measured(ctx context.Context, b compute.Backend, n int) (Subject, error) {
	if n == 0 {
		return s, nil
	}
	images, err := s.Pool.Calibrate(ctx, n, statisticsSeed)
	if err != nil {
		return s, err
	}
	p := pdq.Problem{Network: s.Network, Weights: s.Weights, Calibration: images.Images}
	m := Suited(pdq.MachineConfig{}, b)
	if s.Network, s.Weights, err = pdq.WithStatistics(ctx, b, p, m); err != nil {
		return s, err
	}
	s.Source.Statistics = n
	s.Name = fmt.Sprintf("%s-statistics%d", s.Name, n)
	s.Network.Name = s.Name
	return s, nil
}
