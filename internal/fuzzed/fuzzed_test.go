package fuzzed

import "testing"

// failed notes what a test would report.
type failed struct {
	testing.TB
	errors int
}

func (f *failed) Helper()               {}
func (f *failed) Errorf(string, ...any) { f.errors++ }

func TestBounded(t *testing.T) {
	var kept []byte
	for size, want := range map[int]int{1 << 20: 0, 1<<30 + 1: 1} {
		f := &failed{TB: t}
		Bounded(f, func() { kept = make([]byte, size) })
		if f.errors != want {
			t.Errorf("%d bytes: %d errors, want %d", len(kept), f.errors, want)
		}
	}
}
