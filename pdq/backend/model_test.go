package backend

import (
	"strings"
	"testing"
)

// TestOpenModel: what isn't a model is an error.
func TestOpenModel(t *testing.T) {
	for _, data := range []string{"", "no model", strings.Repeat("\x08", 1000)} {
		m, err := OpenModel([]byte(data), ModelOptions{})
		if err == nil || !strings.HasPrefix(err.Error(), "backend: ONNX model: ") {
			t.Errorf("%.10q: error %v", data, err)
		}
		if m != nil {
			t.Errorf("%.10q: a model", data)
		}
	}
	if m, err := OpenModel(nil, ModelOptions{}); m != nil || err == nil {
		t.Errorf("model %v, error %v", m, err)
	}
}
