package onnx_test

import (
	"encoding/csv"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute-onnx/support/protos"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"github.com/pdquant/pdquant/internal/onnxzoo"
	"github.com/pdquant/pdquant/internal/testbackend"
	"github.com/pdquant/pdquant/models"
	"github.com/pdquant/pdquant/models/onnx"
	"github.com/pdquant/pdquant/pdq"
)

var update = flag.Bool("update", false, "write the golden file of units")

// zoo returns the exported architectures in testdata, filled with weights, and ONNX Runtime's logits for each.
func zoo(t *testing.T) (files []string, logits map[string][][]float64) {
	f, err := os.Open("testdata/logits.tsv")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r := csv.NewReader(f)
	r.Comma = '\t'
	rows, err := r.ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	logits = map[string][][]float64{}
	for _, row := range rows[1:] {
		var v []float64
		for _, text := range row[2:] {
			x, err := strconv.ParseFloat(text, 64)
			if err != nil {
				t.Fatal(err)
			}
			v = append(v, x)
		}
		if logits[row[0]] == nil {
			files = append(files, row[0])
		}
		logits[row[0]] = append(logits[row[0]], v)
	}
	return files, logits
}

// filled returns the graph in a file of testdata with its weights.
func filled(t *testing.T, file string) *protos.ModelProto {
	t.Helper()
	m, err := onnxzoo.Read(filepath.Join("testdata", file))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// options returns what reads a file of testdata: files of a form -open leave the size of their images open.
func options(file string) onnx.Options {
	if strings.Contains(file, "-open.") {
		return onnx.Options{Height: 64, Width: 64}
	}
	return onnx.Options{}
}

// TestOpenSize: axes that a file leaves open are an error, unless Options have them.
func TestOpenSize(t *testing.T) {
	m := filled(t, "mobilenet_v2.old-open.onnx")
	_, err := onnx.Read(m, onnx.Options{})
	want := `onnx: leaves the size of its images open: input "image" has no fixed height and width; give size=, ` +
		`as size=224`
	if !errors.Is(err, onnx.ErrOpen) || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
	r, err := onnx.Read(m, onnx.Options{Channels: 1, Height: 96, Width: 64})
	if err != nil {
		t.Fatal(err)
	}
	if n := r.Network; n.Channels != 3 || n.Height != 96 || n.Width != 64 {
		t.Errorf("images of %dx%dx%d, want 3x96x64: the file fixes the channels", n.Channels, n.Height, n.Width)
	}
	m.GetGraph().GetInput()[0].GetType().GetTensorType().GetShape().GetDim()[1].Value = nil
	if _, err := onnx.Read(m, onnx.Options{Height: 64, Width: 64}); !errors.Is(err, onnx.ErrOpen) {
		t.Errorf("channels left open: %v, want %v", err, onnx.ErrOpen)
	}
	if _, err := onnx.Read(m, onnx.Options{Channels: 3, Height: 64, Width: 64}); err != nil {
		t.Error(err)
	}
}

// TestZoo imports the architectures and compares their logits with those of ONNX Runtime.
func TestZoo(t *testing.T) {
	files, logits := zoo(t)
	testbackend.One(t, func(t *testing.T, b compute.Backend) {
		for _, file := range files {
			t.Run(file, func(t *testing.T) {
				of := filled(t, file)
				start := time.Now()
				m, err := onnx.Read(of, options(file))
				if err != nil {
					t.Fatal(err)
				}
				took := time.Since(start)
				n := m.Network
				images := onnxzoo.Images(2, []int{n.Channels, n.Height, n.Width})
				x := tensors.FromFlatDataAndDimensions(images, 2, n.Channels, n.Height, n.Width)
				e := difference(run(t, b, n, m.Weights, x), logits[file])
				folded, weights, err := models.Fold(n, m.Weights)
				if err != nil {
					t.Fatal(err)
				}
				ef := difference(run(t, b, folded, weights, x), logits[file])
				if !(e <= 1e-4) || !(ef <= 1e-4) {
					t.Errorf("largest difference of logits %.2g, folded %.2g of the largest logit; want at most 1e-4", e, ef)
				}
				t.Logf("%d layers, %d units, %v to import, difference %.1e", len(n.Layers), len(n.Units),
					took.Round(time.Millisecond), e)
			})
		}
	})
}

// TestUnits compares the units and the quantised tensors of the architectures with a golden file; -update writes it.
func TestUnits(t *testing.T) {
	files, _ := zoo(t)
	var text strings.Builder
	for _, file := range files {
		m, err := onnx.Read(filled(t, file), options(file))
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		fmt.Fprintf(&text, "# %s\n%s\n", file, describe(t, m))
	}
	if *update {
		if err := os.WriteFile("testdata/units.txt", []byte(text.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("testdata/units.txt")
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Split(text.String(), "\n")
	for i, line := range strings.Split(string(want), "\n") {
		if i >= len(got) || got[i] != line {
			t.Fatalf("units.txt:%d: got\n%s\nwant\n%s", i+1, got[min(i, len(got)-1)], line)
		}
	}
}

// run returns the logits of n for images x.
func run(t *testing.T, b compute.Backend, n *models.Network, w models.Weights, x *tensors.Tensor) [][]float64 {
	t.Helper()
	out, err := graph.CallOnce(b, func(x *graph.Node) *graph.Node {
		return n.Forward(x, 0, len(n.Layers)-1, models.Hooks{Param: func(name string) *graph.Node {
			return graph.ConstTensor(x.Graph(), w[name])
		}})
	}, x)
	if err != nil {
		t.Fatal(err)
	}
	var rows [][]float64
	for row := range slices.Chunk(tensors.MustCopyFlatData[float32](out), n.Classes) {
		var v []float64
		for _, y := range row {
			v = append(v, float64(y))
		}
		rows = append(rows, v)
	}
	return rows
}

// difference returns the largest difference, relative to the largest of want.
func difference(got, want [][]float64) float64 {
	var most, largest float64
	for i := range want {
		if len(got[i]) != len(want[i]) {
			return math.Inf(1)
		}
		for k := range want[i] {
			most = max(most, math.Abs(got[i][k]-want[i][k]))
			largest = max(largest, math.Abs(want[i][k]))
		}
	}
	return most / largest
}

// describe lists the units of the folded network and their layers: weights that are quantised have a w, outputs an a.
func describe(t *testing.T, m *onnx.Model) string {
	t.Helper()
	n, _, err := models.Fold(m.Network, m.Weights)
	if err != nil {
		t.Fatal(err)
	}
	plan, err := pdq.Bits{W: 4, A: 4, Rule: pdq.AllLow}.Plan(n)
	if err != nil {
		t.Fatal(err)
	}
	title := func(l models.Layer, unit string) string {
		name, inside := strings.CutPrefix(l.Name, unit+".")
		if !inside && name == unit {
			name = "-"
		}
		bits := plan.Layer(l.Name)
		mark := ""
		if bits.Weight > 0 {
			mark += "w"
		}
		if bits.Output > 0 {
			mark += "a"
		}
		return strings.TrimSpace(fmt.Sprint(name, " ", l.Op.Kind(), " ", mark))
	}
	var text strings.Builder
	for i, u := range n.Units {
		var names []string
		for _, l := range n.Layers[u.First : u.Last+1] {
			names = append(names, title(l, u.Name))
		}
		fmt.Fprintf(&text, "%s: %s\n", u.Name, strings.Join(names, ", "))
		if i+1 < len(n.Units) {
			for _, l := range n.Layers[u.Last+1 : n.Units[i+1].First] {
				fmt.Fprintf(&text, "  between: %s\n", title(l, ""))
			}
		}
	}
	return text.String()
}
