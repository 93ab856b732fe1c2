package experiment

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/pdquant/pdquant/datasets"
	"github.com/pdquant/pdquant/models"
	"github.com/pdquant/pdquant/models/arch"
	"github.com/pdquant/pdquant/pdq"
	"github.com/pdquant/pdquant/pdq/backend"
)

// TestReadJSON: what was changed or cut is an error, wherever.
func TestReadJSON(t *testing.T) {
	type content struct {
		Name  string
		Right []bool
		Score float64
	}
	f, want := Folder(t.TempDir()), content{"a \"sha256\": b", []bool{true, false, true}, 0.25}
	if err := f.WriteJSON("x.json", want); err != nil {
		t.Fatal(err)
	}
	var got content
	if err := f.ReadJSON("x.json", &got); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("read %+v, error %v", got, err)
	}
	whole, err := os.ReadFile(f.Path("x.json"))
	if err != nil {
		t.Fatal(err)
	}
	for at := range whole {
		changed := bytes.Clone(whole)
		changed[at] ^= 0x01
		for what, data := range map[string][]byte{"changed": changed, "cut": whole[:at]} {
			if err := os.WriteFile(f.Path("x.json"), data, 0o600); err != nil {
				t.Fatal(err)
			}
			var got content
			err := f.ReadJSON("x.json", &got)
			if err == nil && !reflect.DeepEqual(got, want) || err != nil && !strings.Contains(err.Error(), f.Path("x.json")) {
				t.Errorf("%s at %d: read %+v, error %v", what, at, got, err)
			}
		}
	}
	for _, v := range []any{[]int{1}, 5, struct{}{}} {
		if err := f.WriteJSON("y.json", v); err == nil {
			t.Errorf("%v is no object, or has no fields, and was written", v)
		}
	}
}

func TestFolder(t *testing.T) {
	file := t.TempDir() + "/file"
	f, err := CreateFolder(t.TempDir() + "/a/b")
	if err != nil {
		t.Fatal(err)
	}
	if err := f.WriteJSON("run.json", Record{Teacher: "resnet8"}); err != nil {
		t.Fatal(err)
	}
	if err := Folder(t.TempDir()).Write("file", nil); err != nil {
		t.Fatal(err)
	}
	if err := Folder(file).Write("x", nil); err == nil {
		t.Error("writing to a folder that doesn't exist succeeds")
	}
	if _, err := CreateFolder(f.Path("run.json") + "/sub"); err == nil {
		t.Error("a folder inside a file was made")
	}
}

// tinyQuantizer returns the steps for a small network with random weights.
func tinyQuantizer(t *testing.T) *pdq.Quantizer {
	t.Helper()
	n, err := arch.ResNet(arch.ResNetConfig{Blocks: 1, Width: 4, Input: arch.SquareInput(1, 28, 10)})
	if err != nil {
		t.Fatal(err)
	}
	pool, err := datasets.FashionMNISTCalibration()
	if err != nil {
		t.Fatal(err)
	}
	c, err := pdq.Quick("resnet8", 2, 2)
	if err != nil {
		t.Fatal(err)
	}
	b, _, err := backend.Open("go")
	if err != nil {
		t.Fatal(err)
	}
	q, err := pdq.New(b, pdq.Problem{Network: n, Weights: models.Init(n, 1), Calibration: pool.Slice(0, 8)}, c)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// TestStates: a student and a state are read as they were written; where the state is damaged, the one before it is
// whole.
func TestStates(t *testing.T) {
	q, f := tinyQuantizer(t), Folder(t.TempDir())
	if _, err := f.LoadState(q, "state"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	student, err := q.WeightScales(t.Context(), pdq.Student{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.SaveStudent(q, "student", student); err != nil {
		t.Fatal(err)
	}
	if got, err := f.LoadStudent(q, "student"); err != nil || !reflect.DeepEqual(got, student) {
		t.Errorf("another student, error %v", err)
	}
	for _, s := range []pdq.State{{}, {Elapsed: 1}, {Student: student, Elapsed: 2}} {
		if err := f.SaveState(q, "state", s); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := f.LoadState(q, "state"); err != nil || got.Elapsed != 2 || !reflect.DeepEqual(got.Student, student) {
		t.Errorf("another state, after %v, error %v", got.Elapsed, err)
	}
	for _, name := range []string{"student", "state"} {
		if err := os.WriteFile(f.Path(name), []byte("{"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := f.LoadStudent(q, "student"); err == nil || !strings.Contains(err.Error(), f.Path("student")) {
		t.Errorf("a damaged student: %v", err)
	}
	if _, err := f.LoadState(q, "state"); !errors.Is(err, pdq.ErrDamaged) ||
		!strings.Contains(err.Error(), "state.previous, is whole, of 0 units and 0 steps") {
		t.Errorf("a damaged state: %v", err)
	}
	if got, err := f.LoadState(q, Previous("state")); err != nil || got.Elapsed != 1 {
		t.Errorf("the one before: after %v, error %v", got.Elapsed, err)
	}
	if err := f.RemoveState("state"); err != nil {
		t.Fatal(err)
	}
	if left, err := filepath.Glob(f.Path("*")); err != nil || len(left) != 1 {
		t.Errorf("left behind: %q, error %v", left, err)
	}
}
