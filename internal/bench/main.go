// Command bench measures the steps that take most of a run's time and, if python3 has PyTorch, the same steps written
// plainly in PyTorch. It appends the results to a table:
//
//	go run ./internal/bench -backends=onnx,go -cases=resnet20-first -seconds=2
package main

import (
	"context"
	"flag"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pdquant/pdquant/internal/program"
	"github.com/pdquant/pdquant/internal/tsv"
	"github.com/pdquant/pdquant/pdq/backend"
	"github.com/pdquant/pdquant/pdq/experiment"
)

func main() { program.Main("bench", bench) }

// settings are the flags.
type settings struct {
	backends, cases []string
	seconds         float64
	rounds          int
	python, device  string
	compile, busy   bool
	out             string
	set             string
	profiles        string

	accuracy   bool // measures timeToAccuracy instead of the cases
	root, runs string
	seeds      int
}

// wants says whether the case called name is to be measured.
func (s settings) wants(name string) bool { return slices.Contains(s.cases, name) }

func parse(args []string) (settings, error) {
	var s settings
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	backends := f.String("backends", "", "names of backends, separated by commas; empty: all that are installed")
	chosen := f.String("cases", "", "names of cases, separated by commas; empty: all")
	f.Float64Var(&s.seconds, "seconds", 1.5, "seconds for each measurement of a round")
	f.IntVar(&s.rounds, "rounds", 5, "rounds in which pdquant and PyTorch take turns")
	f.StringVar(&s.python, "python", "/usr/bin/python3", "Python with PyTorch; empty: no comparison")
	f.BoolVar(&s.compile, "compile", true, "measure torch.compile too, where PyTorch has it")
	f.BoolVar(&s.busy, "busy", false, "compare with PyTorch on a busy machine too")
	f.StringVar(&s.device, "device", "cpu", "what PyTorch computes on: cpu or cuda")
	f.StringVar(&s.out, "out", "testdata/benchmarks.tsv", "table to append to")
	f.StringVar(&s.set, "set", "", "only compare settings, as \"PD=10; Skip=0.75\", and write no table")
	f.StringVar(&s.profiles, "profile", "", "only append the time of each kind of operation to this table")
	f.BoolVar(&s.accuracy, "accuracy", false, "measure the time to the published code's accuracy, on one backend")
	f.StringVar(&s.root, "root", experiment.DefaultRoot, "with -accuracy: folder with cifar10/")
	f.StringVar(&s.runs, "runs", "runs/accuracy", "with -accuracy: run folder, in which it goes on")
	f.IntVar(&s.seeds, "seeds", 5, "with -accuracy: seeds of each method")
	if err := f.Parse(args); err != nil {
		return s, err
	}
	if s.seconds <= 0 || s.rounds < 1 || s.seeds < 1 || f.NArg() > 0 {
		return s, fmt.Errorf("-seconds=%g -rounds=%d -seeds=%d and %d arguments; give positive numbers and no arguments",
			s.seconds, s.rounds, s.seeds, f.NArg())
	}
	s.backends = backend.Available()
	if *backends != "" {
		s.backends = strings.Split(*backends, ",")
	}
	var known []string
	for _, c := range cases() {
		known = append(known, c.name)
	}
	if s.set != "" {
		s.python = ""
	}
	if s.python != "" && s.profiles == "" && !hasTorch(s.python) {
		fmt.Printf("no comparison with PyTorch: %s has none; -python= names another\n", s.python)
		s.python = ""
	}
	if s.cases = known; *chosen != "" {
		s.cases = strings.Split(*chosen, ",")
	}
	for _, name := range s.cases {
		if !slices.Contains(known, name) {
			return s, fmt.Errorf("no case %q; choose among %s", name, strings.Join(known, ", "))
		}
	}
	return s, nil
}

func bench(ctx context.Context, args []string) error {
	s, err := parse(args)
	if err != nil {
		return err
	}
	if s.profiles != "" {
		return s.profileCases(ctx)
	}
	if err := tsv.Fits(s.out, names()); err != nil {
		return err
	}
	fmt.Printf("%s; %s\n", machine(), features())
	if s.set != "" {
		return s.compareSettings(ctx)
	}
	busy, err := s.comparable(ctx)
	if err != nil {
		return err
	}
	if s.accuracy {
		return s.timeToAccuracy(ctx)
	}
	quiet := load() <= mostLoad
	var rows []row
	var peak float64
	for _, name := range s.backends { // all are compared with the fastest product of matrices
		b, note, err := backend.Open(name)
		if err != nil {
			return err
		}
		gflops, err := gemmPeak(b, time.Duration(s.seconds*float64(time.Second)))
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		fmt.Printf("%s\n  products of 1024x1024 matrices: %.0f GFLOP/s\n", note, gflops)
		peak = max(peak, gflops)
	}
	for _, name := range s.backends {
		for _, c := range cases() {
			if !s.wants(c.name) {
				continue
			}
			if err := ctx.Err(); err != nil {
				return err
			}
			r, err := s.measure(ctx, name, c)
			if err != nil {
				return fmt.Errorf("%s on %s: %w", c.name, name, err)
			}
			r.peak, r.note = peak, r.note+busy
			if err := r.record(s.out); err != nil {
				return err
			}
			rows = append(rows, r)
		}
	}
	fmt.Println(summary(rows))
	if !quiet {
		return nil
	}
	return keepTimes(rows)
}

// keepTimes makes the backend "auto" go by the rows.
func keepTimes(rows []row) error {
	times := backend.Times{}
	for _, r := range rows {
		if times[r.name] == nil {
			times[r.name] = map[string]float64{}
		}
		times[r.name][r.backend] = r.step.median
	}
	path, err := backend.KeepTimes(times)
	if path != "" && err == nil {
		fmt.Printf("backend=auto goes by these steps from now on: %s\n", path)
	}
	return err
}
