package experiment

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/gomlx/compute"

	"github.com/pdquant/pdquant/datasets"
	"github.com/pdquant/pdquant/pdq"
	"github.com/pdquant/pdquant/pdq/backend"
)

// Grid is subjects × bits × methods × seeds, after each subject in full precision.
type Grid struct {
	Subjects []Subject
	Bits     []Width
	Methods  []Method
	Seeds    []uint64
	Images   int      // calibration images, which each seed draws
	Preset   string   // whose Config methods change, one of pdq.PresetNames
	Settings Settings // set in the preset's Config before methods change it

	Backend compute.Backend
	Note    string            // what backend.Open said of it
	Machine pdq.MachineConfig // Workers, Devices and PartLimit 0: what suits the backend
	Every   int               // steps between states to go on from; 0: 500
	Anyway  bool              // goes on with a network that only guesses
	// Shares the folder with other processes that join it. Each computes what no other is computing, so that the same
	// grid runs on several GPUs or machines, or several times on one.
	Join    bool
	Command string // for the records: what was typed

	// Start is called before the first cell that is computed, with what the folder's Record says of the grid, and the
	// steps of its last method; nil: not.
	Start    func(r Record, q *pdq.Quantizer)
	Began    func(c Cell, number, of int) // called before a cell is computed; nil: not
	Step     func(p Progress)             // called between steps; nil: not
	Finished func(r Result)               // called when a cell is computed; nil: not
	Warn     func(text string)            // called with what the user should know; nil: not
}

// Cell is one result to compute.
type Cell struct {
	Subject *Subject
	Width
	Method Method
	Seed   uint64
}

// String returns the cell as progress shows it.
func (c Cell) String() string {
	if c.Method.Change == nil {
		return c.Subject.Name + " " + c.Method.Name
	}
	return fmt.Sprintf("%s %v %s, seed %d", c.Subject.Name, c.Width, c.Method.Name, c.Seed)
}

// Cells lists what the grid computes, in the order in which it does.
func (g Grid) Cells() []Cell {
	var cells []Cell
	for i := range g.Subjects {
		s := &g.Subjects[i]
		if len(g.Seeds) > 0 {
			cells = append(cells, Cell{s, Width{32, 32}, Method{Name: FullPrecision}, g.Seeds[0]})
		}
		for _, w := range g.Bits {
			for _, m := range g.Methods {
				for _, seed := range g.Seeds {
					cells = append(cells, Cell{s, w, m, seed})
				}
			}
		}
	}
	return cells
}

// Config returns the configuration of a cell, and that of its preset.
func (g Grid) Config(c Cell) (config, preset pdq.Config, err error) {
	if preset, err = pdq.Preset(g.Preset, c.Subject.Architecture(), c.W, c.A); err != nil {
		return config, preset, err
	}
	if config, err = g.Settings.Set(preset); err != nil {
		return config, preset, err
	}
	if config, err = c.Method.Change(config); err != nil {
		return config, preset, err
	}
	config.Seed, config.Machine = c.Seed, g.machine()
	return config, preset, config.Validate()
}

// Suited returns m with the Workers, Devices and PartLimit that suit b best.
func Suited(m pdq.MachineConfig, b compute.Backend) pdq.MachineConfig {
	m.Workers, m.Devices, m.PartLimit = backend.Workers(b), backend.Devices(b), backend.PartLimit(b)
	return m
}

func (g Grid) machine() pdq.MachineConfig {
	m, best := g.Machine, Suited(g.Machine, g.Backend)
	m.Workers, m.Devices = cmp.Or(m.Workers, best.Workers), cmp.Or(m.Devices, best.Devices)
	m.PartLimit = cmp.Or(m.PartLimit, best.PartLimit)
	return m
}

// Check reports what can be seen before anything is computed.
func (g Grid) Check() error {
	if len(g.Subjects) == 0 || len(g.Bits) == 0 || len(g.Methods) == 0 || len(g.Seeds) == 0 || g.Images < 1 {
		return fmt.Errorf("experiment: %d networks, %d settings of bits, %d methods, %d seeds and %d calibration images; "+
			"give at least one of each",
			len(g.Subjects), len(g.Bits), len(g.Methods), len(g.Seeds), g.Images)
	}
	for _, x := range []struct {
		what string
		is   []string
	}{
		{"network", namesOf(g.Subjects, func(s Subject) string { return s.Name + " on " + s.Data })},
		{"setting of bits", namesOf(g.Bits, Width.String)},
		{"method", namesOf(g.Methods, func(m Method) string { return m.Name })},
	} {
		for i, name := range x.is {
			if slices.Contains(x.is[:i], name) { // its results would count twice
				return fmt.Errorf("experiment: the %s %s is there twice", x.what, name)
			}
		}
	}
	for _, c := range g.Cells() {
		if c.Method.Change == nil {
			continue
		}
		if _, _, err := g.Config(c); err != nil {
			return fmt.Errorf("experiment: %v: %w", c, err)
		}
	}
	return nil
}

func namesOf[T any](all []T, name func(T) string) []string {
	var names []string
	for _, x := range all {
		names = append(names, name(x))
	}
	return names
}

// Run computes the cells that the folder's table has no results of, adds each to the table at once, and returns the
// results of all cells in their order. It goes on where an earlier Run stopped, within a unit too, and computes
// once what cells share. The folder is this process's alone until Run returns, unless processes Join it. It is an error
// if the table has a result of the same name that other weights, images, settings, backend or versions gave.
//
// After an error, the results are those that there are.
func (g Grid) Run(ctx context.Context, f Folder) (results []Result, err error) {
	if err := g.Check(); err != nil {
		return nil, err
	}
	lock := f.Lock
	if g.Join {
		lock = func() (func() error, error) { return f.Join(ctx) }
	}
	unlock, err := lock()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	table, err := f.Results()
	if err != nil {
		return nil, err
	}
	r := &gridRun{Grid: g, folder: f, table: table, drawn: map[uint64]datasets.Calibration{}, forecast: newForecast(g)}
	r.skipLabelled()
	found, err := r.all(ctx)
	for _, result := range found {
		if result != nil {
			results = append(results, *result)
		}
	}
	return results, err
}

// all returns the results of all cells, or those that there are when an error occurs. It goes through the cells until
// no other process has any.
func (r *gridRun) all(ctx context.Context) ([]*Result, error) {
	cells := r.Cells()
	results := make([]*Result, len(cells))
	for left := len(cells); left > 0; {
		before := left
		for i, c := range cells {
			if results[i] != nil {
				continue
			}
			var err error
			if results[i], err = r.take(ctx, c, i+1, len(cells)); err != nil {
				return results, fmt.Errorf("experiment: %v: %w", c, err)
			}
			if results[i] != nil {
				left--
			}
		}
		if left == before {
			if err := r.wait(ctx, left, len(cells)); err != nil {
				return results, err
			}
		}
	}
	return results, nil
}

// wait is for results that other processes compute.
func (r *gridRun) wait(ctx context.Context, left, of int) error {
	if !r.waited {
		r.warn(fmt.Sprintf("other processes are computing the last %d of %d results", left, of))
	}
	r.waited = true
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(time.Second):
		return nil
	}
}

// take returns the result of a cell, the number-th of all: from the table, or computed; nil if another process is
// computing it, or what it begins with.
func (r *gridRun) take(ctx context.Context, c Cell, number, of int) (taken *Result, err error) {
	if r.Join {
		release, failed := r.folder.claim(fmt.Sprintf("%s-%v-s%d", c.Subject.Name, c.Width, c.Seed))
		if failed != nil || release == nil {
			return nil, failed
		}
		defer func() { err = errors.Join(err, release()) }()
		if r.table, err = r.folder.Results(); err != nil {
			return nil, err
		}
	}
	result, found, err := r.find(ctx, c)
	if err == nil && !found {
		if err = r.start(ctx, c); err == nil {
			if r.Began != nil {
				r.Began(c, number, of)
			}
			result, err = r.compute(ctx, c, result)
		}
	}
	if err != nil {
		return nil, err
	}
	return &result, nil
}

// gridRun is a Grid on its way.
type gridRun struct {
	Grid
	folder  Folder
	table   []Result
	subject *Subject // whose images are drawn
	drawn   map[uint64]datasets.Calibration
	hash    string // of the subject's weights
	said    string // of images that were left out

	started  bool // the folder has this grid's Record
	waited   bool // for other processes
	forecast *forecast
}

// step reports a step of a cell. The zero Config is that of full precision.
func (r *gridRun) step(c Cell, config pdq.Config, e pdq.Event) {
	r.forecast.event(c, config, e)
	if r.Step != nil {
		r.Step(Progress{c, e, r.forecast.left()})
	}
}

// calibration draws a cell's images, or returns them if they were drawn before.
func (r *gridRun) calibration(ctx context.Context, c Cell) (datasets.Calibration, error) {
	if r.subject != c.Subject {
		clear(r.drawn)
		var err error
		if r.hash, err = c.Subject.Weights.Hash(); err != nil {
			return datasets.Calibration{}, err
		}
		r.subject = c.Subject
	}
	cal, ok := r.drawn[c.Seed]
	if ok {
		return cal, nil
	}
	cal, err := c.Subject.Pool.Calibrate(ctx, r.Images, c.Seed)
	if err != nil {
		return cal, err
	}
	if text := SkippedText(cal.Skipped, "calibration images", r.Images); text != "" {
		r.warn(fmt.Sprintf("%s; seed %d", text, c.Seed))
	}
	r.drawn[c.Seed] = cal
	return cal, nil
}

// labelled returns what is known of a cell's result before its images are drawn, and the settings of its student, which
// are zero for full precision. There are that many calibration images.
func (r *gridRun) labelled(c Cell, images int) (result Result, config pdq.Config, err error) {
	result = Result{Network: c.Subject.Name, Data: c.Subject.Data, Width: c.Width, Method: c.Method.Name,
		Seed: c.Seed, Images: images,
		Test: Accuracy{N: c.Subject.Test.Len()}, Tested: c.Subject.Tested, Calibration: Accuracy{N: images},
		Backend: backend.WithoutPath(r.Note), Threads: runtime.GOMAXPROCS(0),
		Versions: strings.Join(versions(), ", "), Date: time.Now().UTC().Format(time.DateOnly)}
	if c.Method.Change == nil {
		return result, config, nil
	}
	config, preset, err := r.Config(c)
	if err != nil {
		return result, config, err
	}
	settings, err := settingsOf(preset, withoutIdle(config, preset))
	result.Preset, result.Settings = r.Preset, settings.String()
	return result, config, err
}

// find returns the result of a cell from the table; if it isn't there, what is known before it is computed.
func (r *gridRun) find(ctx context.Context, c Cell) (result Result, found bool, err error) {
	cal, err := r.calibration(ctx, c)
	if err != nil {
		return result, false, err
	}
	result, config, err := r.labelled(c, cal.Len())
	if err != nil {
		return result, false, err
	}
	result.Hash = r.hashOf(c.Subject, cal, config)
	for _, x := range r.table {
		if x.Hash == result.Hash {
			if err := sameMachine(r.folder, x, result); err != nil {
				return result, false, err
			}
			x.Method, x.Preset, x.Settings = result.Method, result.Preset, result.Settings // another grid's may be others
			r.forecast.skipCell(c, config)
			return x, true, nil
		}
		if x.label() == result.label() {
			return result, false, fmt.Errorf("%s has a result of this name and these settings "+
				"that another network's weights, images or version gave; choose another folder", r.folder.Path(ResultsFile))
		}
	}
	return result, false, nil
}

// skipLabelled takes the cells out of the forecast that the table seems to have results of, wherever they are in the
// order. Only find knows for sure, once the images are drawn.
func (r *gridRun) skipLabelled() {
	for _, c := range r.Cells() {
		result, config, err := r.labelled(c, r.Images)
		if err == nil && slices.ContainsFunc(r.table, func(x Result) bool { return x.label() == result.label() }) {
			r.forecast.skipCell(c, config)
		}
	}
}

// label is what a reader of the table takes a row for.
func (r Result) label() string {
	return fmt.Sprint(r.Network, r.Data, r.Width, r.Method, r.Preset, r.Settings, r.Seed, r.Images, r.Test.N, r.Tested)
}

// sameMachine is an error if a result in the table was computed by another backend or version than those to come.
func sameMachine(f Folder, was, is Result) error {
	for _, x := range []struct{ what, was, is string }{
		{"backend", backend.WithoutPath(was.Backend), is.Backend}, {"versions", was.Versions, is.Versions},
	} {
		if x.was != x.is {
			return fmt.Errorf("%s has this result of another %s: %s, now %s; choose another folder",
				f.Path(ResultsFile), x.what, x.was, x.is)
		}
	}
	return nil
}

// withoutIdle returns c with the preset's values in the fields of steps that it doesn't take: they decide nothing.
func withoutIdle(c, preset pdq.Config) pdq.Config {
	if c.FineTune.Steps == 0 {
		c.FineTune = preset.FineTune
		c.FineTune.Steps = 0
	}
	if c.Correction.Steps == 0 {
		c.Correction = preset.Correction
		c.Correction.Steps = 0
	}
	return c
}

// hashOf identifies a result: the same hash, the same numbers on the same backend.
func (r *gridRun) hashOf(s *Subject, cal datasets.Calibration, c pdq.Config) string {
	c.Machine = pdq.MachineConfig{}
	c = withoutIdle(c, pdq.Config{})
	test, hash := s.Test.Describe()
	of := append([]any{s.Network.Name, r.hash, cal.Hash(), cal.Mean, cal.Std, test, hash, c}, s.variant()...)
	data, err := json.Marshal(of)
	if err != nil { // a Config that Validate passed has a JSON form
		return err.Error()
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:8])
}

// variant is what tells s from subjects of the same names, weights and files: an ONNX file's graph and units, and what
// options make of image files.
func (s *Subject) variant() (of []any) {
	if s.File.SHA256 != "" {
		of = append(of, s.File.SHA256, s.File.Options)
	}
	o := s.Source.Images
	resized := o.Height != 0 || o.Width != 0 || o.Resize != 0 || o.Interpolation != nil
	if f, ok := s.Test.(datasets.Files); ok && (resized || of != nil) {
		of = append(of, f.Config.String())
	}
	return of
}
