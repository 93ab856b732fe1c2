package export_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/pdquant/pdquant/pdq"
	"github.com/pdquant/pdquant/pdq/export"
)

// TestEncodings: the files have the student's scales and zero points.
func TestEncodings(t *testing.T) {
	q, s := nearest(t, runtime(t), "resnet8", pdq.Bits{W: 4, A: 3})
	var file bytes.Buffer
	if err := export.Encodings(&file, q, s, nil); err != nil {
		t.Fatal(err)
	}
	var got struct {
		Version string
		Params  []struct {
			Name   string
			Bits   int       `json:"bw"`
			Kind   string    `json:"enc_type"`
			Scale  []float32 // of each channel
			Offset []float32
		} `json:"param_encodings"`
		Acts []struct {
			Name   string
			Bits   int `json:"bw"`
			Scale  []float32
			Offset []float32
		} `json:"activation_encodings"`
	}
	if err := json.Unmarshal(file.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if got.Version != "1.0.0" || len(got.Params) != len(s.Weights) || len(got.Acts) != len(s.Acts) {
		t.Errorf("version %s, %d weights, %d outputs", got.Version, len(got.Params), len(got.Acts))
	}
	for _, p := range got.Params {
		w := s.Weights[strings.TrimSuffix(p.Name, ".weight")]
		if p.Bits != w.Bits || p.Kind != "PER_CHANNEL" || len(p.Scale) != len(w.Scale) {
			t.Fatalf("%s: %d bits, %s, %d channels", p.Name, p.Bits, p.Kind, len(p.Scale))
		}
		for o, scale := range p.Scale {
			if scale != w.Scale[o] || p.Offset[o] != -w.Zero[o] {
				t.Errorf("%s, channel %d: scale %g, offset %g; want %g, %g", p.Name, o, scale, p.Offset[o], w.Scale[o], -w.Zero[o])
			}
		}
	}
	for _, p := range got.Acts {
		if a := s.Acts[p.Name]; p.Bits != a.Bits || p.Scale[0] != a.Scale || p.Offset[0] != -a.Zero {
			t.Errorf("%s: %d bits, scale %g, offset %g; want %+v", p.Name, p.Bits, p.Scale, p.Offset, a)
		}
	}
	file.Reset()
	if err := export.WriteTSV(&file, q, s); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(file.String(), "\n")
	if !strings.HasPrefix(lines[1], "conv1.weight\t0\t8\t") || !strings.HasPrefix(lines[17], "relu.output\t\t3\t") {
		t.Errorf("lines %q, %q", lines[1], lines[17])
	}
}
