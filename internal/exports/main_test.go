package main

import (
	"path/filepath"
	"reflect"
	"testing"

	"github.com/pdquant/pdquant/internal/tsv"
	"github.com/pdquant/pdquant/pdq"
)

func TestMix(t *testing.T) {
	p := pdq.Plan{{Layer: "stem", Weight: 8}, {Layer: "a", Weight: 4, Output: 4}, {Layer: "b", Weight: 4},
		{Layer: "c", Output: 4}, {Layer: "d", Weight: 4, Output: 4}, {Layer: "e", Output: 4}, {Layer: "head", Weight: 8}}
	want := pdq.Plan{{Layer: "stem", Weight: 8}, {Layer: "a", Weight: 8, Output: 8}, {Layer: "b", Weight: 4},
		{Layer: "c", Output: 4}, {Layer: "d", Weight: 2, Output: 4}, {Layer: "e", Output: 4}, {Layer: "head", Weight: 8}}
	if got := mix(p); !reflect.DeepEqual(got, want) || p[1].Weight != 4 {
		t.Errorf("got %v from %v, want %v", got, p, want)
	}
}

// TestTable: rows that a table has are known by network and bits.
func TestTable(t *testing.T) {
	path := filepath.Join(t.TempDir(), "exports.tsv")
	if keys, err := tsv.Keys(path, 2); err != nil || len(keys) > 0 {
		t.Errorf("of no table: %v, %v", keys, err)
	}
	for _, bits := range []string{"W2A2", "mixed"} {
		if err := (row{network: "n", widths: bits}).append(path); err != nil {
			t.Fatal(err)
		}
	}
	if keys, err := tsv.Keys(path, 2); err != nil || !keys["n W2A2"] || !keys["n mixed"] || len(keys) != 3 {
		t.Errorf("keys %v, error %v", keys, err)
	}
}
