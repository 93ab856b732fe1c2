package datasets

import (
	"fmt"
	"math"
)

// Interpolation is how pixels of a resized image are made of those of the file. Where the image shrinks, the filter
// widens.
type Interpolation int

const (
	Bilinear Interpolation = iota // the reference's
	Bicubic                       // with a = -0.5
)

// String returns the name: "bilinear" or "bicubic".
func (i Interpolation) String() string {
	if i == Bicubic {
		return "bicubic"
	}
	return "bilinear"
}

// parseInterpolation reads what String returns.
func parseInterpolation(name string) (Interpolation, error) {
	for _, i := range []Interpolation{Bilinear, Bicubic} {
		if name == i.String() {
			return i, nil
		}
	}
	return 0, fmt.Errorf("interpolation %q is not read; only %v and %v are", name, Bilinear, Bicubic)
}

// support returns how many pixels away, where the image doesn't shrink, the filter ends.
func (i Interpolation) support() float64 { return float64(i + 1) }

// at returns the filter's value x pixels from its centre.
//
// Source: Pillow, src/libImaging/Resample.c, bilinear_filter and bicubic_filter.
func (i Interpolation) at(x float64) float64 {
	const a = -0.5
	x = math.Abs(x)
	switch {
	case i == Bilinear:
		return max(0, 1-x)
	case x < 1:
		return ((a+2)*x-(a+3))*x*x + 1
	case x < 2:
		return (((x-5)*x+8)*x - 4) * a
	}
	return 0
}
