package export

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strconv"

	"github.com/gomlx/compute-onnx/support/protos"
	"google.golang.org/protobuf/proto"

	"github.com/pdquant/pdquant/internal/atomicfile"
	"github.com/pdquant/pdquant/pdq"
)

// DataFile returns the name of the file of large tensors beside the model at path.
func DataFile(path string) string { return path + ".data" }

// ONNXFile writes the file at path with what ONNX writes. A model of 2 GiB or more, or any with o.External, has its
// large tensors in DataFile(path). Each file is written whole or not at all. An older model at path is
// removed before its data are replaced, so that no model has another one's data.
func ONNXFile(path string, q *pdq.Quantizer, s pdq.Student, o Options) (Written, error) {
	m, out, err := newModel(q, s, o)
	if err != nil {
		return Written{}, fmt.Errorf("export: ONNX: %w", err)
	}
	if err := writeFile(path, m, &out, o.External); err != nil {
		return Written{}, fmt.Errorf("export: ONNX: writing: %w; choose another place", err)
	}
	return out, nil
}

// writeFile writes the file at path and that of its large tensors, if external is true or need be. It sets the bytes
// in out.
func writeFile(path string, m *protos.ModelProto, out *Written, external bool) error {
	var large [][]byte
	if external || proto.Size(m) > math.MaxInt32 {
		large = moveOut(m.Graph, filepath.Base(DataFile(path)))
	}
	return atomicfile.Write(path, func(f *os.File) (err error) {
		if out.Bytes, err = writeModel(f, m); err != nil || large == nil {
			return err
		}
		return atomicfile.Write(DataFile(path), func(f *os.File) error {
			if out.Data, err = writeLarge(f, large); err != nil {
				return err
			}
			if err = os.Remove(path); errors.Is(err, fs.ErrNotExist) {
				err = nil
			}
			return err
		})
	})
}

// Tensors of at least largeBytes move out. They start at multiples of pageBytes: readers may map them into memory.
const (
	largeBytes = 1024
	pageBytes  = 4096
)

// moveOut makes the large tensors of g external data in the file called location. It returns them in their order.
func moveOut(g *protos.GraphProto, location string) (large [][]byte) {
	offset := 0
	for _, t := range g.Initializer {
		if len(t.RawData) < largeBytes {
			continue
		}
		for _, e := range [][2]string{{"location", location}, {"offset", strconv.Itoa(offset)},
			{"length", strconv.Itoa(len(t.RawData))}} {
			t.ExternalData = append(t.ExternalData, &protos.StringStringEntryProto{Key: e[0], Value: e[1]})
		}
		large = append(large, t.RawData)
		offset += len(t.RawData) + padding(len(t.RawData))
		t.DataLocation, t.RawData = protos.TensorProto_EXTERNAL, nil
	}
	return large
}

// padding returns the number of bytes from n to the next page.
func padding(n int) int { return (pageBytes - n%pageBytes) % pageBytes }

// writeLarge writes the tensors that moveOut returned, and returns the number of bytes.
func writeLarge(w io.Writer, large [][]byte) (total int, err error) {
	for _, data := range large {
		for _, part := range [][]byte{data, make([]byte, padding(len(data)))} {
			n, err := w.Write(part)
			if total += n; err != nil {
				return total, err
			}
		}
	}
	return total, nil
}
