// Command exports quantises networks at several widths, writes each student as an ONNX file, runs the file in ONNX
// Runtime on test images, and appends how far it computes what the student does to a table:
//
//	go run ./internal/exports -root=FOLDER resnet8 resnet20-cifar10 shufflenet.onnx=fashion-mnist
//
// An ONNX file is followed by its data set. Students stay in the folder of runs; the same command goes on where it was
// interrupted, and leaves out what the table has.
package main

import (
	"context"
	"flag"
	"fmt"
	"slices"
	"strings"

	"github.com/pdquant/pdquant/internal/program"
	"github.com/pdquant/pdquant/internal/tsv"
	"github.com/pdquant/pdquant/pdq"
	"github.com/pdquant/pdquant/pdq/backend"
	"github.com/pdquant/pdquant/pdq/experiment"
)

func main() { program.Main("exports", exports) }

// settings are the flags. All networks are quantised by squared error only, with one seed.
type settings struct {
	root, runs, out string
	tests           int
	grid            experiment.Grid // but for subjects, bits and methods
}

func parse(args []string) (s settings, networks []string, err error) {
	f := flag.NewFlagSet("exports", flag.ContinueOnError)
	f.StringVar(&s.root, "root", experiment.DefaultRoot, "folder of data sets by their names, and of checkpoints")
	f.StringVar(&s.runs, "runs", "runs/exports", "folder of the students")
	f.StringVar(&s.out, "out", "testdata/exports.tsv", "table to append to")
	f.IntVar(&s.tests, "test", 1000, "test images, in equal distances")
	images := f.Int("images", 128, "calibration images")
	steps := f.Int("steps", 100, "rounding steps of each unit; 0: to nearest")
	name := f.String("backend", "auto", "what quantises")
	if err := f.Parse(args); err != nil {
		return s, nil, err
	}
	if f.NArg() == 0 || s.tests < 1 {
		return s, nil, fmt.Errorf("%d networks, -test=%d; give at least one of each", f.NArg(), s.tests)
	}
	s.grid = experiment.Grid{Seeds: experiment.Seeds(1), Images: *images, Preset: "glance",
		Command: "go run ./internal/exports"}
	s.grid.Settings, err = experiment.ParseSettings(
		fmt.Sprintf("Rounding.Steps=%d Rounding.LearningRate=0.075 Rounding.ScaleLearningRate=0.001", *steps))
	if err == nil {
		s.grid.Backend, s.grid.Note, err = backend.Open(*name)
	}
	return s, f.Args(), err
}

func exports(ctx context.Context, args []string) error {
	s, networks, err := parse(args)
	if err != nil {
		return err
	}
	done, err := tsv.Keys(s.out, 2)
	if err != nil {
		return err
	}
	var subjects []experiment.Subject
	for _, network := range networks {
		name, data, _ := strings.Cut(network, "=")
		subject, err := experiment.Open(experiment.Source{Name: name, Data: data, Root: s.root, Tests: s.tests})
		if err != nil {
			return err
		}
		subjects = append(subjects, subject)
	}
	for _, c := range cases() {
		for _, subject := range subjects {
			if done[subject.Name+" "+c.name] {
				continue
			}
			r, err := s.measure(ctx, subject, c)
			if err != nil {
				return fmt.Errorf("%s %s: %w", subject.Name, c.name, err)
			}
			if err := r.append(s.out); err != nil {
				return err
			}
			fmt.Println(r)
		}
	}
	return nil
}

// widths are those of a row.
type widths struct {
	name  string
	width experiment.Width
	mixed bool // see mix
}

func cases() (all []widths) {
	for _, w := range []experiment.Width{{W: 4, A: 4}, {W: 3, A: 3}, {W: 2, A: 2}, {W: 2, A: 4}, {W: 4, A: 2}} {
		all = append(all, widths{w.String(), w, false})
	}
	return slices.Insert(all, 1, widths{"mixed", experiment.Width{W: 4, A: 4}, true})
}

// mix gives the first third of a plan's layers 8 bits for both, and the last third 2 for weights, except in the first
// and last layer, which stay as they are.
func mix(p pdq.Plan) pdq.Plan {
	mixed := slices.Clone(p)
	for i := range mixed {
		l := &mixed[i]
		switch {
		case i == 0 || i == len(p)-1:
		case i < len(p)/3:
			l.Weight, l.Output = raised(l.Weight), raised(l.Output)
		case i >= 2*len(p)/3 && l.Weight > 0:
			l.Weight = 2
		}
	}
	return mixed
}

// raised is 8 for what is quantised.
func raised(bits int) int {
	if bits == 0 {
		return 0
	}
	return 8
}
