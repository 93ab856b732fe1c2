package pdq

import (
	"bytes"
	"os"
	"reflect"
	"strings"
	"testing"
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
