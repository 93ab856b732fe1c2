package onnx

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute-onnx/support/protos"
	"github.com/gomlx/gomlx/core/tensors"
	"google.golang.org/protobuf/proto"

	"github.com/pdquant/pdquant/internal/nettest"
	"github.com/pdquant/pdquant/internal/soaked"
	"github.com/pdquant/pdquant/internal/testbackend"
)

var conform = flag.Bool("conform", false, "fetch ONNX's conformance tests, and write their table")

// conformanceData returns the folder of ONNX's conformance tests.
func conformanceData(t *testing.T) string {
	t.Helper()
	return filepath.Join(pypi(t, "onnx-tests", "onnx==1.19.0"), "onnx", "backend", "test", "data")
}

// pypi returns the folder of a package of PyPI, which -conform fetches if need be.
func pypi(t *testing.T, folder, name string) string {
	t.Helper()
	return nettest.PyPI(t, folder, name, *conform, "go test ./models/onnx -conform")
}

// excused are tests whose results differ, and why that is right for networks.
func excused() map[string]string {
	const (
		narrow   = "constants don't keep the width of integers: 4 bits don't wrap"
		bfloat16 = "constants of bfloat16 are kept as float32, unrounded"
		corners  = "aligned corners are those of ONNX Runtime, which takes the rounded size"
	)
	return map[string]string{
		"node/test_cast_FLOAT_to_BFLOAT16":                        bfloat16,
		"node/test_castlike_FLOAT_to_BFLOAT16":                    bfloat16,
		"node/test_castlike_FLOAT_to_BFLOAT16_expanded":           bfloat16,
		"node/test_castlike_FLOAT16_to_INT4":                      narrow,
		"node/test_castlike_FLOAT16_to_UINT4":                     narrow,
		"node/test_castlike_FLOAT_to_INT4":                        narrow,
		"node/test_castlike_FLOAT_to_UINT4":                       narrow,
		"node/test_resize_downsample_scales_cubic_align_corners":  corners,
		"node/test_resize_downsample_scales_linear_align_corners": corners,
	}
}

// conformance is one of ONNX's tests.
type conformance struct {
	name string // node/test_relu
	dir  string
	fragment
	outputs map[string]*constant
}

// load reads the test in dir, whose name in the table is name.
func load(dir, name string) (*conformance, error) {
	c := &conformance{name: name, dir: dir, outputs: map[string]*constant{}}
	c.model, c.inputs = &protos.ModelProto{}, map[string]*protos.TensorProto{}
	if err := message(filepath.Join(dir, "model.onnx"), c.model); err != nil {
		return nil, err
	}
	return c, nil
}

// values reads the inputs and the outputs.
func (c *conformance) values() error {
	read := func(kind string, values []*protos.ValueInfoProto, set func(t *protos.TensorProto) error) error {
		for i, v := range values {
			if v.GetType().GetTensorType() == nil {
				return fmt.Errorf("%s %s is no tensor", kind, v.GetName())
			}
			t := &protos.TensorProto{}
			err := message(filepath.Join(c.dir, "test_data_set_0", fmt.Sprintf("%s_%d.pb", kind, i)), t)
			if err != nil {
				return err
			}
			t.Name = v.GetName()
			if err := set(t); err != nil {
				return err
			}
		}
		return nil
	}
	weights := map[string]bool{}
	for _, t := range c.model.GetGraph().GetInitializer() {
		weights[t.GetName()] = true
	}
	inputs := slices.DeleteFunc(slices.Clone(c.model.GetGraph().GetInput()),
		func(v *protos.ValueInfoProto) bool { return weights[v.GetName()] })
	err := read("input", inputs, func(t *protos.TensorProto) error { c.inputs[t.Name] = t; return nil })
	if err != nil {
		return err
	}
	return read("output", c.model.GetGraph().GetOutput(), func(t *protos.TensorProto) error {
		k, err := decode(t, nil)
		c.outputs[t.Name] = k
		return err
	})
}

func message(path string, m proto.Message) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return proto.Unmarshal(data, m)
}

// row is the table's row that c belongs to: its only operator, or its folder if it has several.
func (c *conformance) row() string {
	kinds := map[string]bool{}
	for _, n := range c.model.GetGraph().GetNode() {
		if n.GetOpType() != "Constant" || len(c.model.GetGraph().GetNode()) == 1 {
			kinds[n.GetOpType()] = true
		}
	}
	if len(kinds) == 1 {
		return slices.Collect(maps.Keys(kinds))[0]
	}
	return filepath.Dir(c.name) + ", several operators"
}

// run imports c in all ways. refused is why none works; err is what a way that works does wrong.
func (c *conformance) run(b compute.Backend) (refused, err error) {
	if err := c.values(); err != nil {
		return err, nil
	}
	for _, name := range slices.Sorted(maps.Keys(c.outputs)) {
		c.output = name
		var first error
		works := false
		for _, w := range c.ways() {
			if works && len(w.computed) > 0 && !*conform && !soaked.Long() {
				continue // the usual form of the tests: one way, and constants
			}
			got, why, err := c.attempt(b, w)
			if why != nil && first == nil {
				first = why
			}
			if why != nil {
				continue
			}
			works = true
			if err == nil {
				err = compare(got, c.outputs[name])
			}
			if err != nil {
				return nil, fmt.Errorf("%s of %s: %w", name, w, err)
			}
		}
		second := errors.Is(first, errUnset) && name != c.model.GetGraph().GetOutput()[0].GetName()
		if !works && !second { // few operators' second outputs are read
			return first, nil
		}
	}
	return nil, nil
}

// attempt is run of one way; a panic is an error.
func (c *conformance) attempt(b compute.Backend, w way) (got result, refused, err error) {
	defer func() {
		if p := recover(); p != nil {
			refused, err = nil, fmt.Errorf("panic: %v", p)
		}
	}()
	return c.fragment.run(b, w)
}

// compare compares as ONNX's own runner does.
func compare(got result, want *constant) error {
	if !slices.Equal(got.dims, want.dims) {
		return fmt.Errorf("shape %v, want %v", got.dims, want.dims)
	}
	for i, y := range want.expected(1) {
		x := got.data[i]
		if math.IsNaN(y) != math.IsNaN(x) || x != y && math.Abs(x-y) > 1e-5+1e-3*math.Abs(y) {
			return fmt.Errorf("element %d is %g, want %g", i, x, y)
		}
	}
	return nil
}

// tally is a row of the table.
type tally struct {
	passed, refused, excused, failed int
	reasons                          []string // of those that are refused or excused
}

// TestConformance runs ONNX's tests of all operators that are read.
func TestConformance(t *testing.T) {
	data := conformanceData(t)
	dirs, err := filepath.Glob(filepath.Join(data, "*", "test_*", "model.onnx"))
	if err != nil || len(dirs) == 0 {
		t.Fatalf("no tests in %s: %v", data, err)
	}
	rows := map[string]*tally{}
	b := testbackend.Any(t)
	for _, path := range dirs {
		dir := filepath.Dir(path)
		name, err := filepath.Rel(data, dir)
		if err != nil {
			t.Fatal(err)
		}
		c, err := load(dir, name)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if unknown(c.model.GetGraph().GetNode(), operators()) != nil {
			continue
		}
		row := rows[c.row()]
		if row == nil {
			row = &tally{}
			rows[c.row()] = row
		}
		refused, err := c.run(b)
		switch {
		case refused != nil:
			row.refused++
			row.reasons = append(row.reasons, reason(refused))
			t.Logf("%s: refused: %v", name, refused)
		case err != nil && excused()[name] == "":
			row.failed++
			t.Errorf("%s: %v", name, err)
		case err != nil:
			row.excused++
			row.reasons = append(row.reasons, excused()[name])
		case excused()[name] != "":
			t.Errorf("%s passes, but is excused: %s", name, excused()[name])
		default:
			row.passed++
		}
	}
	writeTable(t, rows)
}

// reason returns an error without the node's name.
func reason(err error) string {
	return regexp.MustCompile(`^node [^ ]+ \([A-Za-z0-9]+\): `).ReplaceAllString(err.Error(), "")
}

// writeTable compares the table with testdata/conformance.tsv, or writes it.
func writeTable(t *testing.T, rows map[string]*tally) {
	t.Helper()
	var text strings.Builder
	text.WriteString("operator\tpassed\trefused\texcused\tfailed\treasons\n")
	for _, name := range slices.Sorted(maps.Keys(rows)) {
		r := rows[name]
		slices.Sort(r.reasons)
		fmt.Fprintf(&text, "%s\t%d\t%d\t%d\t%d\t%s\n", name, r.passed, r.refused, r.excused, r.failed,
			strings.Join(slices.Compact(r.reasons), " | "))
	}
	path := filepath.Join("testdata", "conformance.tsv")
	if *conform {
		if err := os.WriteFile(path, []byte(text.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil || string(want) != text.String() {
		t.Errorf("%s isn't what the tests give; write it with -conform: %v", path, err)
	}
}

// TestLight imports ONNX's whole networks, whose weights are constants that nodes compute.
func TestLight(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(conformanceData(t), "light", "*.onnx"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no networks: %v", err)
	}
	// ONNX Runtime rounds equal channels unlike each other, which shows in a softmax of SqueezeNet's logits of 10¹⁰.
	b := testbackend.All(t)["go"]
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".onnx")
		t.Run(name, func(t *testing.T) {
			if slices.Contains([]string{"light_vgg19", "light_bvlc_alexnet", "light_zfnet512"}, name) {
				soaked.Only(t, "large")
			}
			m, err := Open(file, Options{})
			if err != nil {
				t.Fatal(err)
			}
			out := &protos.TensorProto{}
			if err := message(strings.TrimSuffix(file, ".onnx")+"_output_0.pb", out); err != nil {
				t.Fatal(err)
			}
			want, err := decode(out, nil)
			if err != nil {
				t.Fatal(err)
			}
			n := m.Network
			dims := []int{n.Channels, n.Height, n.Width}
			x := make([]float32, size(dims)) // as ONNX's runner generates it
			for i := range x {
				x[i] = float32(float64(i) / float64(len(x)))
			}
			run := &made{image: dims, layers: n.Layers, weights: m.Weights}
			y, err := run.compute(b, tensors.FromFlatDataAndDimensions(x, slices.Concat([]int{1}, dims)...))
			if err != nil {
				t.Fatal(err)
			}
			got := &constant{floats: tensors.MustCopyFlatData[float32](y)}
			if err := compare(result{want.dims, got.expected(1)}, want); err != nil {
				t.Error(err)
			}
			t.Logf("%d layers, %d units", len(n.Layers), len(n.Units))
		})
	}
}
