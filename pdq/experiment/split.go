package experiment

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/pdquant/pdquant/datasets"
)

// split takes the images that src asks for from those of s.
func (src Source) split(s Subject) (Subject, error) {
	if src.Distorted && src.Held == 0 {
		return s, fmt.Errorf("experiment: only held-out images are distorted; give their number")
	}
	if src.Fixed && src.Indices == "" {
		return s, fmt.Errorf("experiment: a fixed calibration set needs a file of indices")
	}
	if src.Indices != "" || src.Held > 0 {
		pool, ok := s.Pool.(datasets.Images)
		if !ok {
			return s, fmt.Errorf("experiment: indices and held-out images are for images in memory, and those of %s aren't",
				s.Data)
		}
		calibration, held, err := src.indices(pool.Len())
		if err != nil {
			return s, fmt.Errorf("experiment: %s: %w", s.Name, err)
		}
		drawn, err := pool.Select(calibration)
		if err != nil {
			return s, err
		}
		if s.Pool = drawn; src.Fixed {
			s.Pool = Given{Images: drawn, Indices: calibration}
		}
		if src.Held > 0 {
			if s.Test, s.Tested, err = src.heldOut(pool, held); err != nil {
				return s, err
			}
		}
	}
	var err error
	s.Test, err = s.Test.Evenly(src.Tests)
	return s, err
}

// heldOut returns the images of the pool to test on, and what they are.
func (src Source) heldOut(pool datasets.Images, indices []int) (datasets.Images, string, error) {
	images, err := pool.Select(indices)
	if err != nil || !src.Distorted {
		return images, "held-out training images", err
	}
	if images.Values != nil {
		return images, "", fmt.Errorf("experiment: only images of bytes are distorted, and those of %s are floats", pool.Name)
	}
	distort(images)
	return images, "distorted held-out training images", nil
}

// indices says which of n images may be calibrated on, and which are held out from that.
func (src Source) indices(n int) (calibration, held []int, err error) {
	if src.Indices != "" {
		if calibration, err = readIndices(src.Indices, n); err != nil {
			return nil, nil, err
		}
	}
	taken := make([]bool, n)
	for _, i := range calibration {
		taken[i] = true
	}
	for i := range n {
		switch {
		case taken[i]:
		case len(held) < src.Held:
			held = append(held, i)
		case src.Indices == "":
			calibration = append(calibration, i)
		}
	}
	if len(held) < src.Held || len(calibration) == 0 {
		return nil, nil, fmt.Errorf("%d images don't suffice to hold %d out and calibrate on others", n, src.Held)
	}
	return calibration, held, nil
}

// readIndices reads the numbers of the file at path, each below limit.
func readIndices(path string, limit int) ([]int, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("%w; give a file with a number a line, as testdata/cifar10/calibration.txt", err)
	}
	words := strings.Fields(string(text))
	indices := make([]int, len(words))
	for i, word := range words {
		if indices[i], err = strconv.Atoi(word); err != nil || indices[i] < 0 || indices[i] >= limit {
			return nil, fmt.Errorf("%s: number %d is %q; there are images 0 to %d", path, i+1, word, limit-1)
		}
		if before := slices.Index(indices[:i], indices[i]); before >= 0 {
			return nil, fmt.Errorf("%s: number %d is %s like number %d; leave one out", path, i+1, word, before+1)
		}
	}
	return indices, nil
}

// Given is a pool whose first images every seed calibrates on, in their order. Grid quantises the seeds side by side.
type Given datasets.Calibration

// Len returns the number of images that can be calibrated on.
func (p Given) Len() int { return p.Images.Len() }

// Calibrate returns the first n images, with the record of how they were drawn. The seed changes nothing.
func (p Given) Calibrate(_ context.Context, n int, _ uint64) (datasets.Calibration, error) {
	if n < 1 || n > p.Len() {
		return datasets.Calibration{}, fmt.Errorf("experiment: %d calibration images of a list of %d; ask for 1 to %d",
			n, p.Len(), p.Len())
	}
	cal := datasets.Calibration(p)
	cal.Images, cal.Indices = cal.Slice(0, n), cal.Indices[:n]
	if cal.Crops != nil {
		cal.Crops = cal.Crops[:n]
	}
	return cal, nil
}
