package pdq

import "github.com/pdquant/pdquant/pdq/internal/exec"

// Batches are cut into parts, which bounds a step's memory, and keeps the data of a part near the processor. On two
// cores, a step of the third unit of EfficientNet-Lite0 at 224x224 pixels took 7.3 s and 7.1 GB as two parts of 16
// images, and 3.4 s and 0.9 GB as 32 parts.

// parts returns into how many parts a batch of size images is cut, given the bytes that a graph takes for an image: at
// least one for each worker, and more if they would exceed Machine.PartLimit or their share of half of
// Machine.MemoryLimit.
func (q *Quantizer) parts(size int, perImage int64) int {
	workers := max(q.c.Machine.Workers, 1)
	parts := min(workers, size)
	if most := q.mostImages(perImage); most > 0 {
		parts = max(parts, (size+most-1)/most)
	}
	return min(parts, size)
}

// mostImages returns the most images that a graph should take together, at least 1, given the bytes that it takes for
// an image; 0: as many as there are.
func (q *Quantizer) mostImages(perImage int64) int {
	limit := q.c.Machine.PartLimit
	if of := q.c.Machine.MemoryLimit; of > 0 {
		share := max((of-q.fixedBytes())/2/int64(max(q.c.Machine.Workers, 1)), 1)
		if limit == 0 || share < limit {
			limit = share
		}
	}
	if limit == 0 {
		return 0
	}
	return int(max(limit/max(perImage, 1), 1))
}

// inFlight returns how many images of a batch that is cut into parts are computed at the same time.
func (q *Quantizer) inFlight(size, parts int) int {
	return min(size, (size+parts-1)/parts*max(q.c.Machine.Workers, 1))
}

// roundingParts returns into how many parts a batch of the unit's rounding is cut.
func (q *Quantizer) roundingParts(unit, size int) int { return q.parts(size, q.roundingImage(unit)) }

// roundingImage estimates the bytes that a step of the unit's rounding takes for an image.
func (q *Quantizer) roundingImage(unit int) int64 {
	n, u := q.folded, q.folded.Units[unit]
	bytes := 2 * outputBytes(n, u.First, u.Last)
	if q.readsLogits() {
		bytes = 2*bytes + 2*outputBytes(n, u.Last+1, len(n.Layers)-1)
	}
	return int64(2.29 * float64(bytes))
}

// fineTuneImage estimates the bytes that a step of fine-tuning takes for an image.
func (q *Quantizer) fineTuneImage() int64 {
	return int64(5.43 * 2 * float64(outputBytes(q.folded, 0, len(q.folded.Layers)-1)))
}

// correctionImage estimates the bytes that a step of the unit's correction takes for an image, and those that are kept
// of it from step to step; 0: there is none.
func (q *Quantizer) correctionImage(unit int) (step, kept int64) {
	n, u := q.p.Network, q.p.Network.Units[unit]
	if q.c.Correction.Steps == 0 || !hasNorm(n, u) {
		return 0, 0
	}
	inputs := 4 * float64(exec.Product(n.InputShape(u.First))*4) // the input, the corrected one, and Adam's moments
	return int64(2.14 * (2*float64(outputBytes(n, u.First, u.Last)) + inputs)), int64(2.14 * inputs)
}

// correctionPieces returns into how many pieces, computed one after the other, a chunk of size images is cut.
func (q *Quantizer) correctionPieces(unit, size int) int {
	step, _ := q.correctionImage(unit)
	most := q.mostImages(step)
	if most == 0 {
		return 1
	}
	return (size + most - 1) / most
}
