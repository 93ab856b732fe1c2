package pdq

import (
	"math"
	"runtime"
	"testing"

	"github.com/gomlx/compute"

	"github.com/pdquant/pdquant/internal/memory"
	"github.com/pdquant/pdquant/internal/soaked"
)

// inUse returns the memory that this process uses, in MiB.
func inUse(t *testing.T) float64 {
	bytes := memory.InUse()
	if bytes == 0 {
		t.Skip("no memory statistics on " + runtime.GOOS)
	}
	return float64(bytes) / (1 << 20)
}

// TestLeaks repeats the work of long runs. It bounds the memory that it leaves, with that of the backend, and the
// goroutines.
func TestLeaks(t *testing.T) {
	if testing.Short() {
		t.Skip("slow")
	}
	more := 1
	if soaked.Long() {
		more = 16
	}
	oneBackend(t, func(t *testing.T, b compute.Backend) {
		c := tinyConfig(t)
		c.Rounding.Steps, c.Machine.Workers = 1<<20, 2
		q := quantizerOf(t, b, tinyProblem(t, 32), c)
		s, d := prepare(t, q, 1)
		r, err := q.NewRounder(s, d)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		bounded(t, "steps", more*510, 0.3, func() error { _, err := r.Steps(t.Context(), 1); return err })
		bounded(t, "units", more*60, 2, func() error { return wholeUnit(t, q, s) })
	})
}

// wholeUnit observes, corrects and rounds unit 1, and frees everything.
func wholeUnit(t *testing.T, q *Quantizer, s Student) error {
	teacher, err := q.Teacher(t.Context())
	if err != nil {
		return err
	}
	defer teacher.Free()
	d, err := q.Observe(t.Context(), s, teacher, 1, nil)
	if err != nil {
		return err
	}
	if d, err = q.Correct(t.Context(), d); err != nil {
		return err
	}
	defer d.Free()
	r, err := q.NewRounder(s, d)
	if err != nil {
		return err
	}
	defer r.Close()
	_, err = r.Steps(t.Context(), 2)
	return err
}

// bounded repeats f, whose tensors take size MiB in each call, and compares memory and goroutines in the second third
// of the calls with those in the last third. It finds a leak of every second call.
func bounded(t *testing.T, what string, times int, size float64, f func() error) {
	const looks = 10 // in each third: the memory that allocators hold back varies by some 10 MiB
	limit := float64(times) / 3 * size / 2
	third := func() (least float64, goroutines int) {
		least = math.Inf(1)
		for range looks {
			for range times / 3 / looks {
				if err := f(); err != nil {
					t.Fatal(err)
				}
			}
			least = min(least, inUse(t))
		}
		return least, runtime.NumGoroutine()
	}
	third() // for memory that is allocated only once
	before, goroutines := third()
	after, more := third()
	t.Logf("%d %s: %.1f MiB in the second third of them, %.1f in the last; %d and %d goroutines", times, what, before,
		after, goroutines, more)
	if after > before+limit {
		t.Errorf("%d %s left %.1f MiB, more than %.0f", times, what, after-before, limit)
	}
	if more > goroutines+4 {
		t.Errorf("%d %s left %d goroutines", times, what, more-goroutines)
	}
}
