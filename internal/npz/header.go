package npz

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"strconv"
	"strings"
)

const (
	npyMagic  = "\x93NUMPY"
	maxHeader = 64 << 10 // bytes of a header's text; NumPy writes 118 for four axes
)

// Header says what an array holds.
type Header struct {
	Type  string           // as NumPy writes it: "<f4"; "records" for values of several parts
	Kind  byte             // 'f' floats of 16 to 64 bits, 'i' and 'u' integers of 8 to 64; 0: others, which aren't read
	Size  int              // bytes of a value
	Order binary.ByteOrder // of its bytes
	Shape []int            // empty: a single number
	First bool             // the first axis is the fastest (Fortran's order)
}

// Len returns the number of values.
func (h Header) Len() int {
	n := 1
	for _, d := range h.Shape {
		n *= d
	}
	return n
}

// readHeader reads the header at the beginning of r, of length bytes.
//
// Source: numpy/lib/format.py, versions 1.0 to 3.0.
func readHeader(r io.Reader) (h Header, length int64, err error) {
	const before = len(npyMagic) + 2
	var start [before + 4]byte
	fail := func(err error) (Header, int64, error) {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			err = errors.New("it ends within its header; copy the file again")
		}
		return Header{}, 0, err
	}
	if _, err := io.ReadFull(r, start[:before]); err != nil {
		return fail(err)
	}
	if string(start[:len(npyMagic)]) != npyMagic {
		return fail(fmt.Errorf("% x is not the start of an array; save it with np.save", start[:len(npyMagic)]))
	}
	version, width := start[before-2], 4
	switch {
	case version < 1 || version > 3:
		return fail(fmt.Errorf("version %d of the format; 1 to 3 are read", version))
	case version == 1:
		width = 2
	}
	if _, err := io.ReadFull(r, start[before:before+width]); err != nil {
		return fail(err)
	}
	size := binary.LittleEndian.Uint32(start[before:])
	if size > maxHeader {
		return fail(fmt.Errorf("a header of %d bytes, more than %d", size, maxHeader))
	}
	text := make([]byte, size)
	if _, err := io.ReadFull(r, text); err != nil {
		return fail(err)
	}
	h, err = parseHeader(string(text))
	return h, int64(before + width + len(text)), err
}

// parseHeader reads the text of a header, a literal of Python:
//
//	{'descr': '<f4', 'fortran_order': False, 'shape': (8, 3, 224, 224), }
func parseHeader(text string) (h Header, err error) {
	entry := func(name, form string) []string {
		return regexp.MustCompile(`['"]` + name + `['"]\s*:\s*` + form).FindStringSubmatch(text)
	}
	descr := entry("descr", `(?:['"]([<>|=])([a-zA-Z])(\d*)(?:\[\w+\])?['"]|(\[))`)
	order := entry("fortran_order", `(True|False)`)
	shape := entry("shape", `\(([\d\s,L]*)\)`)
	if descr == nil || order == nil || shape == nil {
		return h, fmt.Errorf("header %.80q has no type, order or shape; save it with np.save", text)
	}
	h = Header{Type: "records", First: order[1] == "True", Order: binary.LittleEndian}
	if descr[4] == "" {
		h.Type, h.Kind = descr[1]+descr[2]+descr[3], descr[2][0]
		if h.Size, err = strconv.Atoi(descr[3]); err != nil && descr[3] != "" {
			return h, fmt.Errorf("type %s: %w", h.Type, err)
		}
	}
	if !h.numbers() {
		h.Kind = 0
	}
	if descr[1] == ">" {
		h.Order = binary.BigEndian
	}
	for word := range strings.FieldsFuncSeq(shape[1], func(r rune) bool { return strings.ContainsRune(", L", r) }) {
		d, err := strconv.Atoi(strings.TrimSpace(word))
		if err != nil {
			return h, fmt.Errorf("shape (%s): %w", shape[1], err)
		}
		h.Shape = append(h.Shape, d)
	}
	return h, nil
}

// numbers says whether values are integers or floats of 16 to 64 bits, or integers of 8.
func (h Header) numbers() bool {
	switch h.Size {
	case 1:
		return h.Kind == 'i' || h.Kind == 'u'
	case 2, 4, 8:
		return h.Kind == 'i' || h.Kind == 'u' || h.Kind == 'f'
	}
	return false
}

// check is an error unless the values, if they are numbers, fill have bytes.
func (h Header) check(have int64) error {
	if h.Kind == 0 {
		return nil // who asks for the values says so
	}
	want := int64(h.Size)
	for _, d := range h.Shape {
		if d > 0 && want > math.MaxInt64/int64(d) {
			return fmt.Errorf("shape %v is too large", h.Shape)
		}
		want *= int64(d)
	}
	switch {
	case want > have:
		return fmt.Errorf("%d bytes of the %d of shape %v and type %s; the file is cut off, copy it again",
			have, want, h.Shape, h.Type)
	case want < have:
		return fmt.Errorf("%d bytes after the array of shape %v and type %s; save one array with np.save",
			have-want, h.Shape, h.Type)
	}
	return nil
}
