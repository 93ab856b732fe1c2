package pdq

import (
	"context"
	"os"
	"reflect"
	"testing"

	"github.com/gomlx/compute"

	"github.com/pdquant/pdquant/internal/memory"
	"github.com/pdquant/pdquant/pdq/internal/exec"
)

// TestCacheLimit: a run whose caches go to files gives the same student, and leaves no file.
func TestCacheLimit(t *testing.T) {
	eachBackend(t, func(t *testing.T, b compute.Backend) {
		p, c := tinyProblem(t, 20), tinyConfig(t)
		want := quantize(t, b, p, c)
		c.Machine.CacheDir = t.TempDir()
		q := quantizerOf(t, b, p, c)
		plan := q.MemoryPlan()
		c.Machine.CacheLimit = plan[2].Bytes - 1
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
			bytes += 4 * int64(exec.Product(c.Dims()))
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
	checkError(t, "a full disk", err, "the caches of layer1.0 take 3000 MiB: the limit in memory is 2000 MiB, "+
		"and /somewhere has room for 2600 MiB; set")
	for _, free := range []int64{3000 * mib, -1} {
		if err := roomFor(plan, 2000*mib, free, "/somewhere"); err != nil {
			t.Errorf("%d bytes free: %v", free, err)
		}
	}
	if free := memory.FreeDisk(t.TempDir()); free == 0 {
		t.Error("no room for a test's files")
	}
}
