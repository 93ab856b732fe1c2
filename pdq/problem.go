package pdq

import (
	"errors"
	"fmt"

	"github.com/pdquant/pdquant/datasets"
	"github.com/pdquant/pdquant/models"
)

// Problem is a network to quantise and images to calibrate on. pdq never modifies it.
type Problem struct {
	Network     *models.Network // layers in topological order, cut into units
	Weights     models.Weights  // the teacher's; batch normalisation not folded
	Calibration datasets.Images // normalised as the teacher expects; labels are required, but not used
}

// Validate returns an error if network, weights and images don't fit together.
func (p Problem) Validate() error {
	if p.Network == nil {
		return errors.New("pdq: problem without a network")
	}
	if err := p.Network.Validate(); err != nil {
		return err
	}
	if err := p.Weights.Check(p.Network); err != nil {
		return err
	}
	if err := finiteWeights(p.Weights); err != nil {
		return fmt.Errorf("pdq: the teacher's weights: %w; the checkpoint is damaged, or the training diverged", err)
	}
	if p.Calibration.Len() == 0 {
		return errors.New("pdq: no calibration images; give at least one (the paper takes 1024)")
	}
	if err := fitsInput(p.Network, p.Calibration); err != nil {
		return fmt.Errorf("pdq: calibration images %w", err)
	}
	return p.Calibration.Validate()
}

// fitsInput returns an error, which begins with "are", unless the images have the size that n takes.
func fitsInput(n *models.Network, im datasets.Images) error {
	if im.Channels != n.Channels || im.Height != n.Height || im.Width != n.Width {
		return fmt.Errorf("are %dx%dx%d, but %s takes %dx%dx%d",
			im.Channels, im.Height, im.Width, n.Name, n.Channels, n.Height, n.Width)
	}
	return nil
}
