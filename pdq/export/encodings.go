package export

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strconv"

	"github.com/pdquant/pdquant/pdq"
)

// encoding is the quantiser of a tensor as AIMET writes it. The value of level k is (k+Offset)·Scale.
type encoding struct {
	Name      string    `json:"name"`
	Kind      string    `json:"enc_type"` // "PER_CHANNEL" or "PER_TENSOR"
	Type      string    `json:"dtype"`    // "INT"
	Bits      int       `json:"bw"`
	Symmetric bool      `json:"is_sym"`
	Scale     []float32 `json:"scale"`
	Offset    []int     `json:"offset"`
}

// Encodings writes the scales and zero points of s as encodings of AIMET, version 1.0.0: a JSON file that names the
// tensors as ONNX does, or with name(layer) in place of each layer's name, unless name is nil. An offset is the zero
// point times -1. It returns the errors of WriteTSV, and one for a zero point that isn't a whole number.
func Encodings(w io.Writer, q *pdq.Quantizer, s pdq.Student, name func(layer string) string) error {
	all, err := quantisers(q, s)
	if err != nil {
		return fmt.Errorf("export: encodings: %w", err)
	}
	file := struct {
		Version     string     `json:"version"`
		Producer    string     `json:"producer"`
		Activations []encoding `json:"activation_encodings"`
		Params      []encoding `json:"param_encodings"`
		Excluded    []string   `json:"excluded_layers"`
	}{"1.0.0", "pdquant", []encoding{}, []encoding{}, []string{}}
	for _, t := range all {
		e := encoding{Name: renamed(name, t.layer), Kind: "PER_TENSOR", Type: "INT", Bits: t.bits, Scale: t.scale}
		for _, z := range t.zero {
			if z != float32(math.Trunc(float64(z))) {
				return fmt.Errorf("export: encodings: %s has the zero point %g, but AIMET's are whole; write TSV", t.layer, z)
			}
			e.Offset = append(e.Offset, -int(z))
		}
		if t.weight {
			e.Name, e.Kind = e.Name+".weight", "PER_CHANNEL"
			file.Params = append(file.Params, e)
		} else {
			file.Activations = append(file.Activations, e)
		}
	}
	data, err := json.MarshalIndent(file, "", " ")
	if err == nil {
		_, err = w.Write(append(data, '\n'))
	}
	if err != nil {
		return fmt.Errorf("export: encodings: writing: %w", err)
	}
	return nil
}

// WriteTSV writes the scales and zero points of s as tab-separated values: a header, then a line for each output and
// each output channel of a weight. The value of level k is (k-zero)·scale. It returns an error if s lacks quantisers of
// q's plan.
func WriteTSV(w io.Writer, q *pdq.Quantizer, s pdq.Student) error {
	all, err := quantisers(q, s)
	if err != nil {
		return fmt.Errorf("export: TSV: %w", err)
	}
	text := []byte("tensor\tchannel\tbits\tscale\tzero\n")
	for _, t := range all {
		for o, scale := range t.scale {
			name, channel := t.layer+".output", ""
			if t.weight {
				name, channel = t.layer+".weight", strconv.Itoa(o)
			}
			text = fmt.Appendf(text, "%s\t%s\t%d\t%v\t%v\n", name, channel, t.bits, scale, t.zero[o])
		}
	}
	if _, err := w.Write(text); err != nil {
		return fmt.Errorf("export: TSV: writing: %w", err)
	}
	return nil
}

// tensorQuant is the quantiser of a layer's weight or output.
type tensorQuant struct {
	layer       string
	weight      bool
	bits        int
	scale, zero []float32 // of each output channel of a weight, or of the output
}

// quantisers lists the quantisers of s in the network's order.
func quantisers(q *pdq.Quantizer, s pdq.Student) (all []tensorQuant, err error) {
	if err := complete(q, s); err != nil {
		return nil, err
	}
	n, _ := q.Folded()
	for _, l := range n.Layers {
		if w, ok := s.Weights[l.Name]; ok {
			all = append(all, tensorQuant{l.Name, true, w.Bits, w.Scale, w.Zero})
		}
		if a, ok := s.Acts[l.Name]; ok {
			all = append(all, tensorQuant{l.Name, false, a.Bits, []float32{a.Scale}, []float32{a.Zero}})
		}
	}
	return all, nil
}
