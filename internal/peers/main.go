// Command peers quantises EfficientNet-Lite0 by programs of other projects and by pdquant, on the same photographs, and
// appends their accuracy to a table:
//
//	go run ./internal/peers -data=FOLDER -checkpoint=efficientnet-lite0-57934424.pth -half=a onnxruntime pdquant
//
// FOLDER has photographs in images/, and their names and classes in half-a.txt and half-b.txt: one half is calibrated
// on, the other tested on. All programs get the arrays that pdquant makes of the photographs, in full precision first.
// A peer's packages are installed in a virtual environment in pdquant's cache folder. What fails gets a row with the
// reason; rows that the table has are left out. "onnxruntime:MinMax" stands for one setting of a peer.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/pdquant/pdquant/datasets"
	"github.com/pdquant/pdquant/internal/program"
	"github.com/pdquant/pdquant/pdq"
	"github.com/pdquant/pdquant/pdq/experiment"
)

func main() { program.Main("peers", peers) }

// settings are the flags.
type settings struct {
	data, checkpoint, half, runs, out, backend string
	threads                                    int
	limit                                      time.Duration
}

func parse(args []string) (s settings, names []string, err error) {
	f := flag.NewFlagSet("peers", flag.ContinueOnError)
	f.StringVar(&s.data, "data", "", "folder of images/, half-a.txt and half-b.txt")
	f.StringVar(&s.checkpoint, "checkpoint", "", "EfficientNet-Lite0's weights")
	f.StringVar(&s.half, "half", "a", "half to calibrate on: a or b")
	f.StringVar(&s.runs, "runs", "runs/peers", "folder for arrays and for what is right")
	f.StringVar(&s.out, "out", "testdata/imagenet-peers.tsv", "table to append to")
	f.StringVar(&s.backend, "backend", "auto", "what pdquant computes with")
	f.IntVar(&s.threads, "threads", 1, "threads of a peer")
	f.DurationVar(&s.limit, "limit", 30*time.Minute, "most time for a row")
	if err := f.Parse(args); err != nil {
		return s, nil, err
	}
	names = f.Args()
	for _, name := range names {
		if !slices.ContainsFunc(jobs(), func(j job) bool { return j.called(name) }) {
			return s, nil, fmt.Errorf("no peer %q; choose from %s", name, strings.Join(peerNames(), ", "))
		}
	}
	if len(names) == 0 || s.data == "" || s.checkpoint == "" || s.half != "a" && s.half != "b" {
		return s, nil, fmt.Errorf("%d peers, -data=%q -checkpoint=%q -half=%q; give peers (%s), both paths, and a or b",
			len(names), s.data, s.checkpoint, s.half, strings.Join(peerNames(), ", "))
	}
	return s, names, nil
}

// job is a row to be measured.
type job struct {
	peer, setting string
	w, a          int
}

// full is full precision, in PyTorch.
func full() job { return job{"float", "full precision", 32, 32} }

// jobs are the rows, a peer's together.
func jobs() (all []job) {
	for _, p := range []struct {
		peer     string
		settings []string
	}{
		{"onnxruntime", []string{"MinMax", "MinMax, 8-bit products", "Entropy", "Percentile"}},
		{"nncf", []string{"fast bias correction", "accurate bias correction"}},
		{"brevitas", []string{"bias correction", "GPTQ, bias correction"}},
		{"aimet", []string{"AdaRound 500 steps", "AdaRound 2000 steps"}},
		{own, []string{"nearest", "mse"}},
	} {
		for _, setting := range p.settings {
			all = append(all, job{p.peer, setting, 8, 8}, job{p.peer, setting, 4, 8})
		}
	}
	return append([]job{full()}, all...)
}

func peerNames() (names []string) {
	for _, j := range jobs() {
		if len(names) == 0 || names[len(names)-1] != j.peer {
			names = append(names, j.peer)
		}
	}
	return names
}

// called says whether a name on the command line stands for j.
func (j job) called(name string) bool { return name == j.peer || name == j.peer+":"+j.setting }

// outcome is what a job gave.
type outcome struct {
	Versions string  `json:"versions"`
	Seconds  float64 `json:"seconds"`
	Right    []bool  `json:"right"`  // of each test image
	Reason   string  `json:"reason"` // why there is no accuracy; "": there is
}

func (o outcome) score() pdq.Score { return pdq.Score{Top1: o.Right} }

func peers(ctx context.Context, args []string) error {
	s, names, err := parse(args)
	if err != nil {
		return err
	}
	if err := fits(s.out); err != nil {
		return err
	}
	if err := os.MkdirAll(s.runs, 0o755); err != nil {
		return err
	}
	subject, err := s.subject()
	if err != nil {
		return err
	}
	base, err := s.measured(ctx, full(), subject)
	if err != nil {
		return err
	}
	if base.Reason != "" {
		return fmt.Errorf("full precision: %s", base.Reason)
	}
	for _, j := range jobs() {
		done, err := has(s.out, j, s.half)
		if err != nil {
			return err
		}
		if done || !slices.ContainsFunc(names, j.called) {
			continue
		}
		o, err := s.measured(ctx, j, subject)
		if err != nil {
			return err
		}
		r := row{job: j, half: s.half, images: subject.Pool.Len(), outcome: o, base: base, threads: s.threads}
		if err := r.append(s.out); err != nil {
			return err
		}
		fmt.Println(r)
	}
	return nil
}

// other is the half to test on.
func (s settings) other() string { return map[string]string{"a": "b", "b": "a"}[s.half] }

// subject opens the network and the two halves. Photographs to calibrate on are cut out of the middle, as those to test
// on.
func (s settings) subject() (experiment.Subject, error) {
	list := func(half string) string { return filepath.Join(s.data, "half-"+half+".txt") }
	return experiment.Open(experiment.Source{Name: "efficientnet-lite0", Checkpoint: s.checkpoint,
		Data: filepath.Join(s.data, "images"), Lists: datasets.Lists{Calibration: list(s.half), Test: list(s.other())},
		Centred: true})
}

// measured does a job, unless an earlier call did. What failed isn't kept: another limit may do.
func (s settings) measured(ctx context.Context, j job, subject experiment.Subject) (outcome, error) {
	folder := experiment.Folder(s.runs)
	name := fmt.Sprintf("half-%s %s %s W%dA%d.json", s.half, j.peer, j.setting, j.w, j.a)
	var o outcome
	if _, err := os.Stat(folder.Path(name)); err == nil {
		return o, folder.ReadJSON(name, &o)
	}
	measure := s.peer
	if j.peer == own {
		measure = s.own
	}
	o, err := measure(ctx, j, subject)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return o, fmt.Errorf("%s, %s, W%dA%d: %w", j.peer, j.setting, j.w, j.a, err)
	}
	if o.Reason != "" {
		return o, nil
	}
	return o, folder.WriteJSON(name, o)
}
