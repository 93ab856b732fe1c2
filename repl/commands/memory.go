package commands

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/pdquant/pdquant/internal/memory"
	"github.com/pdquant/pdquant/pdq"
	"github.com/pdquant/pdquant/repl/shell"
)

// memoryOption is the limit for the process's memory, of every command that quantises.
func memoryOption() shell.Option {
	return option("memory", "", "memory that the whole process may take, by an estimate, as 4GiB or 512MiB (without a "+
		"unit: MiB): steps are cut into parts, caches that don't fit go to a file; 0: no limit; empty: half of the machine's")
}

// memoryLimit returns option memory in bytes.
func memoryLimit(v shell.Values) (int64, error) {
	if v["memory"] == "" {
		return memory.Total() / 2, nil
	}
	number, unit := v["memory"], 1<<20
	for _, u := range []struct {
		suffix string
		bytes  int
	}{{"kib", 1 << 10}, {"mib", 1 << 20}, {"gib", 1 << 30}, {"tib", 1 << 40}} {
		if n := len(number) - len(u.suffix); n > 0 && strings.EqualFold(number[n:], u.suffix) {
			number, unit = number[:n], u.bytes
		}
	}
	n, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	if err != nil || !(n >= 0) || n*float64(unit) >= math.MaxInt64 {
		return 0, fmt.Errorf("repl: memory=%s; give a number of MiB, or a number with KiB, MiB, GiB or TiB: 4GiB",
			v["memory"])
	}
	return int64(n * float64(unit)), nil
}

// heapLimit returns what Go's heap may take of a process's limit, as debug.SetMemoryLimit takes it. Without it, the
// heap grows to twice its live size before garbage is collected: beside caches of gigabytes, by gigabytes.
func heapLimit(limit int64) int64 {
	const least = 1 << 30 // below it, garbage matters little, and collecting it all the time would cost more
	if limit == 0 {
		return math.MaxInt64
	}
	return max(limit/4*3, least) // the rest is the backend's
}

// planText says what the caches of the largest unit will take, and what the whole process, where that is known.
func planText(q *pdq.Quantizer) string {
	plan, limit := q.MemoryPlan(), q.Config().Machine.MemoryLimit
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
	if q.Backend().Name() == "onnxruntime" {
		text += fmt.Sprintf("; the process takes about %d MiB in all, by an estimate", q.PeakMemory()>>20)
	}
	return text
}

// overText says that the steps of q will exceed the limit; "": they won't.
func overText(q *pdq.Quantizer) string {
	limit, steps := q.Config().Machine.MemoryLimit, q.StepMemory()
	if limit == 0 || steps <= limit {
		return ""
	}
	return fmt.Sprintf("the steps alone take about %d MiB, by an estimate, which is above memory=%dMiB: "+
		"a graph takes at least one image for each worker", steps>>20, limit>>20)
}
