// Package npz reads and writes arrays as NumPy does: archives (.npz) and, to read, files of one array (.npy).
package npz

import (
	"archive/zip"
	"encoding/binary"
	"fmt"
	"io"
	"strings"
)

// Array is a named array, its last axis the fastest.
type Array struct {
	Name   string
	Shape  []int // empty: a single number
	Values any   // []float32, []uint8 or []int64
}

// Write writes an archive. It is an error if values don't fit a shape, or are of another type.
func Write(w io.Writer, arrays []Array) error {
	archive := zip.NewWriter(w)
	for _, a := range arrays {
		f, err := archive.Create(a.Name + ".npy")
		if err == nil {
			err = a.write(f)
		}
		if err != nil {
			return fmt.Errorf("npz: %s: %w", a.Name, err)
		}
	}
	return archive.Close()
}

// write writes a in version 1.0 of the format npy.
//
// Source: numpy/lib/format.py, "Format Version 1.0".
func (a Array) write(w io.Writer) error {
	var kind string
	var n int
	switch v := a.Values.(type) {
	case []float32:
		kind, n = "<f4", len(v)
	case []uint8:
		kind, n = "|u1", len(v)
	case []int64:
		kind, n = "<i8", len(v)
	default:
		return fmt.Errorf("values of type %T; give float32, uint8 or int64", a.Values)
	}
	size, shape := 1, ""
	for _, d := range a.Shape {
		size *= d
		shape += fmt.Sprintf("%d,", d)
	}
	if size != n {
		return fmt.Errorf("%d values don't fit shape %v", n, a.Shape)
	}
	const before, align = 10, 64 // bytes before the header; the values begin at a multiple
	header := fmt.Sprintf("{'descr': '%s', 'fortran_order': False, 'shape': (%s), }", kind, shape)
	header += strings.Repeat(" ", align-1-(before+len(header))%align) + "\n"
	head := append([]byte("\x93NUMPY\x01\x00"), byte(len(header)), byte(len(header)>>8))
	if _, err := w.Write(append(head, header...)); err != nil {
		return err
	}
	return binary.Write(w, binary.LittleEndian, a.Values)
}
