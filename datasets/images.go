package datasets

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"iter"
	"math"
	"slices"
)

// Images is a set of images of one size with their labels, kept as bytes, or as the numbers that networks take.
type Images struct {
	Name                    string    // data set and part, for messages and run records: "fashion-mnist/test"
	Channels, Height, Width int       // C, H, W; each > 0
	Pixels                  []uint8   // [N,C,H,W], row-major, 0 to 255; nil if there are Values
	Values                  []float32 // [N,C,H,W], what networks take, unchanged; nil: Pixels, normalised
	Labels                  []int32   // [N], indices into Classes; Unlabelled if they aren't known
	Classes                 []string  // names of the classes
	Mean, Std               []float32 // [C], of pixel/255: what the teacher's inputs are normalised with; Std > 0
	Skipped                 []string  // paths of files among these images' that SkipCorrupt left out; nil: none
}

// Unlabelled is the label of images whose class isn't known: they can be calibrated on, not tested on.
const Unlabelled = -1

// Labelled says whether the classes of all images are known.
func (im Images) Labelled() bool { return !slices.Contains(im.Labels, Unlabelled) }

// Len returns N, the number of images.
func (im Images) Len() int { return len(im.Labels) }

// Floats returns images lo to hi-1 as floats [hi-lo,C,H,W], Values as they are and Pixels normalised per channel:
//
//	(pixel/255 - Mean) / Std
//
// It panics, as a slice does, unless 0 ≤ lo ≤ hi ≤ Len.
func (im Images) Floats(lo, hi int) []float32 {
	im = im.Slice(lo, hi)
	if im.Values != nil {
		return slices.Clone(im.Values)
	}
	pixels := im.Pixels
	out := make([]float32, len(pixels))
	plane := im.Height * im.Width
	for c := range im.Channels {
		var normalised [256]float32
		for v := range normalised {
			normalised[v] = (float32(v)/255 - im.Mean[c]) / im.Std[c]
		}
		for at := c * plane; at < len(pixels); at += im.Channels * plane {
			from, to := pixels[at:at+plane], out[at:at+plane]
			for i, v := range from {
				to[i] = normalised[v]
			}
		}
	}
	return out
}

// Slice returns images lo to hi-1, which share im's memory, without Skipped; Name stays im's. It panics,
// as a slice does, unless 0 ≤ lo ≤ hi ≤ Len.
func (im Images) Slice(lo, hi int) Images {
	if lo < 0 || lo > hi || hi > im.Len() {
		panic(fmt.Sprintf("datasets: images [%d:%d] asked for, but %s has %d", lo, hi, im.Name, im.Len()))
	}
	size := im.Channels * im.Height * im.Width
	if im.Values != nil {
		im.Values = im.Values[lo*size : hi*size : hi*size]
	} else {
		im.Pixels = im.Pixels[lo*size : hi*size : hi*size]
	}
	im.Labels = im.Labels[lo:hi:hi]
	im.Skipped = nil
	return im
}

// Batches yields the images in their order, size at a time; the last batch has the rest.
func (im Images) Batches(ctx context.Context, size int) iter.Seq2[Images, error] {
	return func(yield func(Images, error) bool) {
		if size < 1 {
			yield(Images{}, badBatch(size))
			return
		}
		for lo := 0; lo < im.Len(); lo += size {
			if err := ctx.Err(); err != nil {
				yield(Images{}, err)
				return
			}
			if !yield(im.Slice(lo, min(lo+size, im.Len())), nil) {
				return
			}
		}
	}
}

// Evenly returns n images in equal distances; all if n is 0 or at least their number.
func (im Images) Evenly(n int) (Stream, error) {
	if n == 0 || n >= im.Len() {
		return im, nil
	}
	return im.Select(spaced(n, im.Len()))
}

// spaced returns n of the indices 0 to from-1, in equal distances.
func spaced(n, from int) []int {
	indices := make([]int, max(n, 0))
	for i := range indices {
		indices[i] = i * from / n
	}
	return indices
}

// Describe returns Name and Hash.
func (im Images) Describe() (name, hash string) { return im.Name, im.Hash() }

// Select returns a copy of the images at indices, in that order, without Skipped; an index may repeat. Name stays
// im's. An index outside 0 to Len-1 is an error.
func (im Images) Select(indices []int) (Images, error) {
	size := im.Channels * im.Height * im.Width
	out := im
	out.Skipped = nil
	out.Pixels, out.Values = nil, nil
	if im.Values != nil {
		out.Values = make([]float32, 0, len(indices)*size)
	} else {
		out.Pixels = make([]uint8, 0, len(indices)*size)
	}
	out.Labels = make([]int32, 0, len(indices))
	for i, k := range indices {
		if k < 0 || k >= im.Len() {
			return Images{}, fmt.Errorf("datasets: index %d at position %d is not an image of %s; it has 0 to %d",
				k, i, im.Name, im.Len()-1)
		}
		if im.Values != nil {
			out.Values = append(out.Values, im.Values[k*size:(k+1)*size]...)
		} else {
			out.Pixels = append(out.Pixels, im.Pixels[k*size:(k+1)*size]...)
		}
		out.Labels = append(out.Labels, im.Labels[k])
	}
	out.Classes = slices.Clone(im.Classes)
	out.Mean, out.Std = slices.Clone(im.Mean), slices.Clone(im.Std)
	return out, nil
}

// Moments returns each channel's mean and standard deviation of pixel/255 over Pixels
// of all images, [C] each: Mean and Std of a training set. The deviation divides by the number of
// pixels, not by one less.
func (im Images) Moments() (mean, std []float32) {
	plane := im.Height * im.Width
	for c := range im.Channels {
		var counts [256]int
		for at := c * plane; at < len(im.Pixels); at += im.Channels * plane {
			for _, v := range im.Pixels[at : at+plane] {
				counts[v]++
			}
		}
		var n, sum, squares float64
		for v, k := range counts {
			x := float64(v) / 255
			n, sum, squares = n+float64(k), sum+float64(k)*x, squares+float64(k)*x*x
		}
		m := sum / n
		mean = append(mean, float32(m))
		std = append(std, float32(math.Sqrt(max(0, squares/n-m*m))))
	}
	return mean, std
}

// Hash returns the SHA-256 of sizes, pixels and labels in hex, for run records. It is
// that of the text "N C H W\n" in decimal, then Pixels (or Values as little-endian float32), then Labels as
// little-endian int32. Name, Classes, Mean and Std don't enter.
func (im Images) Hash() string {
	h := sha256.New()
	fmt.Fprintf(h, "%d %d %d %d\n", im.Len(), im.Channels, im.Height, im.Width) // a hash never fails
	h.Write(im.Pixels)
	for part := range slices.Chunk(im.Values, 1<<16) {
		_ = binary.Write(h, binary.LittleEndian, part) // nor does this: floats have a size
	}
	labels := make([]byte, 0, 4*len(im.Labels))
	for _, l := range im.Labels {
		labels = binary.LittleEndian.AppendUint32(labels, uint32(l))
	}
	h.Write(labels)
	return hex.EncodeToString(h.Sum(nil))
}

// Validate returns an error unless im holds at least one image, its sizes agree with
// its slices, its labels are classes or Unlabelled, and Mean and Std, where there are
// Pixels, are finite with Std > 0.
func (im Images) Validate() error {
	fail := func(format string, args ...any) error {
		return fmt.Errorf("datasets: images %s: %s", im.Name, fmt.Sprintf(format, args...))
	}
	if im.Len() == 0 {
		return fail("there are none; give one label per image")
	}
	if im.Pixels != nil && im.Values != nil {
		return fail("there are both Pixels and Values; set one of them")
	}
	rest := len(im.Pixels) + len(im.Values) // divided by each size in turn: their product may overflow
	for _, d := range []int{im.Len(), im.Channels, im.Height, im.Width} {
		if d < 1 || rest%d != 0 {
			rest = 0
			break
		}
		rest /= d
	}
	if rest != 1 {
		return fail("%d pixels are not %d images of %dx%dx%d; set Pixels, Labels and sizes together",
			len(im.Pixels)+len(im.Values), im.Len(), im.Channels, im.Height, im.Width)
	}
	for i, l := range im.Labels {
		if l != Unlabelled && (l < 0 || int(l) >= len(im.Classes)) {
			return fail("label %d of image %d is not one of %d classes; correct it or name the class", l, i, len(im.Classes))
		}
	}
	if im.Values != nil {
		return nil
	}
	if len(im.Mean) != im.Channels || len(im.Std) != im.Channels {
		return fail("%d means and %d deviations for %d channels; give one each per channel",
			len(im.Mean), len(im.Std), im.Channels)
	}
	for c := range im.Channels {
		m, s := float64(im.Mean[c]), float64(im.Std[c])
		if !(math.Abs(m) <= math.MaxFloat32 && s > 0 && s <= math.MaxFloat32) {
			return fail("channel %d has mean %g and deviation %g; both must be finite, the deviation > 0", c, m, s)
		}
	}
	return nil
}
