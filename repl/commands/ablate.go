package commands

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/pdquant/pdquant/pdq"
	"github.com/pdquant/pdquant/pdq/experiment"
	"github.com/pdquant/pdquant/repl/shell"
)

func (e *engine) ablateCommand() command {
	return command{
		Name: "ablate", Group: groupRuns, Help: "quantise with each combination of settings and several seeds, and compare",
		Run: e.do(ablate),
		More: "The other settings are those in force, and all seeds calibrate on the session's images. The session stays " +
			"as it is. Ctrl-C ends it after showing what is finished. " + goesOn,
		Options: []shell.Option{
			option("loss", "mse,pd", "mse, pd or both"),
			option("dc", "on,off", "on, off or both"),
			seedsOption(),
			option("test", "1000", "test images, in equal distances; 0: all"),
			option("data", "", "data set whose test images it takes, as calib and eval know it; empty: that of the calibration "+
				"images"),
			keepOption(), anewOption(),
			option("out", "", "run folder; empty: runs/ablate-TEACHER-wWaA"),
		},
	}
}

func ablate(c *call) (session, error) {
	s := c.s
	g, err := newAblation(c)
	if err != nil {
		return s, err
	}
	f, err := c.gridFolder(&g, fmt.Sprintf("runs/ablate-%s-w%da%d", s.teacher.Name, g.Bits[0].W, g.Bits[0].A))
	if err != nil {
		return s, err
	}
	results, err := c.compute(g, f)
	if err != nil && (!errors.Is(err, context.Canceled) || len(results) < 2) {
		return s, err
	}
	return s, errors.Join(err, c.report(f, titleOf(g), results, g.Methods[0].Name))
}

// newAblation makes a grid of the session's teacher, images and settings.
func newAblation(c *call) (g experiment.Grid, err error) {
	s, src := c.s, experiment.Source{}
	if g.Methods, err = ablations(c.Values, s.config); err != nil {
		return g, err
	}
	if err := readGrid(c.Values, &src, &g); err != nil {
		return g, err
	}
	if _, err := c.quantizer(s, s.config); err != nil {
		return g, err
	}
	which := c.Values["data"]
	if which == "" {
		which = s.images.data
	}
	data, err := s.open(which)
	if err != nil {
		return g, err
	}
	subject := s.teacher.Subject
	subject.Data, subject.Pool = data.Name, experiment.Given(s.images.calibration)
	if subject.Test, err = data.Test.Evenly(src.Tests); err != nil {
		return g, err
	}
	g.Subjects, g.Images = []experiment.Subject{subject}, s.images.calibration.Len()
	g.Bits = []experiment.Width{{W: s.config.Bits.W, A: s.config.Bits.A}}
	g.Preset, g.Backend, g.Note, g.Machine, g.Anyway = s.preset, s.backend, s.note, s.config.Machine, true
	return g, nil
}

// ablations are the combinations that the options ask for, as changes of c.
func ablations(v shell.Values, c pdq.Config) ([]experiment.Method, error) {
	losses, err := choicesOf(v, "loss", "mse", "pd")
	if err != nil {
		return nil, err
	}
	corrections, err := choicesOf(v, "dc", "on", "off")
	if err != nil {
		return nil, err
	}
	var methods []experiment.Method
	for _, l := range losses {
		for _, dc := range corrections {
			m := experiment.Fixed{Name: "loss=" + l + " dc=" + dc, Config: c}
			if l == "mse" {
				m.Config.Loss.PD = 0
			} else if c.Loss.PD == 0 {
				return nil, errors.New("repl: loss=pd, but Loss.PD is 0; set it first: set Loss.PD=10, or ablate loss=mse")
			}
			if dc == "off" {
				m.Config.Correction.Steps = 0
			} else if c.Correction.Steps == 0 {
				return nil, errors.New("repl: dc=on, but Correction.Steps is 0; set it first: set Correction.Steps=50, or " +
					"ablate dc=off")
			}
			methods = append(methods, m.Method())
		}
	}
	return methods, nil
}

// choicesOf returns the parts of option key, each one of known.
func choicesOf(v shell.Values, key string, known ...string) ([]string, error) {
	parts := strings.Split(v[key], ",")
	for i, p := range parts {
		if !slices.Contains(known, p) || slices.Contains(parts[:i], p) {
			return nil, fmt.Errorf("repl: %s=%s; give one or more of %s, with commas", key, v[key], strings.Join(known, ", "))
		}
	}
	return parts, nil
}
