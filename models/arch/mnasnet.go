package arch

import (
	"fmt"

	"github.com/pdquant/pdquant/models"
)

// MNasNetConfig describes an MNasNet-B1 (Tan et al. 2019, figure 7, as torchvision builds it): inverted residuals with
// ReLU and kernels of 3 or 5 pixels.
type MNasNetConfig struct {
	Width float64 // channels relative to those of MNasNet-B1, in (0,64]; 2 in the PD-Quant paper
	Input
}

// MNasNet builds the network that c describes. Its units are the three convolutions before the first block, each block,
// the last convolution and the classifier. It leaves out the dropout before the classifier, which only matters in
// training.
func MNasNet(c MNasNetConfig) (*models.Network, error) {
	if !(c.Width > 0 && c.Width <= 64) {
		return nil, fmt.Errorf("arch: mnasnet: width %g; it must be > 0 and at most 64", c.Width)
	}
	b := newBuilder("mnasnet", c.Input)
	stem, out := c.channels(32), c.channels(16)
	s := &sequence{b: b, prefix: "layers.", x: models.Image}
	s.convNormAct(models.ReLU{}, stem, 3, 2, 1)
	b.unit("layers.0")
	s.convNormAct(models.ReLU{}, stem, 3, 1, stem)
	b.unit("layers.3")
	s.convNorm(out, 1, 1, 1)
	b.unit("layers.6")
	for _, row := range []struct{ expand, out, repeat, stride, kernel int }{
		{3, 24, 3, 2, 3}, {3, 40, 3, 2, 5}, {6, 80, 3, 2, 5}, {6, 96, 2, 1, 3}, {6, 192, 4, 2, 5}, {6, 320, 1, 1, 3},
	} {
		name := s.name()
		for i := range row.repeat {
			block := fmt.Sprintf("%s.%d", name, i)
			r := invertedResidual{name: block, prefix: block + ".layers.", expand: row.expand, out: c.channels(row.out),
				kernel: row.kernel, stride: 1, activation: models.ReLU{}}
			if i == 0 {
				r.stride = row.stride
			}
			s.x = b.invertedResidual(s.x, r)
		}
	}
	s.convNormAct(models.ReLU{}, 1280, 1, 1, 1)
	b.unit("layers.14")
	b.classifier("classifier.1", s.x) // 0 is the dropout
	return b.done()
}

// channels returns the number of channels of a layer that has n in MNasNet-B1.
func (c MNasNetConfig) channels(n int) int { return channelsOfEight(c.Width * float64(n)) }
