package export

import (
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute-onnx/support/protos"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"google.golang.org/protobuf/proto"

	"github.com/pdquant/pdquant/models"
	"github.com/pdquant/pdquant/pdq/backend"
	"github.com/pdquant/pdquant/pdq/internal/exec"
)

// sample is a layer's op, and shapes for one image that it can read.
type sample struct {
	op     models.Op
	shapes [][]int
}

// samples has each kind, in the variants that ONNX writes differently.
func samples() []sample {
	one := func(op models.Op, shape ...int) sample { return sample{op, [][]int{shape}} }
	two := func(op models.Op, a, b []int) sample { return sample{op, [][]int{a, b}} }
	window := models.Window{Kernel: [2]int{3, 2}, Stride: [2]int{2, 1}, Dilation: [2]int{1, 1},
		Pad: models.Padding{Top: 1, Left: 1, Right: 1}}
	dilated := window
	dilated.Dilation = [2]int{1, 2}
	all := []sample{one(models.Conv{In: 4, Out: 6, Window: dilated, Groups: 2, Bias: true}, 4, 7, 8),
		one(models.Conv{In: 4, Out: 4, Window: models.SquareWindow(3, 1, 1), Groups: 4}, 4, 7, 8),
		one(models.Linear{In: 4, Out: 3}, 4), one(models.Linear{In: 4, Out: 3}, 2, 5, 4),
		one(models.BatchNorm{Channels: 4, Eps: 1e-3}, 4, 3, 3), one(models.ScaleShift{Channels: 4}, 4, 3, 3),
		one(models.ScaleShift{Channels: 4}, 4), one(models.ReLU{}, 4, 3), one(models.ReLU6{}, 4, 3),
		two(models.Sum{}, []int{4, 3}, []int{4, 3}), one(models.PadShortcut{In: 4, Out: 7, Stride: 2}, 4, 5, 6),
		one(models.PadShortcut{In: 4, Out: 7, Stride: 1}, 4, 5, 6), one(models.MaxPooling{Window: dilated}, 4, 7, 8),
		one(models.GlobalAvgPooling{}, 4, 5, 6), one(models.AvgPooling{Window: window}, 4, 7, 8),
		one(models.AvgPooling{Window: dilated}, 4, 7, 8), one(models.AvgPooling{Window: window, CountPadding: true}, 4, 7, 8),
		one(models.AvgPooling{Window: models.SquareWindow(2, 2, 0), CountPadding: true, Beyond: [2]int{1, 0}}, 4, 7, 8),
		one(models.Levels{Scale: 0.5, Low: -2, High: 1}, 4, 3),
		one(models.PReLU{Slope: []int{4, 1}}, 4, 3), two(models.MatrixProduct{}, []int{2, 3, 4}, []int{2, 4, 5}),
		two(models.MatrixProduct{}, []int{3, 4}, []int{2, 4, 5}), one(models.SoftMax{Axis: 1}, 4, 3),
		one(models.SoftMax{Log: true}, 4, 3), one(models.LayerNorm{Dims: []int{3, 2}, Eps: 1e-3}, 4, 3, 2),
		one(models.LayerNorm{Dims: []int{2}, Eps: 1e-3, Affine: true, Bias: true}, 4, 3, 2),
		one(models.RMSNorm{Dims: []int{3, 2}, Eps: 1e-3}, 4, 3, 2),
		one(models.LRN{Size: 3, Alpha: 0.1, Beta: 0.75, Bias: 1}, 4, 3, 2),
		one(models.GroupNorm{Channels: 4, Groups: 2, Eps: 1e-3}, 4, 3, 2), one(models.Reshaping{To: []int{6, 4}}, 4, 3, 2),
		one(models.Transposing{Perm: []int{2, 0, 1}}, 4, 3, 2),
		two(models.Concat{Axis: 1, Count: 2}, []int{4, 3}, []int{4, 2}), one(models.Expand{To: []int{5, 4, 3}}, 4, 1),
		one(models.Tile{Repeats: []int{2, 3}}, 4, 3), one(models.Slicing{Axis: 1, Start: 4, Stop: -1, Step: -2}, 4, 6),
		one(models.Slicing{Axis: 1, Start: 1, Stop: 4, Step: 2}, 4, 6),
		one(models.Gathering{Axis: 1, Indices: []int{2, 0, 2}}, 4, 3),
		one(models.Gathering{Axis: 0, Indices: []int{2}, Drop: true}, 4, 3), one(models.Constant{Dims: []int{4, 3}}),
		one(models.PadAxes{Before: []int{0, 1}, After: []int{0, 2}, Value: 0.5}, 4, 5),
		one(models.PadAxes{Before: []int{0, -1}, After: []int{1, 2}}, 4, 5)}
	for _, f := range []models.BinaryFunc{models.BinaryAdd, models.BinarySub, models.BinaryMul, models.BinaryDiv,
		models.BinaryMax, models.BinaryMin} {
		all = append(all, two(models.Binary{Func: f}, []int{4, 3}, []int{3}),
			one(models.WithConstant{Func: f, Dims: []int{2, 4, 1}, Flip: true}, 4, 3),
			one(models.WithConstant{Func: f, Dims: []int{3}}, 4, 3))
	}
	for f := range models.FuncCos + 1 {
		all = append(all, one(models.Pointwise{Func: f, A: 0.3, B: 1.2}, 4, 3))
	}
	for _, mode := range []models.PadMode{models.PadReflect, models.PadEdge, models.PadWrap} {
		all = append(all, one(models.PadAxes{Before: []int{0, 1}, After: []int{0, 2}, Mode: mode}, 4, 5))
	}
	for f := range models.ReduceByLogSumExp + 1 {
		all = append(all, one(models.Reduce{Func: f, Axes: []int{1}, Keep: true}, 4, 3, 2),
			one(models.Reduce{Func: f, Axes: []int{0, 2}}, 4, 3, 2), one(models.Reduce{Func: f, Axes: []int{1, 0}}, 4, 3))
	}
	for mode := range models.ResizeCubic + 1 {
		for coord := range models.ResizeAsymmetric + 1 {
			all = append(all, one(models.Resize{Size: []int{2, 7, 9}, Mode: mode, Coord: coord, CubicA: -0.75}, 2, 5, 6),
				one(models.Resize{Size: []int{2, 7, 9}, Scale: []float64{1, 1.5, 1.5}, Mode: mode, Coord: coord, CubicA: -0.75},
					2, 5, 6))
		}
	}
	return all
}

// TestKinds: ONNX Runtime computes of every kind of layer what its op does.
func TestKinds(t *testing.T) {
	bk, _, err := backend.Open("onnx")
	if err != nil {
		t.Skip(err)
	}
	seen := map[reflect.Type]bool{}
	for _, s := range samples() {
		seen[reflect.TypeOf(s.op)] = true
		t.Run(fmt.Sprintf("%s %v", s.op.Kind(), s.shapes), func(t *testing.T) { sameOp(t, bk, s) })
	}
	for _, op := range models.Ops() {
		if !seen[reflect.TypeOf(op)] {
			t.Errorf("no sample of %s", op.Kind())
		}
	}
}

// sameOp compares the op with a model that has it alone. It reads the image and, if the op takes two tensors, another
// that is a constant.
func sameOp(t *testing.T, bk compute.Backend, s sample) {
	rng := rand.New(rand.NewPCG(7, 7))
	numbers := func(dims []int) []float32 {
		out := make([]float32, exec.Product(dims))
		for i := range out {
			out[i] = 0.1 + 1.8*rng.Float32() // positive, for logarithms, roots and variances
		}
		return out
	}
	weights := models.Weights{}
	for _, p := range s.op.Params() {
		weights["x."+p.Name] = tensors.FromFlatDataAndDimensions(numbers(p.Shape), p.Shape...)
	}
	names := []string{models.Image, "other"}
	l := models.Layer{Name: "x", Inputs: names[:s.op.Inputs()], Op: s.op}
	b := &builder{weights: weights, read: map[string]string{models.Image: Input, "other": "other"},
		shapes: map[string][]int{}, single: map[string]bool{}, graph: &protos.GraphProto{Name: "x"}}
	var ins []*tensors.Tensor
	var args []any
	for i, shape := range s.shapes[:s.op.Inputs()] {
		b.shapes[names[i]] = shape
		dims := append([]int{3}, shape...)
		ins = append(ins, tensors.FromFlatDataAndDimensions(numbers(dims), dims...))
		args = append(args, ins[i])
		if i > 0 {
			b.constant(floatTensor(names[i], dims, tensors.MustCopyFlatData[float32](ins[i])))
		}
	}
	if err := b.layer(l); err != nil {
		t.Fatal(err)
	}
	if nodes := b.graph.Node; nodes[len(nodes)-1].Output[0] != "x" || b.single["x"] != (len(ins) == 0) {
		t.Fatalf("nodes %v, the same for all images: %v", nodes, b.single["x"])
	}
	if len(ins) == 0 {
		return // TestClassToken has it
	}
	want := graph.MustNewExec(bk, func(xs []*graph.Node) *graph.Node {
		return s.op.Graph(xs, l.Scoped(exec.Constants(xs[0].Graph(), weights)))
	}).MustCall(args...)[0]
	out, err := s.op.Shape(s.shapes)
	if err != nil {
		t.Fatal(err)
	}
	for _, opset := range []int{max(b.opset, firstOpset), lastOpset} {
		got := run(t, b, opset, ins[0], "x", s.shapes[0], out)
		for i, x := range tensors.MustCopyFlatData[float32](want) {
			if d := math.Abs(float64(got[i] - x)); !(d <= 2e-5*max(1, math.Abs(float64(x)))) {
				t.Fatalf("opset %d: element %d is %g, want %g", opset, i, got[i], x)
			}
		}
	}
}

// TestClassToken: a constant is joined to every image's rows.
func TestClassToken(t *testing.T) {
	if _, _, err := backend.Open("onnx"); err != nil {
		t.Skip(err)
	}
	b := &builder{weights: models.Weights{"token.value": tensors.FromValue([][]float32{{7, 8}})},
		read: map[string]string{models.Image: Input}, shapes: map[string][]int{models.Image: {2, 2}, "token": {1, 2}},
		single: map[string]bool{}, graph: &protos.GraphProto{Name: "x"}}
	for _, l := range []models.Layer{{Name: "token", Op: models.Constant{Dims: []int{1, 2}}},
		{Name: "rows", Inputs: []string{"token", models.Image}, Op: models.Concat{Count: 2}}} {
		if err := b.layer(l); err != nil {
			t.Fatal(err)
		}
	}
	images := tensors.FromValue([][][]float32{{{1, 2}, {3, 4}}, {{5, 6}, {9, 10}}})
	got := run(t, b, firstOpset, images, "rows", []int{2, 2}, []int{3, 2})
	if want := []float32{7, 8, 1, 2, 3, 4, 7, 8, 5, 6, 9, 10}; !slices.Equal(got, want) {
		t.Errorf("rows %v, want %v", got, want)
	}
}

// run returns what ONNX Runtime computes of x as the result y of the builder's graph.
func run(t *testing.T, b *builder, opset int, x *tensors.Tensor, y string, in, out []int) []float32 {
	t.Helper()
	b.graph.Input = []*protos.ValueInfoProto{floatValue(Input, in...)}
	b.graph.Output = []*protos.ValueInfoProto{floatValue(y, out...)}
	data, err := proto.Marshal(&protos.ModelProto{IrVersion: irVersion(opset), Graph: b.graph,
		OpsetImport: []*protos.OperatorSetIdProto{{Version: int64(opset)}}})
	if err != nil {
		t.Fatal(err)
	}
	m, err := backend.OpenModel(data, backend.ModelOptions{Output: y})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = m.Close() }()
	got, err := m.Run(tensors.MustCopyFlatData[float32](x), x.Shape().Dimensions...)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// TestUnknown: a kind that can't be written is an error.
func TestUnknown(t *testing.T) {
	b := &builder{read: map[string]string{"a": "a"}, single: map[string]bool{}, graph: &protos.GraphProto{}}
	err := b.layer(models.Layer{Name: "x", Inputs: []string{"a"}, Op: unknown{}})
	if err == nil || !strings.Contains(err.Error(), "the kind unknown can't be written") {
		t.Errorf("error %v", err)
	}
}

// unknown is a kind of layer that ONNX can't write.
type unknown struct{ models.ReLU }

func (unknown) Kind() string { return "unknown" }

// TestVersions: file formats are those that came with the opsets.
func TestVersions(t *testing.T) {
	// https://github.com/onnx/onnx/blob/main/docs/Versioning.md
	for opset, want := range map[int]int64{13: 7, 14: 7, 15: 8, 18: 8, 19: 9, 20: 9, 21: 10, 22: 10, 23: 11, 24: 12,
		25: 13} {
		if got := irVersion(opset); got != want {
			t.Errorf("opset %d has IR version %d, want %d", opset, got, want)
		}
	}
}

// TestPacking: levels lie in a byte from the lowest bits on.
func TestPacking(t *testing.T) {
	for bits, want := range map[int]string{2: "\x39\x02", 3: "\x21\x03\x02", 4: "\x21\x03\x02", 5: "\x01\x02\x03\x00\x02",
		8: "\x01\x02\x03\x00\x02"} {
		if got := packedType(bits).tensor("", nil, []uint8{1, 2, 3, 0, 2}).RawData; string(got) != want {
			t.Errorf("%d bits: %x, want %x", bits, got, want)
		}
	}
}
