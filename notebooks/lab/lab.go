package lab

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/gomlx/compute"

	"github.com/pdquant/pdquant/datasets"
	"github.com/pdquant/pdquant/pdq"
	"github.com/pdquant/pdquant/pdq/backend"
	"github.com/pdquant/pdquant/pdq/experiment"
)

// Lab computes results and keeps them.
type Lab struct {
	Setting
	Note     string          // which backend computes
	Progress func(pdq.Event) // sees every step; nil: silent
	until    time.Time       // when to begin no further computation; zero: no limit
	Backend  compute.Backend
	data     string // folder of data sets and checkpoints
	folder   experiment.Folder
}

// errLate is of a result that is not kept, and the time is up.
var errLate = errors.New("lab: the time is up")

// Result is what a method gave with one seed.
type Result struct {
	Record            experiment.Record // what it was given
	Seed              uint64
	Test, Calibration pdq.Score
	PD                []float32 `json:",omitempty"` // each test image's prediction difference, at Loss.Temperature; nil: of images that aren't in memory, or of before it was measured
	Seconds           float64   // of quantising
}

// Open returns the lab. Environment variables say how much it computes (PDQUANT_NOTEBOOKS:
// the name of one of Settings, quick if empty), for how long (PDQUANT_MINUTES from now on, without limit if empty) and where
// data are (PDQUANT_DATA: a folder with one for each data set and checkpoints, data in the repository if empty).
func Open() (*Lab, error) {
	setting, err := settingOf(os.Getenv("PDQUANT_NOTEBOOKS"))
	if err != nil {
		return nil, err
	}
	l := &Lab{Setting: setting, data: os.Getenv("PDQUANT_DATA")}
	if l.data == "" {
		l.data = filepath.Join(root(), "data")
	}
	if limit := os.Getenv("PDQUANT_MINUTES"); limit != "" {
		minutes, err := strconv.ParseFloat(limit, 64)
		if err != nil {
			return nil, fmt.Errorf("lab: PDQUANT_MINUTES=%s is no number", limit)
		}
		l.until = time.Now().Add(time.Duration(minutes * float64(time.Minute)))
	}
	if l.folder, err = experiment.CreateFolder(filepath.Join(root(), "runs", "notebooks", "results")); err != nil {
		return nil, err
	}
	if l.Backend, l.Note, err = backend.Open("auto"); err != nil {
		return nil, err
	}
	l.Note = backend.WithoutPath(l.Note)
	return l, nil
}

// Subject returns the network called name, as arch.Find knows it. The error is ErrMissing if weights or
// data aren't here.
func (l *Lab) Subject(name string) (Subject, error) { return subject(l.data, name, l.Tests) }

// Config returns PD-Quant's settings for s: the paper's, or with fewer steps those of pdq.Quick, the learning rates raised as
// the steps are fewer still. On resnet8, 100 steps at 2.5 times the rates gave what 250 did: 87.65 against 87.75 % (one seed,
// 128 calibration images, 2,000 test images, W2A2); at the same rates 85.45 %, with weights still between two levels.
func (l *Lab) Config(s Subject, w, a int) (pdq.Config, error) {
	preset := pdq.Quick
	if l.Name == "full" {
		preset = pdq.Paper
	}
	c, err := preset(s.Design, w, a)
	if fewer := float64(c.Rounding.Steps) / float64(l.Steps); fewer > 1 {
		const most = 2.5 // what was tried
		c.Rounding.LearningRate *= min(fewer, most)
		c.Rounding.ScaleLearningRate *= min(fewer, most)
	}
	c.Rounding.Steps, c.Correction.Steps = l.Steps, l.Correction
	c.Machine.Workers = l.Workers()
	return c, err
}

// Workers is how many suit the backend, as of pdq.MachineConfig.
func (l *Lab) Workers() int { return backend.Workers(l.Backend) }

// Results returns what m gives on s with each of the setting's seeds, calibrated on so many images. A seed draws these,
// the batches, and what drops out. Once the time is up, it returns what is kept: the first seeds, or none.
func (l *Lab) Results(ctx context.Context, s Subject, m pdq.Method, images int) ([]Result, error) {
	var all []Result
	for seed := range uint64(l.Seeds) {
		m.Config.Seed = seed + 1
		r, err := l.result(ctx, s, m, images)
		if errors.Is(err, errLate) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("%s on %s, seed %d: %w", m.Name, s.Trained.Name, m.Config.Seed, err)
		}
		all = append(all, r)
	}
	return all, nil
}

// result reads a result, or computes and writes it, from where an earlier try ended.
func (l *Lab) result(ctx context.Context, s Subject, m pdq.Method, images int) (Result, error) {
	cal, err := s.Pool.Calibrate(ctx, images, m.Config.Seed)
	if err != nil {
		return Result{}, err
	}
	r := Result{Seed: m.Config.Seed}
	if m.Config.FineTune.Steps == 0 {
		m.Config.FineTune = pdq.FineTuneConfig{} // the rates of what is off decide nothing,
	}
	given := m
	given.Config.Machine, given.Name = pdq.MachineConfig{}, "" // nor does how it is computed and called
	if r.Record, err = experiment.NewRecord(s.Network, s.Weights, cal, s.Test, []pdq.Method{given}); err != nil {
		return r, err
	}
	r.Record.Backend = l.Note
	file, err := fileOf(r.Record)
	if err != nil {
		return r, err
	}
	if found, err := l.read(file); !errors.Is(err, fs.ErrNotExist) {
		return found, err
	}
	if !l.until.IsZero() && time.Now().After(l.until) {
		return r, errLate
	}
	q, err := pdq.New(l.Backend, pdq.Problem{Network: s.Network, Weights: s.Weights, Calibration: cal.Images}, m.Config)
	if err != nil {
		return r, err
	}
	q.Progress = l.Progress
	result, err := l.run(ctx, q, s, m, images, stateOf(file))
	if err != nil {
		return r, err
	}
	r.Test, r.Calibration, r.Seconds = result.Test, result.Calibration, result.Seconds
	if images, ok := s.Test.(datasets.Images); ok && m.Config.Loss.Temperature > 0 {
		each, err := q.PredictionDifferences(ctx, result.Student, images)
		if err != nil {
			return r, err
		}
		for _, d := range each {
			r.PD = append(r.PD, float32(d))
		}
	}
	if err := l.folder.SaveStudent(q, studentOf(file), result.Student); err != nil {
		return r, err
	}
	if err := l.folder.WriteJSON(file, r); err != nil {
		return r, err
	}
	_ = l.folder.RemoveState(stateOf(file)) // the result is written down
	return r, nil
}

// run takes q's run to its end. How far it has come is in the file called state all the while, and it goes on from what is there.
func (l *Lab) run(ctx context.Context, q *pdq.Quantizer, s Subject, m pdq.Method, images int, state string) (pdq.Result, error) {
	from, err := l.kept(q, state)
	if errors.Is(err, fs.ErrNotExist) {
		from, err = l.untuned(ctx, q, s, m, images)
	}
	if err != nil {
		return pdq.Result{}, err
	}
	return q.RunFrom(ctx, m.Name, s.Test, from, pdq.Keeper{Every: 500, Keep: func(now pdq.State) error { return l.keep(q, state, now) }})
}

// kept is where q's run ended early; fs.ErrNotExist: nowhere. If the state is damaged it is the one before it, and without that
// nowhere either: all that is lost is time.
func (l *Lab) kept(q *pdq.Quantizer, state string) (pdq.State, error) {
	from, err := l.folder.LoadState(q, state)
	if errors.Is(err, pdq.ErrDamaged) {
		from, err = l.folder.LoadState(q, experiment.Previous(state))
	}
	switch {
	case errors.Is(err, pdq.ErrDamaged):
		return pdq.State{}, fs.ErrNotExist
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return pdq.State{}, fmt.Errorf("lab: %w; remove the file", err)
	}
	return from, err
}

// keep writes down where q's run is. Another process may compute the same result, and write the same file: whichever state is
// read, it leads to the same bits. The one that ends first removes it, perhaps while this one makes it the state before: then
// there is none to be that, at the second try.
func (l *Lab) keep(q *pdq.Quantizer, state string, now pdq.State) error {
	err := l.folder.SaveState(q, state, now)
	if errors.Is(err, fs.ErrNotExist) {
		err = l.folder.SaveState(q, state, now)
	}
	return err
}

// untuned is where q's run is before fine-tuning, by the result of the same method without it, which is kept as any other: methods
// that only fine-tune otherwise take the units once. Without fine-tuning it is the beginning.
func (l *Lab) untuned(ctx context.Context, q *pdq.Quantizer, s Subject, m pdq.Method, images int) (pdq.State, error) {
	if m.Config.FineTune.Steps == 0 {
		return pdq.State{}, nil
	}
	m.Config.FineTune.Steps = 0
	r, err := l.result(ctx, s, m, images)
	if err != nil {
		return pdq.State{}, err
	}
	file, err := fileOf(r.Record)
	if err != nil {
		return pdq.State{}, err
	}
	student, err := l.folder.LoadStudent(q, studentOf(file))
	if errors.Is(err, fs.ErrNotExist) { // of a result that was kept without it
		return pdq.State{}, nil
	}
	return pdq.State{Unit: len(s.Network.Units), Student: student, Elapsed: time.Duration(r.Seconds * float64(time.Second))}, err
}

// studentOf names the file of the student that a result's file is of.
func studentOf(file string) string { return strings.TrimSuffix(file, ".json") + ".safetensors" }

// stateOf names the file of where the run is that a result's file is of.
func stateOf(file string) string { return strings.TrimSuffix(file, ".json") + ".state" }

// FullPrecision returns the accuracy of s in per cent as it is, and its standard error.
func (l *Lab) FullPrecision(ctx context.Context, s Subject) (top1, se float64, err error) {
	score, err := pdq.EvaluateTeacher(ctx, l.Backend, backend.Workers(l.Backend), s.Network, s.Weights, s.Test, nil)
	acc, se := score.Accuracy()
	return 100 * acc, 100 * se, err
}

// fileOf names the file of a result by what it was given; when doesn't matter.
func fileOf(r experiment.Record) (string, error) {
	r.Started, r.Threads = time.Time{}, 0
	data, err := json.Marshal(r)
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:8]) + ".json", err
}

func (l *Lab) read(file string) (r Result, err error) {
	if err := l.folder.ReadJSON(file, &r); err != nil {
		return r, fmt.Errorf("lab: %w; remove the file", err)
	}
	return r, nil
}
