package pdq

import (
	"context"
	"fmt"
	"math"
	"os"
	"testing"

	"github.com/gomlx/compute"

	"github.com/pdquant/pdquant/datasets"
	"github.com/pdquant/pdquant/internal/soaked"
	"github.com/pdquant/pdquant/models/arch"
)

// TestTeachers checks that the shipped teachers have the accuracies in their records, and those that pdquant promises.
func TestTeachers(t *testing.T) {
	if testing.Short() {
		t.Skip("takes long; run without -short")
	}
	promised := map[string]float64{"resnet8": 90, "resnet20": 92.5, "mobilenetv2": 91, "regnetx": 91}
	eachBackend(t, func(t *testing.T, b compute.Backend) {
		test, err := datasets.FashionMNISTTest()
		if err != nil {
			t.Fatal(err)
		}
		for name, least := range promised {
			whole := b.String() != "go" && (name == "resnet8" || soaked.Long()) // otherwise it would take minutes
			test := test
			if !whole && b.String() == "go" {
				test = test.Slice(0, 200)
			} else if !whole {
				test = test.Slice(0, 1000)
			}
			teacher, err := arch.LoadTeacher(name)
			if err != nil {
				t.Fatal(err)
			}
			score, err := EvaluateTeacher(context.Background(), b, MachineConfig{}, teacher.Network, teacher.Weights, test, nil)
			if err != nil {
				t.Fatal(err)
			}
			acc, se := score.Accuracy()
			t.Logf("%s: %.2f ± %.2f on %d images; record: %s", name, 100*acc, 100*se, test.Len(), teacher.Record["top1"])
			var recorded float64
			if _, err := fmt.Sscanf(teacher.Record["top1"], "%f%%", &recorded); err != nil {
				t.Fatalf("%s: record %q: %v", name, teacher.Record["top1"], err)
			}
			if recorded < least {
				t.Errorf("%s: recorded %.2f %%, promised %.2f", name, recorded, least)
			}
			tolerance := 0.0201 // percentage points: 2 of 10,000 images may be classified differently on another processor
			if !whole {
				tolerance = 4 * 100 * se
			}
			if math.Abs(100*acc-recorded) > tolerance {
				t.Errorf("%s: %.2f %%, recorded %.2f", name, 100*acc, recorded)
			}
			info, err := os.Stat("../models/arch/teachers/" + name + ".safetensors")
			if err != nil {
				t.Fatal(err)
			}
			if info.Size() > 1.5e6 {
				t.Errorf("%s has %d bytes, more than 1.5 MB", name, info.Size())
			}
		}
	})
}
