package arch

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/pdquant/pdquant/internal/nettest"
	"github.com/pdquant/pdquant/models"
)

// TestRegistry: no two names are equal, and each is of a network that Design knows.
func TestRegistry(t *testing.T) {
	seen := map[string]bool{}
	for _, e := range Registry() {
		if seen[e.Name] || !slices.Contains(Designs(), e.Design) ||
			(e.File == "") != slices.Contains(TeacherNames(), e.Name) || (e.File == "") != (e.Page == "") {
			t.Errorf("%+v", e)
		}
		seen[e.Name] = true
		if found, err := Find(e.Name); err != nil || found.File != e.File {
			t.Errorf("%s: found %+v, error %v", e.Name, found, err)
		}
	}
	if _, err := Find("resnet19"); err == nil || !strings.Contains(err.Error(), `"resnet19"; choose one of mobilenetv2,`) {
		t.Errorf("unknown name: %v", err)
	}
	resnet18, err := Find("resnet18")
	if f := resnet18.Published(2, 2); err != nil || len(f) != 2 || f[0].Top1 != 53.08 || f[1].Top1 != 53.14 ||
		len(resnet18.Published(3, 3)) > 0 {
		t.Errorf("published %v, error %v", f, err)
	}
}

// TestLoadTrained reads a network's checkpoint by name.
func TestLoadTrained(t *testing.T) {
	want := hashedWeights(goldenList(t, "regnetx-600mf"))
	path := filepath.Join(t.TempDir(), "file.safetensors")
	if err := os.WriteFile(path, written(t, want, nil), 0o600); err != nil {
		t.Fatal(err)
	}
	load := func(name, path string) (*models.Network, models.Weights, error) {
		t.Helper()
		found, err := Find(name)
		if err != nil {
			t.Fatal(err)
		}
		return found.Load(path, SquareInput(3, 224, 1000))
	}
	n, got, err := load("regnetx-600mf", path)
	if err != nil {
		t.Fatal(err)
	}
	if err := nettest.SameWeights(got, want); err != nil || n.Name != "regnetx-600mf" || n.Height != 224 ||
		n.Classes != 1000 {
		t.Errorf("%s of %d pixels and %d classes: %v", n.Name, n.Height, n.Classes, err)
	}
	if _, _, err := load("resnet50", path); err == nil ||
		!strings.Contains(err.Error(), `weights for resnet50 have no tensor "conv1.weight"`) {
		t.Errorf("another network's file: %v", err)
	}
	if _, _, err := load("resnet18", ""); err == nil ||
		!strings.Contains(err.Error(), "get resnet18_imagenet.pth.tar from github.com/yhhhli/BRECQ") {
		t.Errorf("no file: %v", err)
	}
	if n, w, err := load("resnet8", ""); err != nil || n.Name != "resnet8" || n.Height != 28 || len(w) == 0 {
		t.Errorf("a shipped teacher: %v", err)
	}
}
