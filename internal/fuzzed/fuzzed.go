// Package fuzzed helps tests of parsers.
package fuzzed

import (
	"runtime/metrics"
	"testing"
)

// Bounded calls parse, and fails the test if that allocated more than a GiB, which no input here needs; sizes that a
// file claims are the usual cause.
func Bounded(t testing.TB, parse func()) {
	t.Helper()
	Within(t, 1<<30, parse)
}

// Within calls parse, and fails the test if that allocated more than limit bytes. What else runs in the process
// allocates too, now and then, so that several calls in a row must.
func Within(t testing.TB, limit uint64, parse func()) {
	t.Helper()
	var used uint64
	for range 5 {
		before := allocated()
		parse()
		if used = allocated() - before; used <= limit {
			return
		}
	}
	t.Errorf("%d bytes were allocated, more than %d", used, limit)
}

// allocated is how many bytes this process has allocated since it began.
func allocated() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}
