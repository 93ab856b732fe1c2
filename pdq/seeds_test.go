package pdq

import (
	"context"
	"reflect"
	"testing"

	"github.com/gomlx/compute"
)

// TestRunSeeds: side by side gives what one after the other does.
func TestRunSeeds(t *testing.T) {
	eachBackend(t, func(t *testing.T, b compute.Backend) {
		p, c, ctx := tinyProblem(t, 20), tinyConfig(t), context.Background()
		got, err := RunSeeds(ctx, b, p, Method{"PD-Quant", c}, []uint64{3, 4}, p.Calibration, nil)
		if err != nil {
			t.Fatal(err)
		}
		for i, seed := range []uint64{3, 4} {
			c.Seed = seed
			want, err := Run(ctx, b, p, Method{"PD-Quant", c}, p.Calibration, nil)
			if err != nil {
				t.Fatal(err)
			}
			if got[i].Seed != seed || got[i].Seconds <= 0 || !reflect.DeepEqual(got[i].Student, want.Student) || !reflect.DeepEqual(got[i].Test, want.Test) {
				t.Errorf("seed %d: side by side and alone differ", seed)
			}
		}
		if reflect.DeepEqual(got[0].Student, got[1].Student) {
			t.Error("two seeds give the same student")
		}
		if _, err := RunSeeds(ctx, b, p, Method{"PD-Quant", c}, nil, p.Calibration, nil); err == nil {
			t.Error("no seeds are no error")
		}
	})
}
