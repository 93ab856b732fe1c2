// Package fuzzed helps fuzz tests of parsers.
package fuzzed

import (
	"runtime/metrics"
	"testing"
)

// most is what a parser may allocate for one input, which is never that long.
const most = 1 << 30

// Bounded calls parse, and fails the test if that allocated more than a GiB, of which sizes that a file claims
// are the usual cause.
func Bounded(t testing.TB, parse func()) {
	t.Helper()
	before := allocated()
	parse()
	if used := allocated() - before; used > most {
		t.Errorf("%d bytes were allocated", used)
	}
}

// allocated is how many bytes this process has allocated since it began.
func allocated() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}
