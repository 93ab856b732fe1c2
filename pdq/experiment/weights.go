package experiment

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/pdquant/pdquant/datasets"
	"github.com/pdquant/pdquant/models"
	"github.com/pdquant/pdquant/models/arch"
	"github.com/pdquant/pdquant/models/checkpoint"
)

// reader returns the weights of a network; those that there are, if it is nil.
type reader func(n *models.Network) (models.Weights, error)

// load returns s with its network for images of in, and the weights from the checkpoint at path ("": the shipped ones).
func load(s Subject, path string, in arch.Input) (Subject, error) {
	s.Origin = "weights of " + path
	read := reader(func(n *models.Network) (models.Weights, error) {
		w, report, err := checkpoint.LoadReport(path, n)
		if text := report.String(); err == nil && n != nil && text != "" {
			s.Origin += " (" + text + ")"
		}
		return w, err
	})
	if path == "" {
		teacher, err := arch.LoadTeacher(s.Name)
		if err != nil {
			return s, err
		}
		s.Origin, s.Record = "shipped", teacher.Record
		read = func(n *models.Network) (models.Weights, error) {
			if n == nil {
				return teacher.Weights, nil
			}
			return teacher.Weights, teacher.Weights.Check(n)
		}
	}
	var err error
	if s.Network, err = arch.Design(s.Design, in); err != nil {
		return s, err
	}
	if s.Weights, err = read(s.Network); err == nil {
		return s, nil
	}
	origin := s.Origin // which reading for other images adds to
	if of, found := inputOf(s.Design, in, read); found {
		err = misfit(s, origin, of, in)
	} else if name := relative(s.Design, in, read); name != "" {
		err = fmt.Errorf("experiment: %s: its weights (%s) are those of %s; give that name, or weights of %s: %w",
			s.Name, strings.TrimPrefix(origin, "weights of "), name, s.Name, err)
	}
	return s, err
}

// relative finds the architecture of the same family, as resnet34 beside resnet18, that weights are for; "": none.
func relative(design string, in arch.Input, read reader) string {
	family := func(name string) string { return strings.TrimRight(name, "0123456789.") }
	for _, name := range arch.Designs() {
		if name == design || family(name) != family(design) {
			continue
		}
		n, err := arch.Design(name, in)
		if err != nil {
			continue
		}
		if _, err := read(n); err == nil {
			return name
		}
	}
	return ""
}

// inputOf finds the channels and classes that weights are for, which don't fit a network for images of in. It tries 1
// and 3 channels, and as many classes as a matrix among the weights has rows.
func inputOf(design string, in arch.Input, read reader) (of arch.Input, found bool) {
	all, err := read(nil)
	if err != nil {
		return in, false
	}
	rows := map[int]bool{}
	for _, t := range all {
		if d := t.Shape().Dimensions; len(d) == 2 {
			rows[d[0]] = true
		}
	}
	for _, classes := range slices.Sorted(maps.Keys(rows)) {
		for _, channels := range []int{in.Channels, 1, 3} {
			of = arch.Input{Channels: channels, Height: in.Height, Width: in.Width, Classes: classes}
			n, err := arch.Design(design, of)
			if err != nil {
				continue
			}
			if _, err := read(n); err == nil {
				return of, true
			}
		}
	}
	return in, false
}

// misfit is the error for weights made for images of other channels or classes than the data of s.
func misfit(s Subject, origin string, of, in arch.Input) error {
	var are, have []string
	for _, x := range []struct {
		of, in    int
		one, more string
	}{{of.Channels, in.Channels, "channel", "channels"}, {of.Classes, in.Classes, "class", "classes"}} {
		if x.of != x.in {
			are, have = append(are, counted(x.of, x.one, x.more)), append(have, counted(x.in, x.one, x.more))
		}
	}
	both := strings.Join(are, " and ")
	hint := ""
	if _, pictures := s.Pool.(datasets.Files); pictures && of.Classes > in.Classes && of.Channels == in.Channels {
		hint = "; where some classes have no image, give a list of files with the classes' numbers"
	}
	return fmt.Errorf("experiment: %s: its weights (%s) are for images of %s, but those of %s have %s; "+
		"give data of %s, or a checkpoint that was trained on images like those%s",
		s.Name, strings.TrimPrefix(origin, "weights of "), both, s.Data, strings.Join(have, " and "), both, hint)
}

// counted returns "1 channel" or "3 channels".
func counted(n int, one, more string) string {
	if n == 1 {
		more = one
	}
	return fmt.Sprintf("%d %s", n, more)
}
