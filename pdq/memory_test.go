package pdq

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"reflect"
	"testing"
	"time"

	"github.com/gomlx/compute"

	"github.com/pdquant/pdquant/datasets"
	"github.com/pdquant/pdquant/internal/memory"
	"github.com/pdquant/pdquant/internal/soaked"
	"github.com/pdquant/pdquant/models"
	"github.com/pdquant/pdquant/models/arch"
	"github.com/pdquant/pdquant/pdq/backend"
)

// TestMemoryLimit: a run whose caches go to files gives the same student, and leaves no file.
func TestMemoryLimit(t *testing.T) {
	eachBackend(t, func(t *testing.T, b compute.Backend) {
		p, c := tinyProblem(t, 20), tinyConfig(t)
		c.Machine.PartLimit = 1 // the smallest parts, which the limit can't make smaller
		want := quantize(t, b, p, c)
		c.Machine.CacheDir = t.TempDir()
		q := quantizerOf(t, b, p, c)
		plan := q.MemoryPlan()
		c.Machine.MemoryLimit = q.StepMemory() + plan[2].Bytes - 1
		q = quantizerOf(t, b, p, c)
		if limited := q.MemoryPlan(); !limited[2].InFile || plan[2].InFile || limited[4].InFile {
			t.Errorf("plans %v without and %v with a limit", plan, limited)
		}
		got, err := q.Quantize(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Error("another student than with caches in memory")
		}
		if left, err := os.ReadDir(c.Machine.CacheDir); err != nil || len(left) > 0 {
			t.Errorf("left %v, error %v", left, err)
		}
	})
}

// TestMemoryPlan: the plan's bytes are those of the actual caches.
func TestMemoryPlan(t *testing.T) {
	b, err := compute.NewWithConfig("go")
	if err != nil {
		t.Fatal(err)
	}
	q := quantizerOf(t, b, tinyProblem(t, 10), tinyConfig(t))
	ctx := context.Background()
	s, before := prepare(t, q, 1)
	before, err = q.Correct(ctx, before)
	if err != nil {
		t.Fatal(err)
	}
	d, err := q.Observe(ctx, s, &Teacher{before.Logits}, 2, before)
	if err != nil {
		t.Fatal(err)
	}
	if d, err = q.Correct(ctx, d); err != nil {
		t.Fatal(err)
	}
	var bytes int64
	for _, d := range []*UnitData{before, d} {
		for _, c := range []*Cache{d.StudentIn, d.TeacherIn, d.TeacherOut, d.CorrectedIn, d.Target} {
			bytes += 4 * int64(c.Len()*c.PerImage())
		}
	}
	if got := q.MemoryPlan()[2]; got.Bytes != bytes || got.Unit != "layer2.0" || got.InFile {
		t.Errorf("plan %+v, want %d bytes for layer2.0, in memory", got, bytes)
	}
}

// TestRoom: caches that fit neither memory nor disk are an error before anything is computed.
func TestRoom(t *testing.T) {
	const mib = 1 << 20
	plan := []UnitMemory{{"conv1", 100 * mib, false}, {"layer1.0", 3000 * mib, true}, {"layer2.0", 2500 * mib, true}}
	err := roomFor(plan, 2000*mib, 2600*mib, "/somewhere")
	checkError(t, "a full disk", err, "the caches of layer1.0 take 3000 MiB: memory has 2000 MiB for them, "+
		"and /somewhere has 2600 MiB; set")
	for _, free := range []int64{3000 * mib, -1} {
		if err := roomFor(plan, 2000*mib, free, "/somewhere"); err != nil {
			t.Errorf("%d bytes free: %v", free, err)
		}
	}
	if free := memory.FreeDisk(t.TempDir()); free == 0 {
		t.Error("no room for a test's files")
	}
}

// peakCase has, of TestPeakProcess, the network, the number of images, and the method.
const peakCase = "PDQUANT_TEST_PEAK"

// TestPeakProcess is a process whose memory TestPeakMemory measures.
func TestPeakProcess(t *testing.T) {
	var name, method string
	var images int
	if _, err := fmt.Sscan(os.Getenv(peakCase), &name, &images, &method); err != nil {
		t.Skip("for TestPeakMemory alone")
	}
	teacher, err := arch.LoadTeacher(name)
	if err != nil {
		t.Fatal(err)
	}
	pool, err := datasets.FashionMNISTCalibration()
	if err != nil {
		t.Fatal(err)
	}
	c, err := Preset("quick", name, 2, 2)
	if err != nil {
		t.Fatal(err)
	}
	if c.Rounding.Steps, c.Correction.Steps = 4, 4; method == "mse" {
		c = c.MSEOnly()
	}
	c.Machine.Workers = 2
	b, _, err := backend.Open("onnx")
	if err != nil {
		t.Fatal(err)
	}
	q, err := New(b, Problem{Network: teacher.Network, Weights: teacher.Weights, Calibration: pool.Slice(0, images)}, c)
	if err != nil {
		t.Fatal(err)
	}
	memory.ResetPeak()
	if _, err := q.Quantize(t.Context()); err != nil {
		t.Fatal(err)
	}
	fmt.Printf("peak %d estimate %d\n", memory.Peak(), q.PeakMemory())
}

// TestPeakMemory: the estimate is within 30 % of what a process takes.
func TestPeakMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("runs processes; run without -short")
	}
	if memory.Peak() == 0 {
		t.Skip("this system doesn't tell a process's memory")
	}
	if _, _, err := backend.Open("onnx"); err != nil {
		t.Skip(err)
	}
	runs := []string{"resnet8 64 pd-quant"}
	if soaked.Long() {
		runs = append(runs, "resnet20 256 pd-quant", "mobilenetv2 256 mse")
	}
	for _, run := range runs {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestPeakProcess$")
		cmd.Env = append(os.Environ(), peakCase+"="+run)
		out, err := cmd.CombinedOutput()
		var peak, estimate float64
		if _, scan := fmt.Sscanf(string(out), "peak %f estimate %f", &peak, &estimate); err != nil || scan != nil {
			t.Fatalf("%v, %v: %s", err, scan, out)
		}
		t.Logf("%s: %.0f MiB, estimate %.0f", run, peak/(1<<20), estimate/(1<<20))
		if ratio := estimate / peak; ratio < 0.7 || ratio > 1.3 {
			t.Errorf("%s takes %.0f MiB, the estimate is %.0f", run, peak/(1<<20), estimate/(1<<20))
		}
	}
}

// largeCase has, of TestLargeProcess, the limit of its memory in MiB.
const largeCase = "PDQUANT_TEST_LARGE"

// TestLargeProcess is a process whose memory TestLargeMemory measures: all steps of ResNet-50's first two units on
// 1,024 images of 224x224 pixels, with few steps of correction and rounding.
func TestLargeProcess(t *testing.T) {
	var limit int64
	if _, err := fmt.Sscan(os.Getenv(largeCase), &limit); err != nil {
		t.Skip("for TestLargeMemory alone")
	}
	q := largeQuantizer(t, limit<<20)
	memory.ResetPeak()
	start := time.Now()
	s, err := q.WeightScales(t.Context(), Student{})
	if err != nil {
		t.Fatal(err)
	}
	teacher, err := q.Teacher(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	begun, units := time.Now(), 0
	for d, err := range q.Units(t.Context(), teacher, &s) {
		if err == nil {
			d, err = q.Correct(t.Context(), d)
		}
		if err == nil {
			s, err = q.ActivationScales(t.Context(), s, d)
		}
		if err == nil {
			s, err = q.Round(t.Context(), s, d)
		}
		if err != nil {
			t.Fatal(err)
		}
		if units++; units == 2 {
			break
		}
	}
	fmt.Printf("peak %d; the teacher took %.0f s, the units %.0f s\n",
		memory.Peak(), begun.Sub(start).Seconds(), time.Since(begun).Seconds())
	for _, m := range q.MemoryPlan()[:2] {
		fmt.Printf("%s %d MiB of caches, in a file: %v\n", m.Unit, m.Bytes>>20, m.InFile)
	}
}

// largeQuantizer is that of TestLargeProcess: ResNet-50 with random weights, and noise.
func largeQuantizer(t *testing.T, limit int64) *Quantizer {
	const size, images, classes = 224, 1024, 1000
	n, err := arch.Design("resnet50", arch.SquareInput(3, size, classes))
	if err != nil {
		t.Fatal(err)
	}
	noise := datasets.Images{Name: "noise", Channels: 3, Height: size, Width: size, Classes: make([]string, classes),
		Pixels: make([]uint8, images*3*size*size), Labels: make([]int32, images),
		Mean: []float32{0.5, 0.5, 0.5}, Std: []float32{0.25, 0.25, 0.25}}
	_, _ = rand.NewChaCha8([32]byte{1}).Read(noise.Pixels) // it never fails
	c, err := Quick("resnet50", 4, 4)
	if err != nil {
		t.Fatal(err)
	}
	b, _, err := backend.Open("onnx")
	if err != nil {
		t.Fatal(err)
	}
	c.Rounding.Steps, c.Correction.Steps = 10, 4
	c.Machine = MachineConfig{Workers: backend.Workers(b), PartLimit: backend.PartLimit(b), MemoryLimit: limit}
	return quantizerOf(t, b, Problem{Network: n, Weights: models.Init(n, 1), Calibration: noise}, c)
}

// TestLargeMemory: a network whose caches don't fit keeps to the limit of the whole process.
func TestLargeMemory(t *testing.T) {
	soaked.Only(t, "takes minutes, and 17 GB on the disk")
	if memory.Peak() == 0 {
		t.Skip("this system doesn't tell a process's memory")
	}
	if _, _, err := backend.Open("onnx"); err != nil {
		t.Skip(err)
	}
	const limit = 4096
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestLargeProcess$")
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d", largeCase, limit))
	out, err := cmd.CombinedOutput()
	var peak int64
	if _, scan := fmt.Sscanf(string(out), "peak %d", &peak); err != nil || scan != nil {
		t.Fatalf("%v, %v: %s", err, scan, out)
	}
	t.Logf("%d MiB; %s", peak>>20, out)
	if peak > limit<<20 {
		t.Errorf("takes %d MiB; the limit is %d", peak>>20, limit)
	}
}
