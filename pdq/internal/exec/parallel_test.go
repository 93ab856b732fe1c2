package exec

import (
	"errors"
	"runtime"
	"sync/atomic"
	"testing"

	"github.com/gomlx/compute"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/pdquant/pdquant/internal/testbackend"
)

func TestParallel(t *testing.T) {
	var sum atomic.Int64
	if err := Parallel(100, 3, func(k int) error { sum.Add(int64(k)); return nil }); err != nil || sum.Load() != 4950 {
		t.Errorf("sum %d, error %v; want 4950, nil", sum.Load(), err)
	}
	fault := errors.New("fault")
	err := Parallel(5, 2, func(k int) error {
		if k == 3 {
			return fault
		}
		return nil
	})
	if !errors.Is(err, fault) {
		t.Errorf("error %v, want %v", err, fault)
	}
	called := 0
	if err := Parallel(100, 1, func(int) error { called++; return fault }); !errors.Is(err, fault) || called != 1 {
		t.Errorf("error %v after %d calls, want %v after one", err, called, fault)
	}
}

// TestShared: workers that call a new graph at once all get its result.
func TestShared(t *testing.T) {
	testbackend.Each(t, func(t *testing.T, b compute.Backend) {
		for range 40 {
			graph, err := NewShared(b, func(args []*Node) []*Node {
				y := args[0]
				for range 20 { // added like a bias: the backend finds only by trying that it has no vector code for this
					y = Add(MulScalar(y, 0.5), Reshape(ReduceMax(y, 0, 2), 1, 3, 1))
				}
				return []*Node{y}
			})
			if err != nil {
				t.Fatal(err)
			}
			err = Parallel(8, 4, func(int) error {
				x := tensors.FromValue([][][]float32{{{1, 2}, {3, 4}, {5, 6}}, {{7, 8}, {9, 10}, {11, 12}}})
				defer Free(x)
				out, err := graph.Call(x)
				Free(out...)
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			graph.Finalize()
		}
	})
}

// TestCrew: no device computes more at a time than its workers.
func TestCrew(t *testing.T) {
	crew := Crew{Workers: 2, Devices: 3}
	var busy [3]atomic.Int32
	var calls atomic.Int32
	err := crew.Each(60, func(_ int, device compute.DeviceNum) error {
		if n := busy[device].Add(1); n > 2 {
			t.Errorf("%d at the same time on device %d", n, device)
		}
		calls.Add(1)
		runtime.Gosched()
		busy[device].Add(-1)
		return nil
	})
	if err != nil || calls.Load() != 60 || crew.AtOnce() != 6 || (Crew{}).AtOnce() != 1 {
		t.Errorf("%d of 60 calls, %d at once, error %v", calls.Load(), crew.AtOnce(), err)
	}
}
