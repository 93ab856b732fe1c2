// Package fuzzed helps tests of parsers.
package fuzzed

import (
	"runtime/metrics"
	"testing"
)

// Bounded calls parse, and fails the test if that allocates more than a GiB. No input here needs that; the usual cause
// are sizes in a file that parse trusts.
func Bounded(t testing.TB, parse func()) {
	t.Helper()
	Within(t, 1<<30, parse)
}

// Within calls parse, and fails the test if that allocates more than limit bytes. It calls parse several times, of
// which all must exceed limit, because the rest of the process sometimes allocates too.
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

// allocated returns the number of bytes that this process has allocated since its start.
func allocated() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}
