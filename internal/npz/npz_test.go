package npz

import (
	"bytes"
	"math"
	"reflect"
	"testing"

	"codeberg.org/sbinet/npyio/npz"
)

// TestWrite: another implementation of the format reads what Write wrote.
func TestWrite(t *testing.T) {
	for _, a := range []Array{
		{"x", []int{2, 3}, []float32{1, 2, -3, 0.5, float32(math.Inf(1)), 1e-30}},
		{"levels", []int{1, 2, 2}, []uint8{0, 1, 255, 3}},
		{"n", []int{1}, []int64{-5}},
		{"none", []int{0, 4}, []float32{}},
	} {
		var file bytes.Buffer
		if err := Write(&file, []Array{{"other", []int{1}, []float32{1}}, a}); err != nil {
			t.Fatal(err)
		}
		r, err := npz.NewReader(bytes.NewReader(file.Bytes()), int64(file.Len()))
		if err != nil {
			t.Fatal(err)
		}
		got := reflect.New(reflect.TypeOf(a.Values))
		err = r.Read(a.Name+".npy", got.Interface())
		if err != nil || !reflect.DeepEqual(got.Elem().Interface(), a.Values) &&
			got.Elem().Len() > 0 {
			t.Errorf("%s: read %v, error %v", a.Name, got.Elem(), err)
		}
		if shape := r.Header(a.Name + ".npy").Descr.Shape; !reflect.DeepEqual(shape, a.Shape) {
			t.Errorf("%s: shape %v", a.Name, shape)
		}
	}
}

func TestWrong(t *testing.T) {
	for _, a := range []Array{{"x", []int{2}, []float32{1}}, {"x", nil, []float64{1}}} {
		if err := Write(&bytes.Buffer{}, []Array{a}); err == nil {
			t.Errorf("%+v is written", a)
		}
	}
}
