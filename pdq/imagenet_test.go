package pdq

import (
	"fmt"
	"image"
	"image/jpeg"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/gomlx/compute"

	"github.com/pdquant/pdquant/datasets"
	"github.com/pdquant/pdquant/internal/formula"
	"github.com/pdquant/pdquant/internal/memory"
	"github.com/pdquant/pdquant/internal/soaked"
	"github.com/pdquant/pdquant/models"
	"github.com/pdquant/pdquant/models/arch"
	"github.com/pdquant/pdquant/pdq/backend"
)

// photos writes n JPEG files of two classes to a folder, and returns it.
func photos(t *testing.T, n int) string {
	t.Helper()
	dir, rng := t.TempDir(), rand.New(rand.NewPCG(1, 0))
	for i := range n {
		im := image.NewRGBA(image.Rect(0, 0, 300+20*i, 280))
		for j := range im.Pix {
			im.Pix[j] = uint8(j/(4+i) + rng.IntN(40))
		}
		class := filepath.Join(dir, fmt.Sprintf("n%02d", i%2))
		if err := os.MkdirAll(class, 0o755); err != nil {
			t.Fatal(err)
		}
		f, err := os.Create(filepath.Join(class, fmt.Sprintf("%d.jpg", i)))
		if err != nil {
			t.Fatal(err)
		}
		if err := jpeg.Encode(f, im, nil); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestImageNet takes two of the paper's networks for images of 224x224 through every step, on images from a folder.
func TestImageNet(t *testing.T) {
	soaked.Only(t, "a minute; the shell's quantise takes a network of full size the same way, "+
		"TestPaperNetworks the architectures")
	b, note, err := backend.Open("onnx")
	if err != nil {
		t.Skipf("on the Go backend it would take long: %v", err)
	}
	t.Log(note)
	folder, err := datasets.OpenImageFolder(photos(t, 8))
	if err != nil {
		t.Fatal(err)
	}
	images, err := folder.Load(t.Context(), datasets.ImageNetConfig())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"resnet18", "mobilenetv2-1.0"} {
		t.Run(name, func(t *testing.T) { fullSize(t, b, name, images) })
	}
}

// fullSize takes a network for ImageNet through every step.
func fullSize(t *testing.T, b compute.Backend, name string, images datasets.Images) {
	n, err := arch.Design(name, arch.SquareInput(3, 224, 1000))
	if err != nil {
		t.Fatal(err)
	}
	w := models.Weights{}
	for i, p := range n.Params() {
		w[p.Name] = formula.Tensor(i, p.Name, p.Shape...)
	}
	c, err := Fast(name, 2, 2)
	if err != nil {
		t.Fatal(err)
	}
	c.Rounding.Steps, c.Rounding.BatchSize, c.Correction.Steps, c.Scales.Images = 2, 4, 2, 4
	c.Machine.Workers = backend.Workers(b)
	q, err := New(b, Problem{n, w, images}, c)
	if err != nil {
		t.Fatal(err)
	}
	memory.ResetPeak()
	r := &Run{Quantizer: q}
	if err := Quantize(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	t.Logf("%.1f s, peak memory %d MiB of %d", r.Elapsed.Seconds(), memory.Peak()>>20, memory.Total()>>20)
	score, err := q.Evaluate(t.Context(), r.Student, images)
	if err != nil || len(r.Student.Weights) == 0 || len(score.Top1) != 8 {
		t.Errorf("%d quantised weights, %d images tested, error %v", len(r.Student.Weights), len(score.Top1), err)
	}
}
