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
	fields   [][2]string // names and values
}

// parseSetting reads "preset/baseline Field=value ...", and more fields that hold for all settings.
func parseSetting(text, all string) (setting, error) {
	words := strings.Fields(text)
	if len(words) == 0 {
		return setting{}, fmt.Errorf("an empty setting; give a preset as in %q", "quick/mse; quick")
	}
	s := setting{text: strings.Join(words, " "), baseline: func(c pdq.Config) pdq.Config { return c }}
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
	for _, word := range append(strings.Fields(all), words[1:]...) {
		name, value, ok := strings.Cut(word, "=")
		if !ok {
			return s, fmt.Errorf("%q in %q; give a field and its value as Loss.PD=2", word, text)
		}
		s.fields = append(s.fields, [2]string{name, value})
	}
	return s, nil
}

// config is the configuration for a network and bits. Fields are changed last: they hold in baselines too.
func (s setting) config(l *lab.Lab, subject lab.Subject, bits [2]int) (pdq.Config, error) {
	c, err := pdq.Preset(s.preset, subject.Design, bits[0], bits[1])
	if err != nil {
		return c, err
	}
	c = s.baseline(c)
	for _, f := range s.fields {
		if c, err = c.Set(f[0], f[1]); err != nil {
			return c, err
		}
	}
	c.Machine.Workers = l.Workers()
	return c, c.Validate()
}
