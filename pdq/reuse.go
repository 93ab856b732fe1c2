package pdq

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/gomlx/gomlx/core/tensors"

	"github.com/pdquant/pdquant/pdq/internal/exec"
)

// keptGradients holds, for Loss.Reuse, each image's gradient for the unit's output of the terms that read the student's
// logits, weighted, as it was when these were last computed for the image:
//
//	g_i = ∂ Σ weight·term_i / ∂y_i
//
// A step's gradient for the variables is the mean of J_iᵀg_i over the batch's images with a g_i, where J_i is what the
// unit's output y_i is by the variables now. Only g_i is old: it belongs to the y_i of an earlier step. Images without
// one, at first most, are left out of the mean. To keep gradients of single examples is the idea of the stochastic
// average gradient (arXiv 1202.6258), which keeps those for the variables.
type keptGradients struct {
	ages  []int  // steps that have used the gradient since it was computed; notKept: it never was
	cache *Cache // [N,...], in the shape of the unit's output
}

const notKept = -1

// keepGradients makes r.kept if Loss.Reuse has images to keep gradients of.
func (r *Rounder) keepGradients() (err error) {
	if !r.q.c.Loss.Reuse || !r.needsLogits() || r.predictions() == r.opt.size {
		return nil
	}
	n := r.d.StudentIn.Len()
	r.kept = &keptGradients{ages: slices.Repeat([]int{notKept}, n)}
	r.kept.cache, err = r.q.newCache(r.d.Unit)(append([]int{n}, r.d.Target.Dims()[1:]...))
	return err
}

// oldestFirst returns the images of a batch in another order: at the first positions in order stand those whose
// gradients are the oldest, before all those that have none.
func (k *keptGradients) oldestFirst(batch, order []int) []int {
	age := func(image int) int {
		if k.ages[image] == notKept {
			return math.MaxInt
		}
		return k.ages[image]
	}
	sorted := slices.Clone(batch)
	slices.SortStableFunc(sorted, func(a, b int) int { return cmp.Compare(age(b), age(a)) })
	for i, at := range order {
		batch[at] = sorted[i]
	}
	return batch
}

// count returns how many of images have a kept gradient.
func (k *keptGradients) count(images []int) (n int) {
	for _, i := range images {
		if k.ages[i] != notKept {
			n++
		}
	}
	return n
}

// tensor returns the gradients of images, times scale; 0 for those that have none.
func (k *keptGradients) tensor(images []int, scale float32) (*tensors.Tensor, error) {
	t := tensors.FromShape(k.cache.Shape(len(images)))
	return t, exec.Mutate(t, func(flat []float32) error {
		if err := k.read(flat, images); err != nil {
			return err
		}
		for i := range flat {
			flat[i] *= scale
		}
		return nil
	})
}

// read fills the slice to, which is 0, with the gradients of those images that have one.
func (k *keptGradients) read(to []float32, images []int) error {
	per := k.cache.PerImage()
	for i, image := range images {
		if k.ages[image] == notKept {
			continue
		}
		if err := k.cache.Read(to[i*per:(i+1)*per], image); err != nil {
			return err
		}
	}
	return nil
}

// update notes that a step has used the gradients of old, and keeps those that it has computed for fresh, times scale.
func (k *keptGradients) update(old, fresh []int, computed []*tensors.Tensor, scale float32) error {
	for _, image := range old {
		if k.ages[image] != notKept {
			k.ages[image]++
		}
	}
	per := k.cache.PerImage()
	for _, t := range computed {
		flat, err := tensors.CopyFlatData[float32](t)
		if err != nil {
			return err
		}
		for i := range flat {
			flat[i] *= scale
		}
		for ; len(flat) > 0; flat, fresh = flat[per:], fresh[1:] {
			if err := k.cache.Write(flat[:per], fresh[0]); err != nil {
				return err
			}
			k.ages[fresh[0]] = 0
		}
	}
	return nil
}

// state returns the ages, then the gradients, as OptimiserState has them.
func (k *keptGradients) state() ([][]float32, error) {
	ages, gradients := make([]float32, len(k.ages)), make([]float32, exec.Product(k.cache.Dims()))
	images := make([]int, len(k.ages))
	for i, age := range k.ages {
		ages[i], images[i] = float32(age), i
	}
	return [][]float32{ages, gradients}, k.read(gradients, images)
}

// restore puts k back to what state returned.
func (k *keptGradients) restore(values [][]float32) error {
	ages, gradients := values[0], values[1]
	if len(ages) != len(k.ages) || len(gradients) != exec.Product(k.cache.Dims()) {
		return fmt.Errorf("the state keeps %d numbers for %d images; they should be %d for %d",
			len(gradients), len(ages), exec.Product(k.cache.Dims()), len(k.ages))
	}
	for i, age := range ages {
		k.ages[i] = int(age)
	}
	return k.cache.Write(gradients, 0)
}
