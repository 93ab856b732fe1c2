// Command study measures what settings give: each on several networks, bits and seeds, on images that quantisation
// never saw. It writes a table with a line for each seed, and prints means with standard errors.
//
//	go run ./internal/study -networks=resnet8,resnet20 -bits=2/2,4/4 -images=256 \
//		-settings="quick/mse; quick; quick Loss.Balanced=true Loss.PD=0.5" -out=study.tsv
//
// Results are kept in runs/notebooks/results, so that a study that ended early goes on where it stopped.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/pdquant/pdquant/internal/atomicfile"
	"github.com/pdquant/pdquant/notebooks/lab"
	"github.com/pdquant/pdquant/pdq"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "study:", err)
		os.Exit(1)
	}
}

// study is what is asked for.
type study struct {
	networks        []string
	bits            [][2]int // of weights and activations
	settings        []setting
	seeds, images   int
	tests, held     int
	hard            bool // the held out images are distorted
	indices, output string
}

func parse(args []string) (s study, err error) {
	f := flag.NewFlagSet("study", flag.ContinueOnError)
	networks := f.String("networks", "resnet8", "names, separated by commas, of networks as the command models lists them")
	bits := f.String("bits", "2/2", "of weights and activations, separated by commas")
	settings := f.String("settings", "quick/mse; quick", "separated by semicolons: a preset ("+strings.Join(pdq.PresetNames(), ", ")+"), /mse or /nearest for its baselines, and fields to change")
	all := f.String("all", "", "fields to change in all presets, before a baseline is made of them")
	f.IntVar(&s.seeds, "seeds", 3, "seeds, from 1 on")
	f.IntVar(&s.images, "images", 256, "calibration images")
	f.IntVar(&s.tests, "tests", 0, "test images; 0: all")
	f.IntVar(&s.held, "held", 0, "test on so many training images that aren't calibrated on, to choose settings by; 0: on the test images")
	f.BoolVar(&s.hard, "hard", false, "distort the held-out images, half with noise and half by blurring: undistorted, the network knows those it was trained on")
	f.StringVar(&s.indices, "indices", "", "file with the training images to calibrate on, a number a line; empty: each seed draws its own")
	f.StringVar(&s.output, "out", "", "file of the table; empty: none")
	if err := f.Parse(args); err != nil {
		return s, err
	}
	if s.seeds < 1 || s.images < 1 || s.tests < 0 || s.held < 0 || f.NArg() > 0 {
		return s, fmt.Errorf("-seeds=%d -images=%d -tests=%d -held=%d and %d arguments; give positive numbers and no arguments", s.seeds, s.images, s.tests, s.held, f.NArg())
	}
	if s.hard && s.held == 0 {
		return s, errors.New("-hard distorts held-out images; say how many, as in -held=3000")
	}
	s.networks = strings.Split(*networks, ",")
	for text := range strings.SplitSeq(*bits, ",") {
		w, a, _ := strings.Cut(text, "/")
		var b [2]int
		for i, number := range []string{w, a} {
			if b[i], err = strconv.Atoi(number); err != nil {
				return s, fmt.Errorf("-bits=%s; give those of weights and activations as 2/4", *bits)
			}
		}
		s.bits = append(s.bits, b)
	}
	for text := range strings.SplitSeq(*settings, ";") {
		one, err := parseSetting(text, *all)
		if err != nil {
			return s, err
		}
		s.settings = append(s.settings, one)
	}
	return s, nil
}

func run(ctx context.Context, args []string) error {
	s, err := parse(args)
	if err != nil {
		return err
	}
	l, err := lab.Open()
	if err != nil {
		return err
	}
	l.Setting = lab.Setting{Name: "study", Images: s.images, Tests: s.tests, Seeds: s.seeds}
	var lines []line
	for _, name := range s.networks {
		subject, err := s.subject(l, name)
		if err != nil {
			return err
		}
		for _, bits := range s.bits {
			var base []lab.Result
			for i, set := range s.settings {
				x := line{network: name, bits: bits, setting: set.text, all: set.all}
				start := time.Now()
				if x.results, err = s.results(ctx, l, subject, set, bits); err != nil {
					return err
				}
				if i == 0 {
					base = x.results
				}
				x.base = base
				lines = append(lines, x)
				fmt.Fprintf(os.Stderr, "%s W%dA%d %s: %v, %v (%.0f s)\n", name, bits[0], bits[1], set.text, lab.Top1(x.results), lab.Against(x.results, base), time.Since(start).Seconds())
				if s.output != "" {
					if err := atomicfile.WriteBytes(s.output, []byte(tsv(lines, l.Note, s.tested()))); err != nil {
						return err
					}
				}
			}
		}
	}
	fmt.Println(summary(lines, s.tested()))
	return nil
}

func (s study) results(ctx context.Context, l *lab.Lab, subject lab.Subject, set setting, bits [2]int) ([]lab.Result, error) {
	c, err := set.config(l, subject, bits)
	if err != nil {
		return nil, err
	}
	return l.Results(ctx, subject, pdq.Method{Name: set.text, Config: c}, s.images)
}
