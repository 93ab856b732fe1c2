package pdq

import (
	"fmt"
	"os"

	"github.com/pdquant/pdquant/internal/memory"
	"github.com/pdquant/pdquant/pdq/internal/exec"
)

// UnitMemory is the memory that the caches of a unit take.
type UnitMemory struct {
	Unit   string
	Bytes  int64 // of its own caches and of those it is observed from: all that exist while it is quantised
	InFile bool  // whether its own go to a file, because Bytes is above MachineConfig.CacheLimit
}

// MemoryPlan returns the memory that each unit's caches will take, before anything is computed. Graphs take memory,
// too.
func (q *Quantizer) MemoryPlan() []UnitMemory {
	var plan []UnitMemory
	for u := range q.folded.Units {
		m := UnitMemory{Unit: q.unitName(u), Bytes: q.cacheBytes(u)}
		if u > 0 {
			m.Bytes += q.cacheBytes(u - 1)
		}
		m.InFile = q.c.Machine.CacheLimit > 0 && m.Bytes > q.c.Machine.CacheLimit
		plan = append(plan, m)
	}
	return plan
}

// checkRoom returns an error if the caches of a unit must go to a file but don't fit on the disk.
func (q *Quantizer) checkRoom() error {
	dir := q.c.Machine.CacheDir
	if dir == "" {
		dir = os.TempDir()
	}
	return roomFor(q.MemoryPlan(), q.c.Machine.CacheLimit, memory.FreeDisk(dir), dir)
}

// roomFor is checkRoom for a folder dir with free bytes left; negative: unknown.
func roomFor(plan []UnitMemory, limit, free int64, dir string) error {
	for _, m := range plan {
		if m.InFile && free >= 0 && m.Bytes > free {
			return fmt.Errorf("pdq: the caches of %s take %d MiB: the limit in memory is %d MiB, and %s has room for %d MiB; "+
				"set Machine.CacheDir to another folder, raise Machine.CacheLimit, or take fewer calibration images",
				m.Unit, m.Bytes>>20, limit>>20, dir, free>>20)
		}
	}
	return nil
}

// cacheBytes returns the size of the caches of unit u itself: the student's input, and the teacher's input and output,
// original and corrected.
func (q *Quantizer) cacheBytes(u int) int64 {
	n, unit := q.p.Network, q.p.Network.Units[u]
	in, out := exec.Product(n.InputShape(unit.First)), exec.Product(n.Shapes()[unit.Last])
	numbers := 2*in + out
	if q.c.Correction.Steps > 0 && hasNorm(n, unit) {
		numbers += in + out
	}
	return 4 * int64(numbers) * int64(q.images.Len())
}

// newCache returns a function that makes caches for unit u, in memory or in a file, as MemoryPlan says.
func (q *Quantizer) newCache(u int) func(dims []int) (*Cache, error) {
	inFile := q.MemoryPlan()[u].InFile
	return func(dims []int) (*Cache, error) { return exec.NewCache(dims, inFile, q.c.Machine.CacheDir) }
}
