package backend

import (
	"strings"
	"testing"
)

// TestOpenModel: what isn't a model is an error.
func TestOpenModel(t *testing.T) {
	for _, data := range []string{"", "no model", strings.Repeat("\x08", 1000)} {
		m, err := OpenModel([]byte(data), "x", "y")
		if err == nil || !strings.HasPrefix(err.Error(), "backend: ONNX model: ") {
			t.Errorf("%.10q: error %v", data, err)
		}
		if m != nil {
			t.Errorf("%.10q: a model", data)
		}
	}
	if m, err := OpenModelFile(t.TempDir()+"/none.onnx", "x", "y"); m != nil || err == nil {
		t.Errorf("model %v, error %v", m, err)
	}
	if m, err := OpenModel(nil, "x", "y"); m != nil || err == nil {
		t.Errorf("model %v, error %v", m, err)
	}
}
