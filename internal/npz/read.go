package npz

import (
	"archive/zip"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
)

const (
	deflateRatio = 100       // most bytes of values that a packed byte may stand for; images have up to 10
	deflateFree  = 16 << 20  // bytes of values that may be packed more densely, as sorted labels are
	chunkBytes   = 256 << 10 // bytes that are decoded at a time
)

// Stored is an array in a file. Its values are read when they are asked for.
type Stored struct {
	Name string // in the archive, without .npy; "" of a file that is one array
	Header
	open func() (io.Reader, error) // the values, and whatever follows them
}

// Find returns the arrays of an archive (.npz), packed or not, or of a file that is one array (.npy). It reads their
// headers, no values. An array has a whole file: a header that claims more or fewer bytes is an error.
func Find(file io.ReaderAt, size int64) ([]Stored, error) {
	var start [6]byte
	n, err := file.ReadAt(start[:], 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	switch magic := string(start[:n]); {
	case n == 0:
		return nil, errors.New("the file is empty")
	case magic == npyMagic:
		a, err := find(io.NewSectionReader(file, 0, size), size)
		return []Stored{a}, err
	case !strings.HasPrefix(magic, "PK"):
		return nil, fmt.Errorf("% x is the start of neither .npy nor .npz; save it with np.save or np.savez", start[:n])
	}
	archive, err := zip.NewReader(file, size)
	if err != nil {
		return nil, fmt.Errorf("%w; the file is cut off or damaged, copy it again", err)
	}
	var arrays []Stored
	for _, f := range archive.File {
		name, ok := strings.CutSuffix(f.Name, ".npy")
		if !ok {
			continue
		}
		a, err := findIn(f, size)
		if err != nil {
			return nil, fmt.Errorf("array %s: %w", name, err)
		}
		a.Name = name
		arrays = append(arrays, a)
	}
	return arrays, nil
}

// find reads the header of the array in r, which has size bytes and is read again for the values.
func find(r *io.SectionReader, size int64) (Stored, error) {
	h, length, err := readHeader(r)
	if err != nil {
		return Stored{}, err
	}
	return Stored{"", h, func() (io.Reader, error) {
		_, err := r.Seek(length, io.SeekStart)
		return r, err
	}}, h.check(size - length)
}

// findIn reads the header of an array in an archive of size bytes.
func findIn(f *zip.File, size int64) (Stored, error) {
	content, packed := f.UncompressedSize64, f.CompressedSize64
	if packed > uint64(size) || f.Method == zip.Store && content != packed {
		return Stored{}, fmt.Errorf("%d bytes in an archive of %d; copy the file again", packed, size)
	}
	if content > max(deflateFree, deflateRatio*packed) {
		return Stored{}, fmt.Errorf("%d bytes are packed to %d, as no images are; save it with np.savez", content, packed)
	}
	r, err := f.Open()
	if err != nil {
		return Stored{}, err
	}
	defer r.Close() // only read from
	h, length, err := readHeader(r)
	if err != nil {
		return Stored{}, err
	}
	return Stored{"", h, func() (io.Reader, error) {
		r, err := f.Open()
		if err == nil {
			_, err = io.CopyN(io.Discard, r, length)
		}
		return r, err
	}}, h.check(int64(content) - length)
}

// Floats returns the values of an array of floats of 16, 32 or 64 bits, as float32. It needs the memory of the result.
func (a Stored) Floats() ([]float32, error) {
	return values(a, "f", func(to []float32, from []byte) {
		for i := range to {
			switch b := from[i*a.Size:]; a.Size {
			case 2:
				to[i] = half(a.Order.Uint16(b))
			case 4:
				to[i] = math.Float32frombits(a.Order.Uint32(b))
			case 8:
				to[i] = float32(math.Float64frombits(a.Order.Uint64(b)))
			}
		}
	})
}

// Ints returns the values of an array of integers, signed or not, of 8 to 64 bits. Those above int64's are its largest.
func (a Stored) Ints() ([]int64, error) {
	unused := 64 - 8*a.Size // bits
	return values(a, "iu", func(to []int64, from []byte) {
		for i := range to {
			var v uint64
			switch b := from[i*a.Size:]; a.Size {
			case 1:
				v = uint64(b[0])
			case 2:
				v = uint64(a.Order.Uint16(b))
			case 4:
				v = uint64(a.Order.Uint32(b))
			case 8:
				v = a.Order.Uint64(b)
			}
			if to[i] = int64(min(v, math.MaxInt64)); a.Kind == 'i' {
				to[i] = int64(v<<unused) >> unused
			}
		}
	})
}

// values reads all values of a, which are of one of these kinds. It checks the archive's checksum.
func values[T any](a Stored, kinds string, convert func(to []T, from []byte)) ([]T, error) {
	if strings.IndexByte(kinds, a.Kind) < 0 {
		return nil, fmt.Errorf("values of type %s are not read here", a.Type)
	}
	if a.First && len(a.Shape) > 1 {
		return nil, errors.New("it is in Fortran's order; save np.ascontiguousarray of it")
	}
	r, err := a.open()
	if err != nil {
		return nil, err
	}
	if c, ok := r.(io.Closer); ok {
		defer c.Close() // only read from
	}
	out := make([]T, a.Len())
	buffer := make([]byte, min(chunkBytes, len(out)*a.Size))
	for at := 0; at < len(out); at += len(buffer) / a.Size {
		rest := out[at:]
		part := buffer[:min(len(buffer), len(rest)*a.Size)]
		if _, err := io.ReadFull(r, part); err != nil {
			return nil, fmt.Errorf("value %d of %d: %w; the file is cut off or damaged, copy it again", at, len(out), err)
		}
		convert(rest[:len(part)/a.Size], part)
	}
	if _, err := io.Copy(io.Discard, r); err != nil {
		return nil, fmt.Errorf("at the end: %w; the file is damaged, copy it again", err)
	}
	return out, nil
}

// half returns the number of 16 bits that b stands for.
//
// Source: IEEE 754-2008, binary16.
func half(b uint16) float32 {
	const fraction, bias = 10, 15
	exponent, rest := int(b>>fraction)&31, float64(b&(1<<fraction-1))
	var v float64
	switch {
	case exponent == 31 && rest != 0:
		v = math.NaN()
	case exponent == 31:
		v = math.Inf(1)
	case exponent == 0:
		v = math.Ldexp(rest, 1-bias-fraction)
	default:
		v = math.Ldexp(rest+1<<fraction, exponent-bias-fraction)
	}
	return float32(math.Copysign(v, float64(1-2*int(b>>15))))
}
