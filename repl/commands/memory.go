package commands

import (
	"fmt"

	"github.com/pdquant/pdquant/internal/memory"
	"github.com/pdquant/pdquant/pdq"
	"github.com/pdquant/pdquant/repl/shell"
)

// memoryOption is the limit for a unit's caches, of every command that quantises.
func memoryOption() shell.Option {
	return option("memory", "", "MiB that a unit's caches may take, more go to a file; 0: no limit; empty: half of the "+
		"machine's")
}

// cacheLimit returns option memory in bytes.
func cacheLimit(v shell.Values) (int64, error) {
	if v["memory"] == "" {
		return memory.Total() / 2, nil
	}
	mib, err := v.Number("memory", 0, 1<<30)
	return int64(mib) << 20, err
}

// planText says what the caches of the largest unit will take, and what the whole process, where that is known.
func planText(q *pdq.Quantizer, limit int64) string {
	plan := q.MemoryPlan()
	largest, inFile := plan[0], 0
	for _, m := range plan {
		if m.Bytes > largest.Bytes {
			largest = m
		}
		if m.InFile {
			inFile++
		}
	}
	text := fmt.Sprintf("caches take up to %d MiB (%s)", largest.Bytes>>20, largest.Unit)
	switch {
	case inFile > 0:
		text += fmt.Sprintf("; those of %d units of %d go to a file, by the limit of %d MiB", inFile, len(plan), limit>>20)
	case limit > 0:
		text += fmt.Sprintf(", in memory, by the limit of %d MiB", limit>>20)
	}
	if q.Backend().Name() == "onnx" {
		text += fmt.Sprintf("; the process takes about %d MiB in all, by an estimate", q.PeakMemory()>>20)
	}
	return text
}
