package pdq

import (
	"bytes"
	"context"
	"math"
	"math/rand/v2"
	"reflect"
	"runtime/metrics"
	"runtime/pprof"
	"strings"
	"testing"
	"time"

	"github.com/pdquant/pdquant/datasets"
)

// FuzzAPI: no order of calls, no setting, no nil and no use after Free or Close makes a panic, takes memory without
// bound, or goes on after its context has ended.
func FuzzAPI(f *testing.F) {
	for _, seed := range []string{
		"",                         // all calls in order
		"\x01\x00\x03",             // another setting
		"\x02\x05\x01\x09\x02",     // two others
		"\x00\x05\x02\x05\x06\x0b", // Observe before WeightScales
		"\x00\x00\x02\x0d\x02\x06", // Free, then use
		"\x00\x00\x02\x06\x0c\x0b\x07\x08\x09\x0a",
	} {
		f.Add([]byte(seed))
	}
	rng := rand.New(rand.NewPCG(1, 0))
	for range 25 {
		program := make([]byte, 2+rng.IntN(30))
		for i := range program {
			program[i] = byte(rng.Uint32())
		}
		f.Add(program)
	}
	b := anyBackend(f)
	f.Fuzz(func(t *testing.T, program []byte) {
		in := &fuzzBytes{program}
		c := tinyConfig(t)
		c.Rounding.Steps, c.Correction.Steps, c.Scales.Candidates = 2, 1, 4
		for range in.below(4) {
			fields := settable(reflect.ValueOf(&c).Elem())
			spoil(fields[in.below(len(fields))], in)
		}
		problem := smallProblem(t)
		if in.below(16) == 1 {
			problem = Problem{}
		}
		var q *Quantizer
		guarded(t, "New", func(context.Context) (err error) {
			q, err = New(b, problem, c)
			return err
		})
		if q == nil {
			return
		}
		a := &apiCalls{q: q, in: in}
		defer a.free()
		calls := a.calls()
		order := []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10}
		if n := min(len(in.left), 12); n > 0 {
			order = order[:0]
			for range n {
				order = append(order, in.below(len(calls)))
			}
		}
		for _, i := range order {
			guarded(t, calls[i].name, calls[i].call)
		}
	})
}

// fuzzBytes are decisions that a fuzzer takes.
type fuzzBytes struct{ left []byte }

// below returns a number in 0..n-1; 0 once all bytes are used up.
func (f *fuzzBytes) below(n int) int {
	if len(f.left) == 0 {
		return 0
	}
	x := int(f.left[0])
	f.left = f.left[1:]
	return x % n
}

// settable returns the fields of v, and of the structs in it, that have a number, a truth value or a text.
func settable(v reflect.Value) []reflect.Value {
	var fields []reflect.Value
	for _, field := range v.Fields() {
		if field.Kind() == reflect.Struct {
			fields = append(fields, settable(field)...)
		} else {
			fields = append(fields, field)
		}
	}
	return fields
}

// spoil sets a field to a value that is often wrong.
func spoil(field reflect.Value, in *fuzzBytes) {
	switch {
	case field.CanInt():
		xs := []int64{0, 1, -1, 2, 3, 9, 1000, 10_001, 1 << 16, 1 << 24, 1 << 31, math.MaxInt64, math.MinInt64}
		field.SetInt(xs[in.below(len(xs))])
	case field.CanUint():
		field.SetUint([]uint64{0, 1, math.MaxUint64}[in.below(3)])
	case field.CanFloat():
		xs := []float64{0, 1, -1, 0.5, 1e-300, 1e300, math.NaN(), math.Inf(1), math.Inf(-1), math.MaxFloat32}
		field.SetFloat(xs[in.below(len(xs))])
	case field.Kind() == reflect.Bool:
		field.SetBool(in.below(2) == 1)
	case field.Kind() == reflect.String:
		xs := []string{"", "x", "conv1.weight=4", "conv1.weight=99", "=", "fc.weight=0 relu.output=-1"}
		field.SetString(xs[in.below(len(xs))])
	}
}

// guarded makes a call, which may return an error. The test fails if it panics, if it goes on long after its context
// has ended, or if the heap grows beyond a GiB meanwhile.
func guarded(t *testing.T, name string, call func(ctx context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	ended := make(chan any, 1)
	go func() {
		defer func() { ended <- recover() }()
		_ = call(ctx) // an error is right as well
	}()
	hung, look := time.After(20*time.Second), time.NewTicker(5*time.Millisecond)
	defer look.Stop()
	for {
		select {
		case p := <-ended:
			if p != nil {
				t.Fatalf("%s: panic: %v", name, p)
			}
			return
		case <-look.C:
			if heap := heapBytes(); heap > 1<<30 {
				t.Fatalf("%s: the heap has %d bytes", name, heap)
			}
		case <-hung:
			var stacks strings.Builder
			_ = pprof.Lookup("goroutine").WriteTo(&stacks, 1) // to memory
			t.Fatalf("%s: goes on 20 s after it began, with a context of 0.3 s\n%s", name, &stacks)
		}
	}
}

// heapBytes returns the size of the objects in the heap.
func heapBytes() uint64 {
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

// apiCalls are calls of a Quantizer's steps with whatever the calls before returned.
type apiCalls struct {
	q  *Quantizer
	in *fuzzBytes
	t  *Teacher
	s  Student
	d  *UnitData
	r  *Rounder
	o  OptimiserState
}

func (a *apiCalls) free() {
	a.t.Free()
	a.d.Free()
	a.close()
}

func (a *apiCalls) close() {
	if a.r != nil {
		a.r.Close()
	}
}

// apiCall is an exported function.
type apiCall struct {
	name string
	call func(ctx context.Context) error
}

// calls lists exported functions; the first ones in an order that is right.
func (a *apiCalls) calls() []apiCall {
	calls := []apiCall{
		{"Teacher", func(ctx context.Context) (err error) { a.t, err = a.q.Teacher(ctx); return }},
		{"WeightScales", func(ctx context.Context) (err error) { a.s, err = a.q.WeightScales(ctx, a.s); return }},
		{"Observe", func(ctx context.Context) (err error) {
			u := []int{0, 1, 2, 3, 4, -1, math.MaxInt, math.MinInt}[a.in.below(8)]
			a.d, err = a.q.Observe(ctx, a.s, a.t, u, a.d)
			return
		}},
		{"Correct", func(ctx context.Context) (err error) { a.d, err = a.q.Correct(ctx, a.d); return }},
		{"ActivationScales", func(ctx context.Context) (err error) {
			a.s, err = a.q.ActivationScales(ctx, a.s, a.d)
			return
		}},
		{"NewRounder", func(context.Context) error {
			r, err := a.q.NewRounder(a.s, a.d)
			if err == nil {
				a.close()
				a.r = r
			}
			return err
		}},
	}
	return append(append(calls, a.rounderCalls()...), a.otherCalls()...)
}

// rounderCalls lists functions of Rounder, which do nothing as long as there is none.
func (a *apiCalls) rounderCalls() []apiCall {
	calls := []apiCall{
		{"Steps", func(ctx context.Context) error {
			_, err := a.r.Steps(ctx, []int{1, 0, 2, -1, math.MaxInt}[a.in.below(5)])
			return err
		}},
		{"Rounder.State", func(context.Context) (err error) { a.o, err = a.r.State(); return }},
		{"Rounder.Restore", func(context.Context) error { return a.r.Restore(a.o) }},
		{"Rounder.Student", func(context.Context) (err error) { a.s, err = a.r.Student(); return }},
		{"Close", func(context.Context) error { a.r.Close(); return nil }},
		{"Decided", func(context.Context) error { _, err := a.r.Decided(); return err }},
		{"PDWeight", func(context.Context) error { _ = a.r.PDWeight(); return nil }},
	}
	for i, c := range calls {
		calls[i].call = func(ctx context.Context) error {
			if a.r == nil {
				return nil
			}
			return c.call(ctx)
		}
	}
	return calls
}

// otherCalls lists functions for whole networks, files and what is given back.
func (a *apiCalls) otherCalls() []apiCall {
	return []apiCall{
		{"Teacher.Free", func(context.Context) error { a.t.Free(); return nil }},
		{"UnitData.Free", func(context.Context) error { a.d.Free(); return nil }},
		{"FreeBut", func(context.Context) error { a.d.FreeBut(nil, a.d); return nil }},
		{"nil Teacher", func(context.Context) error { a.t = nil; return nil }},
		{"nil UnitData", func(context.Context) error { a.d = nil; return nil }},
		{"Score", func(context.Context) error { _, err := a.t.Score(a.q.Problem().Calibration.Labels); return err }},
		{"Quantize", func(ctx context.Context) error { _, err := a.q.Quantize(ctx); return err }},
		{"QuantizeFrom", func(ctx context.Context) error {
			_, err := a.q.QuantizeFrom(ctx, State{Unit: a.in.below(9) - 1, Student: a.s, Optimiser: a.o}, Keeper{})
			return err
		}},
		{"FineTune", func(ctx context.Context) error { _, err := a.q.FineTune(ctx, a.s); return err }},
		{"Round", func(ctx context.Context) error { _, err := a.q.Round(ctx, a.s, a.d); return err }},
		{"Evaluate", func(ctx context.Context) error {
			_, err := a.q.Evaluate(ctx, a.s, []datasets.Images{a.q.Problem().Calibration, {}}[a.in.below(2)])
			return err
		}},
		{"Compare", func(ctx context.Context) error {
			_, _, err := a.q.Compare(ctx, a.s, a.q.Problem().Calibration)
			return err
		}},
		{"ComparePrefixes", func(ctx context.Context) error {
			_, _, err := a.q.ComparePrefixes(ctx, a.s, a.q.Problem().Calibration)
			return err
		}},
		{"StudentWeights", func(context.Context) error { _, err := a.q.StudentWeights(a.s); return err }},
		{"MemoryPlan", func(context.Context) error { _ = a.q.MemoryPlan(); return nil }},
		{"Student's file", func(context.Context) error {
			var file bytes.Buffer
			if err := a.q.WriteStudent(&file, a.s); err != nil {
				return err
			}
			_, err := a.q.ReadStudent(&file)
			return err
		}},
		{"State's file", func(context.Context) error {
			var file bytes.Buffer
			if err := a.q.WriteState(&file, State{Student: a.s, Optimiser: a.o}); err != nil {
				return err
			}
			_, err := a.q.ReadState(&file)
			return err
		}},
		{"Quantize of nil", func(ctx context.Context) error { return Quantize(ctx, nil, &Run{}) }},
		{"Units", func(ctx context.Context) error {
			for _, err := range a.q.Units(ctx, a.t, &a.s) {
				if err != nil {
					return err
				}
			}
			return nil
		}},
	}
}
