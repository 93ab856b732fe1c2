package fuzzed

import "testing"

// failed counts the errors of a test.
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

// TestWithin: only a parser that allocates too much in each call fails the test.
func TestWithin(t *testing.T) {
	for often, want := range map[int]int{1: 0, 4: 0, 5: 1} {
		var kept []byte
		calls, f := 0, &failed{TB: t}
		Within(f, 1<<20, func() {
			if calls++; calls <= often {
				kept = make([]byte, 1<<21)
			}
		})
		if f.errors != want {
			t.Errorf("%d bytes in %d calls: %d errors, want %d", len(kept), often, f.errors, want)
		}
	}
}
