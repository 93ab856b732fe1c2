package main

import (
	"fmt"
	"strings"

	"github.com/pdquant/pdquant/notebooks/lab"
	"github.com/pdquant/pdquant/pdq"
)

// setting is a preset, one of its baselines, or that with some fields changed.
type setting struct {
	text     string // as it was given
	preset   string
	baseline func(pdq.Config) pdq.Config
	all      string      // what is changed in all presets, as it was given
	common   [][2]string // the names and values of these fields, to change in the preset,
	fields   [][2]string // and in what the baseline makes of it
}

// parseSetting reads "preset/baseline Field=value ...", and the fields that all presets are changed in.
func parseSetting(text, all string) (setting, error) {
	words := strings.Fields(text)
	if len(words) == 0 {
		return setting{}, fmt.Errorf("an empty setting; give a preset as in %q", "quick/mse; quick")
	}
	s := setting{text: strings.Join(words, " "), all: strings.Join(strings.Fields(all), " "), baseline: func(c pdq.Config) pdq.Config { return c }}
	var baseline string
	s.preset, baseline, _ = strings.Cut(words[0], "/")
	switch baseline {
	case "":
	case "mse":
		s.baseline = pdq.Config.MSEOnly
	case "nearest":
		s.baseline = pdq.Config.Nearest
	default:
		return s, fmt.Errorf("no baseline %q; choose mse or nearest", baseline)
	}
	var err error
	if s.common, err = parseFields(strings.Fields(all)); err != nil {
		return s, err
	}
	s.fields, err = parseFields(words[1:])
	return s, err
}

func parseFields(words []string) ([][2]string, error) {
	var fields [][2]string
	for _, word := range words {
		name, value, ok := strings.Cut(word, "=")
		if !ok {
			return nil, fmt.Errorf("%q; give a field and its value as Loss.PD=2", word)
		}
		fields = append(fields, [2]string{name, value})
	}
	return fields, nil
}

// config is the configuration for a network and bits.
func (s setting) config(l *lab.Lab, subject lab.Subject, bits [2]int) (pdq.Config, error) {
	c, err := pdq.Preset(s.preset, subject.Design, bits[0], bits[1])
	if err != nil {
		return c, err
	}
	if c, err = set(c, s.common); err != nil {
		return c, err
	}
	if c, err = set(s.baseline(c), s.fields); err != nil {
		return c, err
	}
	c.Machine.Workers = l.Workers()
	return c, c.Validate()
}

func set(c pdq.Config, fields [][2]string) (pdq.Config, error) {
	for _, f := range fields {
		var err error
		if c, err = c.Set(f[0], f[1]); err != nil {
			return c, err
		}
	}
	return c, nil
}
