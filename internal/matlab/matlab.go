// Package matlab reads arrays of structs from MATLAB's files of version 5 (.mat), which its versions 5 to 7 write.
package matlab

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
)

// Types of elements and classes of arrays.
//
// Source: The MathWorks, "MAT-File Format", tables "MAT-File Data Types" and "MATLAB Array Types (Classes)".
const (
	int8s, uint8s, int16s, uint16s, int32s, uint32s = 1, 2, 3, 4, 5, 6
	singles, doubles, int64s, uint64s               = 7, 9, 12, 13
	matrix, compressed                              = 14, 15
	utf8s, utf16s                                   = 16, 17

	structClass, charClass, firstNumeric, lastNumeric = 2, 4, 6, 15
)

const (
	headerSize = 128
	maxSize    = 16 << 20 // bytes of a variable, unpacked
	maxDepth   = 8        // of structs within structs
	maxStructs = 1 << 16  // in an array
)

// value is an array: nil where it is none of these.
type value struct {
	name    string
	number  *float64           // a single number
	text    *string            // a row of characters
	structs []map[string]value // an array of structs
}

// Structs reads the array of structs called name. Fields that are a single number are a float64, rows of characters are
// a string, and other fields are left out.
//
// Variables may be compressed. A variable of more than 16 MiB is an error, as is a file whose numbers have their first
// byte first.
func Structs(r io.Reader, name string) ([]map[string]any, error) {
	header := make([]byte, headerSize)
	if _, err := io.ReadFull(r, header); err != nil {
		return nil, fmt.Errorf("matlab: header: %w", err)
	}
	if string(header[124:]) != "\x00\x01IM" {
		return nil, errors.New("matlab: this is no file of version 5 whose numbers have their last byte first; " +
			`write it by save('-v7') or SciPy's savemat`)
	}
	for {
		kind, data, err := next(r)
		if errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("matlab: there is no variable %q", name)
		}
		if err == nil && kind == compressed {
			kind, data, err = unpack(data)
		}
		if err != nil {
			return nil, fmt.Errorf("matlab: %w", err)
		}
		if kind != matrix {
			continue
		}
		v, err := array(data, 0)
		if err != nil {
			return nil, fmt.Errorf("matlab: %w", err)
		}
		if v.name != name {
			continue
		}
		if v.structs == nil {
			return nil, fmt.Errorf("matlab: variable %q is no array of structs", name)
		}
		return plain(v.structs), nil
	}
}

// plain returns the fields that are numbers and texts.
func plain(structs []map[string]value) []map[string]any {
	all := make([]map[string]any, len(structs))
	for i, fields := range structs {
		all[i] = map[string]any{}
		for name, v := range fields {
			switch {
			case v.number != nil:
				all[i][name] = *v.number
			case v.text != nil:
				all[i][name] = *v.text
			}
		}
	}
	return all
}

// next reads an element of the file. io.EOF: there is none.
func next(r io.Reader) (kind uint32, data []byte, err error) {
	tag := make([]byte, 8)
	if _, err := io.ReadFull(r, tag); err != nil {
		return 0, nil, err // io.EOF, or that the tag is cut off
	}
	kind, size := binary.LittleEndian.Uint32(tag), int64(binary.LittleEndian.Uint32(tag[4:]))
	if kind>>16 != 0 { // a small one: its data are in the tag
		return kind & 0xffff, tag[4:], nil
	}
	if size > maxSize {
		return 0, nil, tooLarge(size)
	}
	data, err = io.ReadAll(io.LimitReader(r, size)) // grows with what there is
	if err == nil && int64(len(data)) < size {
		err = cutOff(size, len(data))
	}
	return kind, data, err
}

// unpack returns the element that a compressed one holds.
func unpack(data []byte) (kind uint32, inner []byte, err error) {
	unzipped, err := zlib.NewReader(bytes.NewReader(data))
	if err != nil {
		return 0, nil, err
	}
	all, err := io.ReadAll(io.LimitReader(unzipped, maxSize+1))
	if err != nil {
		return 0, nil, err
	}
	if len(all) > maxSize {
		return 0, nil, tooLarge(int64(len(all)))
	}
	elements := reader{all}
	return elements.next()
}

func tooLarge(size int64) error {
	return fmt.Errorf("a variable of %d bytes or more; %d are read", size, maxSize)
}

func cutOff(want int64, have int) error {
	return fmt.Errorf("an element of %d bytes has only %d: the file is cut off or damaged", want, have)
}

// reader reads elements from memory.
type reader struct{ rest []byte }

// next reads an element, of which small ones have their data in the tag.
func (r *reader) next() (kind uint32, data []byte, err error) {
	const tag = 8
	if len(r.rest) < tag {
		return 0, nil, cutOff(tag, len(r.rest))
	}
	kind, size := binary.LittleEndian.Uint32(r.rest), int64(binary.LittleEndian.Uint32(r.rest[4:]))
	if small := int(kind >> 16); small != 0 {
		if small > 4 {
			return 0, nil, fmt.Errorf("a small element of %d bytes: the file is damaged", small)
		}
		data, r.rest = r.rest[4:4+small], r.rest[tag:]
		return kind & 0xffff, data, nil
	}
	if size > int64(len(r.rest)-tag) {
		return 0, nil, cutOff(size, len(r.rest)-tag)
	}
	data = r.rest[tag : tag+size]
	r.rest = r.rest[min(int64(len(r.rest)), tag+(size+7)/8*8):] // padded to a multiple of 8
	return kind, data, nil
}

// array reads an array from its elements: flags, dimensions, name, and what its class has.
func array(data []byte, depth int) (v value, err error) {
	if len(data) == 0 {
		return v, nil // an empty array
	}
	if depth > maxDepth {
		return v, fmt.Errorf("structs within structs, %d deep: %d are read", depth, maxDepth)
	}
	r := reader{data}
	_, flags, err := r.next()
	if err != nil {
		return v, err
	}
	if len(flags) != 8 {
		return v, fmt.Errorf("flags of %d bytes: the file is damaged", len(flags))
	}
	_, dimensions, err := r.next()
	if err != nil {
		return v, err
	}
	n, err := count(dimensions)
	if err != nil {
		return v, err
	}
	_, name, err := r.next()
	if err != nil {
		return v, err
	}
	v.name = string(name)
	switch class := flags[0]; {
	case class == structClass:
		v.structs, err = r.structs(n, depth)
	case class == charClass:
		v.text, err = r.text()
	case firstNumeric <= class && class <= lastNumeric && n == 1:
		v.number, err = r.number()
	}
	return v, err
}

// count multiplies dimensions.
func count(dimensions []byte) (int, error) {
	n := int64(1)
	for ; len(dimensions) >= 4; dimensions = dimensions[4:] {
		n *= int64(binary.LittleEndian.Uint32(dimensions))
		if n > maxSize {
			return 0, fmt.Errorf("an array of %d values or more; %d are read", n, maxSize)
		}
	}
	return int(n), nil
}

// structs reads an array of n structs: the length of names, the names, and the fields of each struct.
func (r *reader) structs(n, depth int) ([]map[string]value, error) {
	_, length, err := r.next()
	if err != nil {
		return nil, err
	}
	_, text, err := r.next()
	if err != nil {
		return nil, err
	}
	if len(length) != 4 {
		return nil, fmt.Errorf("a length of names of %d bytes: the file is damaged", len(length))
	}
	width := int(binary.LittleEndian.Uint32(length))
	if width < 1 || len(text)%width != 0 {
		return nil, fmt.Errorf("names of %d characters in %d bytes: the file is damaged", width, len(text))
	}
	var names []string
	for name := range slices.Chunk(text, width) {
		before, _, _ := strings.Cut(string(name), "\x00")
		names = append(names, before)
	}
	if n > maxStructs {
		return nil, fmt.Errorf("an array of %d structs; %d are read", n, maxStructs)
	}
	all := []map[string]value{}
	for len(all) < n && len(names) > 0 {
		fields := map[string]value{}
		for _, name := range names {
			kind, data, err := r.next()
			if err != nil {
				return nil, err
			}
			if kind != matrix {
				return nil, fmt.Errorf("field %q is of type %d, not an array: the file is damaged", name, kind)
			}
			if fields[name], err = array(data, depth+1); err != nil {
				return nil, fmt.Errorf("field %q: %w", name, err)
			}
		}
		all = append(all, fields)
	}
	return all, nil
}

// text reads a row of characters.
func (r *reader) text() (*string, error) {
	kind, data, err := r.next()
	if err != nil {
		return nil, err
	}
	text := string(data)
	if kind == uint16s || kind == utf16s {
		var runes []rune
		for ; len(data) >= 2; data = data[2:] {
			runes = append(runes, rune(binary.LittleEndian.Uint16(data)))
		}
		text = string(runes)
	} else if kind != utf8s && kind != int8s && kind != uint8s {
		return nil, fmt.Errorf("characters of type %d: the file is damaged", kind)
	}
	return &text, nil
}

// number reads a number, which may be stored as a shorter type than its class.
func (r *reader) number() (*float64, error) {
	kind, data, err := r.next()
	if err != nil {
		return nil, err
	}
	size := map[uint32]int{int8s: 1, uint8s: 1, int16s: 2, uint16s: 2, int32s: 4, uint32s: 4, singles: 4, doubles: 8,
		int64s: 8, uint64s: 8}[kind]
	if size == 0 || len(data) != size {
		return nil, fmt.Errorf("a number of type %d in %d bytes: the file is damaged", kind, len(data))
	}
	bits := make([]byte, 8)
	copy(bits, data)
	u := binary.LittleEndian.Uint64(bits)
	var x float64
	switch kind {
	case int8s:
		x = float64(int8(u))
	case int16s:
		x = float64(int16(u))
	case int32s:
		x = float64(int32(u))
	case int64s:
		x = float64(int64(u))
	case singles:
		x = float64(math.Float32frombits(uint32(u)))
	case doubles:
		x = math.Float64frombits(u)
	default:
		x = float64(u)
	}
	return &x, nil
}
