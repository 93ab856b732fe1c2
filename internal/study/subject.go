package main

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/pdquant/pdquant/datasets"
	"github.com/pdquant/pdquant/notebooks/lab"
)

// subject is the network called name with the images that s asks for.
func (s study) subject(l *lab.Lab, name string) (lab.Subject, error) {
	subject, err := l.Subject(name)
	if err != nil || s.indices == "" && s.held == 0 {
		return subject, err
	}
	pool, ok := subject.Pool.(datasets.Images)
	if !ok {
		return subject, fmt.Errorf("%s: -indices and -held are for images in memory, which those of %s aren't", name, subject.Data)
	}
	calibration, held, err := s.split(pool.Len())
	if err != nil {
		return subject, fmt.Errorf("%s: %w", name, err)
	}
	if subject.Pool, err = pool.Select(calibration); err != nil {
		return subject, err
	}
	if s.held > 0 {
		images, err := pool.Select(held)
		if err != nil {
			return subject, err
		}
		if s.hard {
			distort(images)
		}
		subject.Test = images
	}
	return subject, nil
}

// split says which of n training images may be calibrated on, and which are held out from that.
func (s study) split(n int) (calibration, held []int, err error) {
	if s.indices != "" {
		if calibration, err = readIndices(s.indices, s.images, n); err != nil {
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
		case len(held) < s.held:
			held = append(held, i)
		case s.indices == "":
			calibration = append(calibration, i)
		}
	}
	if len(held) < s.held || len(calibration) < s.images {
		return nil, nil, fmt.Errorf("%d training images don't suffice for -images=%d and -held=%d", n, s.images, s.held)
	}
	return calibration, held, nil
}

// readIndices reads the first count numbers of the file at path, each below limit.
func readIndices(path string, count, limit int) ([]int, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("%w; -indices takes a file such as testdata/cifar10/calibration.txt", err)
	}
	words := strings.Fields(string(text))
	if len(words) < count {
		return nil, fmt.Errorf("%s has %d numbers; ask for -images=%d or fewer", path, len(words), len(words))
	}
	indices := make([]int, count)
	for i, word := range words[:count] {
		if indices[i], err = strconv.Atoi(word); err != nil || indices[i] < 0 || indices[i] >= limit {
			return nil, fmt.Errorf("%s: number %d is %q; there are images 0 to %d", path, i+1, word, limit-1)
		}
		if before := slices.Index(indices[:i], indices[i]); before >= 0 {
			return nil, fmt.Errorf("%s: number %d is %s like number %d; leave one out", path, i+1, word, before+1)
		}
	}
	return indices, nil
}
