package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// TestCharts: the committed charts are those of the committed tables.
func TestCharts(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pays.svg")
	if err := draw("../..", path); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile("../../docs/pays.svg")
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("docs/pays.svg is stale: go run ./internal/charts (%v)", err)
	}
}
