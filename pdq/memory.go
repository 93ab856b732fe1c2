package pdq

import (
	"fmt"
	"os"

	"github.com/pdquant/pdquant/internal/memory"
	"github.com/pdquant/pdquant/models"
	"github.com/pdquant/pdquant/pdq/internal/exec"
)

// UnitMemory is the memory that the caches of a unit take.
type UnitMemory struct {
	Unit   string
	Bytes  int64 // of its own caches and of those it is observed from: all that exist while it is quantised
	InFile bool  // whether its own go to a file, because the process would take more than MachineConfig.MemoryLimit
}

// MemoryPlan returns the memory that each unit's caches will take, before anything is computed. Graphs take memory,
// too.
func (q *Quantizer) MemoryPlan() []UnitMemory {
	var plan []UnitMemory
	room := q.cacheRoom()
	for u := range q.folded.Units {
		m := UnitMemory{Unit: q.unitName(u), Bytes: q.cacheBytes(u)}
		if u > 0 {
			m.Bytes += q.cacheBytes(u - 1)
		}
		m.InFile = q.c.Machine.MemoryLimit > 0 && m.Bytes > room
		plan = append(plan, m)
	}
	return plan
}

// cacheRoom is what is left for caches of Machine.MemoryLimit, which isn't 0.
func (q *Quantizer) cacheRoom() int64 { return max(0, q.c.Machine.MemoryLimit-q.StepMemory()) }

// PeakMemory estimates the largest resident size of a process that takes all steps on ONNX Runtime, in bytes. It was
// fitted to 46 runs of the shipped teachers: nearest rounding, MSE only, PD, PD-Quant and best on 64, 256 and 1,024
// images, with two workers. The estimates were 0.78 to 1.28 times what was measured. Other backends take more.
func (q *Quantizer) PeakMemory() int64 {
	caches := int64(0)
	for _, m := range q.MemoryPlan() {
		if !m.InFile {
			caches = max(caches, m.Bytes)
		}
	}
	return caches + q.StepMemory()
}

// StepMemory is the part of PeakMemory that isn't caches: the program, and the graphs of the step that takes the most.
// If it is above Machine.MemoryLimit, the run will exceed it: a graph takes at least one image.
func (q *Quantizer) StepMemory() int64 {
	return q.fixedBytes() + max(q.inferenceBytes(), q.correctionBytes(), q.roundingBytes(), q.fineTuneBytes())
}

// fixedBytes estimates the memory of the program and of the weights. Graphs keep copies of these, forward and backward:
// 14 in all, measured on EfficientNet-Lite0.
func (q *Quantizer) fixedBytes() int64 {
	weights := 0
	for _, t := range q.weights {
		weights += 4 * t.Size()
	}
	return 110<<20 + 14*int64(weights)
}

// inferenceBytes estimates the memory of the graphs that observe units and evaluate.
func (q *Quantizer) inferenceBytes() int64 {
	n := q.folded
	flight := float64(min(q.images.Len(), exec.ChunkSize(n)*q.c.Machine.crew().AtOnce()))
	largest := 0
	for _, u := range n.Units {
		largest = max(largest, outputBytes(n, u.First, u.Last)+4*exec.Product(n.InputShape(u.First)))
	}
	return int64(flight * (2.06*float64(largest) + 0.32*float64(outputBytes(n, 0, len(n.Layers)-1))))
}

// correctionBytes estimates the memory of correction's graphs.
func (q *Quantizer) correctionBytes() (most int64) {
	if q.c.Correction.Steps == 0 {
		return 0
	}
	size, workers := q.correctionChunk(q.images.Len())
	images := int64(min(q.images.Len(), size*workers))
	for u := range q.p.Network.Units {
		pieces := q.correctionPieces(u, size)
		flight := min(images, int64(workers*((size+pieces-1)/pieces)))
		step, kept := q.correctionImage(u)
		most = max(most, flight*step+images*kept)
	}
	return most
}

// roundingBytes estimates the memory of a rounding step's graph.
func (q *Quantizer) roundingBytes() (most int64) {
	if q.c.Rounding.Steps == 0 {
		return 0
	}
	size := min(q.c.Rounding.BatchSize, q.images.Len())
	for u := range q.folded.Units {
		most = max(most, int64(q.inFlight(size, q.roundingParts(u, size)))*q.roundingImage(u))
	}
	return most
}

// fineTuneBytes estimates the memory of a fine-tuning step's graph.
func (q *Quantizer) fineTuneBytes() int64 {
	if q.c.FineTune.Steps == 0 {
		return 0
	}
	size := min(q.c.FineTune.BatchSize, q.images.Len())
	return int64(q.inFlight(size, q.parts(size, q.fineTuneImage()))) * q.fineTuneImage()
}

// outputBytes is the size of the outputs of layers first to last for an image.
func outputBytes(n *models.Network, first, last int) int {
	sum := 0
	for _, shape := range n.Shapes()[first : last+1] {
		sum += 4 * exec.Product(shape)
	}
	return sum
}

// checkRoom returns an error if the caches of a unit must go to a file but don't fit on the disk.
func (q *Quantizer) checkRoom() error {
	dir := q.c.Machine.CacheDir
	if dir == "" {
		dir = os.TempDir()
	}
	return roomFor(q.MemoryPlan(), q.cacheRoom(), memory.FreeDisk(dir), dir)
}

// roomFor is checkRoom for room bytes in memory, and a folder dir with free bytes left; negative: unknown.
func roomFor(plan []UnitMemory, room, free int64, dir string) error {
	for _, m := range plan {
		if m.InFile && free >= 0 && m.Bytes > free {
			return fmt.Errorf("pdq: the caches of %s take %d MiB: memory has %d MiB for them, and %s has %d MiB; "+
				"set Machine.CacheDir to another folder, raise Machine.MemoryLimit, or take fewer calibration images",
				m.Unit, m.Bytes>>20, room>>20, dir, free>>20)
		}
	}
	return nil
}

// cacheBytes returns the size of the caches of unit u itself: the student's input, the teacher's input and output,
// original and corrected, and kept gradients.
func (q *Quantizer) cacheBytes(u int) int64 {
	n, unit := q.p.Network, q.p.Network.Units[u]
	in, out := exec.Product(n.InputShape(unit.First)), exec.Product(n.Shapes()[unit.Last])
	numbers := 2*in + out
	if q.c.Correction.Steps > 0 && hasNorm(n, unit) {
		numbers += in + out
	}
	if q.c.Loss.Reuse && q.readsLogits() {
		numbers += out
	}
	return 4 * int64(numbers) * int64(q.images.Len())
}

// newCache returns a function that makes caches for unit u, in memory or in a file, as MemoryPlan says.
func (q *Quantizer) newCache(u int) func(dims []int) (*Cache, error) {
	inFile := q.MemoryPlan()[u].InFile
	return func(dims []int) (*Cache, error) { return exec.NewCache(dims, inFile, q.c.Machine.CacheDir) }
}
