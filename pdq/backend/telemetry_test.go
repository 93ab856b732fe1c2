package backend

import (
	"os"
	"os/exec"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"
)

// TestNoTelemetry opens ONNX Runtime in a process of its own and looks for the files that its
// telemetry leaves behind.
func TestNoTelemetry(t *testing.T) {
	const child = "PDQUANT_TEST_OPEN_ONNX"
	if os.Getenv(child) != "" {
		b, _, err := Open("onnx")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := CallOnce(b, func(x *Node) *Node { return OnePlus(x) }, []float32{1, 2}); err != nil {
			t.Fatal(err)
		}
		return
	}
	if _, err := findONNX(); err != nil {
		t.Skip(err)
	}
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0], "-test.run=^TestNoTelemetry$")
	cmd.Dir = dir
	cmd.Env = []string{child + "=1", "TMPDIR=" + dir, "HOME=" + os.Getenv("HOME"),
		"XDG_CACHE_HOME=" + os.Getenv("XDG_CACHE_HOME")}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		t.Errorf("opening ONNX Runtime left %s", f.Name())
	}
}
