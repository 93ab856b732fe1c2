//go:build cgo && (linux || darwin)

package main

import (
	"bytes"
	"cmp"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gomlx/compute"
	onnxbackend "github.com/gomlx/compute-onnx"
	"github.com/gomlx/compute/shapes"

	"github.com/pdquant/pdquant/internal/tsv"
	"github.com/pdquant/pdquant/pdq/backend"
)

//go:embed profile.py
var profileScript string

// recorder is ONNX Runtime that keeps the graphs it compiles.
type recorder struct {
	*onnxbackend.Backend
	dir string // gets the graphs' files

	mu     sync.Mutex
	graphs []*recorded
}

// recordedBuffer is a buffer of a recorder. GoMLX compares the backends of a graph and of its inputs.
type recordedBuffer struct {
	compute.Buffer
	r *recorder
}

// Backend returns the recorder.
func (b recordedBuffer) Backend() compute.Backend { return b.r }

// BufferFromFlatData copies flat into a buffer.
func (r *recorder) BufferFromFlatData(device compute.DeviceNum, flat any, s shapes.Shape) (compute.Buffer, error) {
	b, err := r.Backend.BufferFromFlatData(device, flat, s)
	return recordedBuffer{b, r}, err
}

// NewSharedBuffer returns a buffer and its memory.
func (r *recorder) NewSharedBuffer(device compute.DeviceNum, s shapes.Shape) (compute.Buffer, any, error) {
	b, flat, err := r.Backend.NewSharedBuffer(device, s)
	return recordedBuffer{b, r}, flat, err
}

// recorded is a compiled graph that counts its calls.
type recorded struct {
	compute.Executable
	r     *recorder
	file  string
	calls atomic.Int64
}

// Execute runs the graph.
func (g *recorded) Execute(in []compute.Buffer, donate []bool, device compute.DeviceNum) ([]compute.Buffer, error) {
	g.calls.Add(1)
	own := make([]compute.Buffer, len(in))
	for i, b := range in {
		own[i] = b.(recordedBuffer).Buffer // GoMLX has compared their backends
	}
	out, err := g.Executable.Execute(own, donate, device)
	for i, b := range out {
		out[i] = recordedBuffer{b, g.r}
	}
	return out, err
}

// images returns the length of the first axis of the largest input.
func (g *recorded) images() int {
	_, ins := g.Inputs()
	return slices.MaxFunc(ins, func(a, b shapes.Shape) int { return cmp.Compare(a.Size(), b.Size()) }).Dim(0)
}

type recordedBuilder struct {
	compute.Builder
	r *recorder
}

// Builder returns a builder whose result is kept.
func (r *recorder) Builder(name string) compute.Builder {
	return recordedBuilder{r.Backend.Builder(name), r}
}

// Compile compiles the graph and keeps it.
func (b recordedBuilder) Compile() (compute.Executable, error) {
	e, err := b.Builder.Compile()
	if err != nil {
		return nil, err
	}
	b.r.mu.Lock()
	defer b.r.mu.Unlock()
	g := &recorded{Executable: e, r: b.r, file: filepath.Join(b.r.dir, fmt.Sprint(len(b.r.graphs), ".onnx"))}
	b.r.graphs = append(b.r.graphs, g)
	var file bytes.Buffer
	if err := onnxbackend.SaveModel(b.r.Backend, e, &file, nil, nil); err != nil {
		return nil, err
	}
	return g, os.WriteFile(g.file, file.Bytes(), 0o644)
}

// called returns the graphs that f calls, by how often.
func (r *recorder) called(f func() error) (map[*recorded]float64, error) {
	for _, g := range r.graphs {
		g.calls.Store(0)
	}
	err := f()
	calls := map[*recorded]float64{}
	for _, g := range r.graphs {
		if n := g.calls.Load(); n > 0 {
			calls[g] = float64(n)
		}
	}
	return calls, err
}

// profileCases appends the milliseconds of each kind of operation in a step, on one thread, to the table s.profiles.
func (s settings) profileCases(ctx context.Context) error {
	if err := tsv.Fits(s.profiles, profileNames()); err != nil {
		return err
	}
	for _, c := range cases() {
		if !s.wants(c.name) {
			continue
		}
		if err := s.profile(ctx, c); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
	}
	return nil
}

// profile appends the operations of a step of c. ONNX Runtime's profiler, which compute-onnx doesn't reach, runs the
// graphs in s.python.
func (s settings) profile(ctx context.Context, c benchCase) error {
	b, note, err := backend.Open("onnx")
	if err != nil {
		return err
	}
	onnx, ok := b.(*onnxbackend.Backend)
	if !ok {
		return fmt.Errorf("%s isn't ONNX Runtime, the only backend with a profile", note)
	}
	onnx.SetKeepModelProto(true)
	r := &recorder{Backend: onnx}
	if r.dir, err = os.MkdirTemp("", "profile"); err != nil {
		return err
	}
	defer os.RemoveAll(r.dir)
	m, err := newMeasurement(ctx, r, c, backend.Workers(b), backend.PartLimit(b))
	if err != nil {
		return err
	}
	defer m.close()
	if err := m.step(ctx); err != nil { // compiles
		return err
	}
	rounding, err := r.called(func() error { return m.step(ctx) })
	if err != nil {
		return err
	}
	correction, err := r.called(func() error { _, err := m.correct(ctx); return err })
	if err != nil {
		return err
	}
	steps := 0.0
	for _, n := range correction {
		steps = max(steps, n)
	}
	maps.DeleteFunc(correction, func(_ *recorded, n float64) bool { return n < steps }) // what comes before and after
	for g := range correction {
		correction[g] = batch / float64(g.images())
	}
	return errors.Join(s.writeProfile(ctx, c.name, "rounding", note, rounding),
		s.writeProfile(ctx, c.name, "correction of 32 images", note, correction))
}

// writeProfile appends the operations of a step, in which graphs are called so often, to the table.
func (s settings) writeProfile(ctx context.Context, name, step, note string, calls map[*recorded]float64) error {
	var files []string
	times := map[string]float64{} // calls by file
	for g, n := range calls {
		files, times[g.file] = append(files, g.file), n
	}
	cmd := exec.CommandContext(ctx, s.python, "-c", profileScript)
	cmd.Stdin, cmd.Stderr = strings.NewReader(strings.Join(files, "\n")), os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("%s: %w; it needs the packages onnx and onnxruntime", s.python, err)
	}
	sums, all := map[string]float64{}, 0.0 // by kind
	for line := range strings.Lines(string(out)) {
		cells := strings.Split(strings.TrimSpace(line), "\t")
		if len(cells) != 3 {
			return fmt.Errorf("the profile has the line %q", line)
		}
		ms, err := strconv.ParseFloat(cells[2], 64)
		if err != nil {
			return fmt.Errorf("the profile has the line %q: %w", line, err)
		}
		ms *= times[cells[0]]
		sums[cells[1]] += ms
		all += ms
	}
	rest := 0.0
	falling := func(a, b string) int { return cmp.Compare(sums[b], sums[a]) }
	for _, kind := range slices.SortedFunc(maps.Keys(sums), falling) {
		if ms := sums[kind]; ms < all/100 {
			rest += ms
		} else if err := s.writeOperations(name, step, note, kind, ms, all); err != nil {
			return err
		}
	}
	return s.writeOperations(name, step, note, "others", rest, all)
}

// profileNames returns the table's columns.
func profileNames() []string {
	return []string{"date", "machine", "backend", "case", "step", "operation", "ms", "percent"}
}

func (s settings) writeOperations(name, step, note, kind string, ms, all float64) error {
	cells := []string{time.Now().UTC().Format(time.DateOnly), machine(), backend.WithoutPath(note), name, step, kind,
		fmt.Sprintf("%.2f", ms), fmt.Sprintf("%.1f", 100*ms/all)}
	fmt.Println(strings.Join(cells[3:], "  "))
	return tsv.Append(s.profiles, profileNames(), cells)
}
