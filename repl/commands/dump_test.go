package commands

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"codeberg.org/sbinet/npyio/npz"
)

// TestDump: what dump writes is what the student computes with, and NumPy reads it, where it is installed.
func TestDump(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "conv.npz")
	sh, out := testShell(t, "run conv1; run layer1.0", "dump layer1.0.conv1 "+path, "dump layer1.0.relu1 "+dir+"/relu.NPZ",
		"dump layer1.0.add images=2 file="+dir+"/add.npz", "dump fc "+dir+"/fc.npz")
	if !strings.Contains(out.String(), "layer1.0.conv1 on 8 images in "+path) {
		t.Errorf("printed %s", out)
	}
	file, err := npz.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var levels []uint8
	var scale, zero []float32
	if err := file.Read("weight_levels.npy", &levels); err != nil {
		t.Error(err)
	}
	if err := file.Read("weight_scale.npy", &scale); err != nil {
		t.Error(err)
	}
	if err := file.Read("weight_zero.npy", &zero); err != nil {
		t.Error(err)
	}
	w := sh.State.student.Weights["layer1.0.conv1"]
	if string(levels) != string(w.Levels) || len(scale) != 16 || scale[3] != w.Scale[3] || zero[3] != w.Zero[3] {
		t.Errorf("%d levels, scales %v, zero points %v", len(levels), scale, zero)
	}
	for line, want := range map[string]string{
		"dump fc " + dir:                    "NumPy's archives end in .npz",
		"dump fc " + dir + "/a.npy":         "NumPy's archives end in .npz; dump fc " + dir + "/a.npy.npz",
		"dump fc " + dir + "/no/a.npz":      "can't be written",
		"dump fd " + dir + "/a.npz":         `has no layer "fd"; did you mean fc?`,
		"dump fc images=0 a.npz":            "images=0; give",
		"dump fc " + path + "/a.npz":        "can't be written",
		"dump fc images=2 file= " + "x.npz": "is given twice",
	} {
		if err := sh.Line(t.Context(), line); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %s", line, err, want)
		}
	}
	const program = `import sys, numpy as np
d = sys.argv[1] + "/"
a = np.load(d + "conv.npz")
assert a["input"].shape == a["output"].shape == (8, 16, 28, 28) and a["input"].dtype == np.float32, a["input"].shape
w = (a["weight_levels"].astype("f4") - a["weight_zero"][:, None, None, None]) * a["weight_scale"][:, None, None, None]
assert w.shape == (16, 16, 3, 3) and a["weight_levels"].max() == 3
x = np.pad(a["input"], ((0, 0), (0, 0), (1, 1), (1, 1)))
y = sum(np.einsum("nchw,oc->nohw", x[:, :, i:i+28, j:j+28], w[:, :, i, j]) for i in range(3) for j in range(3))
y += a["bias"][:, None, None]
assert np.abs(y - a["output"]).max() < 1e-3, np.abs(y - a["output"]).max()
r = np.load(d + "relu.NPZ")
assert np.abs(r["input"] - a["output"]).max() < 1e-3
assert r["output_levels"].max() <= 3 and r["output_scale"].shape == () and (r["output"] >= 0).all()
assert sorted(np.load(d + "add.npz")) == ["input", "input2", "output"]
f = np.load(d + "fc.npz")
assert f["input"].shape == (8, 64) and f["weight"].shape == (10, 64)
print("read")
`
	script := filepath.Join(dir, "read.py")
	if err := os.WriteFile(script, []byte(program), 0o644); err != nil {
		t.Fatal(err)
	}
	python := "/usr/bin/python3" // Debian's, which has Debian's NumPy
	if err := exec.Command(python, "-c", "import numpy").Run(); err != nil {
		t.Skip("no NumPy: apt-get install python3-numpy")
	}
	if got, err := exec.Command(python, script, dir).CombinedOutput(); err != nil || string(got) != "read\n" {
		t.Errorf("NumPy: %s, error %v", got, err)
	}
}
