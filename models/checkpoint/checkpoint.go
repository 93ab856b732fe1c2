package checkpoint

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"slices"
	"strings"

	"github.com/gomlx/compute/dtypes/float16"
	"github.com/pdquant/pdquant/models"
)

// checkpoint is the content of a file of weights.
type checkpoint struct {
	weights models.Weights
	others  map[string]string // tensors that are not of floats, and their types: "int64"
	objects map[string]string // what isn't a tensor that is understood, and what it is
	under   []string          // the keys under which the file has all that
}

// Report says which weights of a file were taken, and what was left out.
type Report struct {
	Under    []string // the keys under which the file has the weights: "model_ema"; none: the file is those weights alone
	Averages bool     // the weights are exponential moving averages (EMA): the file has no others
	Ignored  []string // names of counters, buffers and objects in the file that were left out, sorted
}

// String names anything unusual, as "averages (EMA), of model_ema, without total_ops and 3 others", or returns "" if
// there is nothing. Counters of batches, which PyTorch always writes, are usual.
func (r Report) String() string {
	var parts []string
	if r.Averages {
		parts = append(parts, "averages (EMA)")
	}
	if len(r.Under) > 0 {
		parts = append(parts, "of "+strings.Join(r.Under, "."))
	}
	ignored := slices.DeleteFunc(slices.Clone(r.Ignored), func(name string) bool {
		return strings.HasSuffix(name, "num_batches_tracked")
	})
	switch n := len(ignored); {
	case n == 1:
		parts = append(parts, "without "+ignored[0])
	case n > 1:
		parts = append(parts, fmt.Sprintf("without %s and %d others", ignored[0], n-1))
	}
	return strings.Join(parts, ", ")
}

// Load reads the weights of n from the PyTorch or safetensors file at path, which may be a link, as [Read] does.
func Load(path string, n *models.Network) (models.Weights, error) {
	w, _, err := LoadReport(path, n)
	return w, err
}

// LoadReport is [Load], and says which weights were taken and what was left out.
func LoadReport(path string, n *models.Network) (models.Weights, Report, error) {
	// Check before opening: opening a pipe would wait for its other end.
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return nil, Report{}, fmt.Errorf("checkpoint: %s: not a file but %s; give one that torch.save or safetensors wrote",
			path, kindOf(info.Mode()))
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, Report{}, fmt.Errorf("checkpoint: %w", err)
	}
	defer f.Close() // only read from
	info, err := f.Stat()
	if err != nil {
		return nil, Report{}, fmt.Errorf("checkpoint: %w", err)
	}
	w, report, err := readCheckpoint(f, info.Size(), n)
	if err != nil {
		return nil, Report{}, fmt.Errorf("checkpoint: %s: %w", path, err)
	}
	return w, report, nil
}

// kindOf names the kind of a file that isn't regular.
func kindOf(mode os.FileMode) string {
	switch {
	case mode.IsDir():
		return "a folder"
	case mode&os.ModeNamedPipe != 0:
		return "a pipe"
	}
	return "a device or socket"
}

// Read reads a file from the size bytes of r: a state dict that torch.save wrote, in today's format or that before
// PyTorch 1.6, or safetensors. It recognises the format by the content. Tensors of float16, bfloat16 and float64 become
// float32.
//
// The state dict may be in a dict, under any key: "state_dict", "model_state_dict", "model_state", "model" and "net"
// come first, then the dict with the most tensors. Moving averages, with "ema" in their key, are taken only if there is
// nothing else; [LoadReport] says so.
//
// The weights are those of n. The error names a tensor that is missing, has another shape, or isn't one of n's. These
// differences don't matter:
//   - A prefix of all names, such as DataParallel's "module.", is dropped if more names are n's without it.
//   - Counters and buffers that no network has (num_batches_tracked, n_averaged, total_ops) are left out, and so are
//     objects that aren't tensors.
//   - Names may have "linear" for "fc", or "shortcut" for "downsample". They may be torchvision's if n is a published
//     MobileNetV2 or RegNetX; torchvision's other networks have n's names.
//   - Shapes may have dimensions of 1 at the end: [10,64,1,1] fits [10,64].
//
// If n is nil, Read takes all tensors of floats except for those counters, under the file's names without "module." and
// torch.compile's "_orig_mod.".
//
// The file need not be trusted: nothing in it is run, and memory is at most a small multiple of size, whatever sizes
// the file claims.
func Read(r io.ReaderAt, size int64, n *models.Network) (models.Weights, error) {
	w, _, err := readCheckpoint(r, size, n)
	if err != nil {
		return nil, fmt.Errorf("checkpoint: %w", err)
	}
	return w, nil
}

// readCheckpoint is Read with a report, and without "checkpoint: " before its messages.
func readCheckpoint(r io.ReaderAt, size int64, n *models.Network) (models.Weights, Report, error) {
	c, err := readFormat(r, size)
	if err != nil {
		return nil, Report{}, err
	}
	report := Report{Under: c.under}
	known := paramNames(n)
	c, report.Averages, report.Ignored = c.sorted(known)
	report.Ignored = slices.AppendSeq(report.Ignored, maps.Keys(c.objects)) // fit refuses those that n needs
	if n == nil {
		report.Ignored = slices.AppendSeq(report.Ignored, maps.Keys(c.others))
	}
	slices.Sort(report.Ignored)
	if n == nil {
		return c.unwrapped().weights, report, nil
	}
	w, err := c.named(n, known).fit(n, known)
	return w, report, err
}

// readFormat recognises the format and reads the file.
func readFormat(r io.ReaderAt, size int64) (checkpoint, error) {
	start := make([]byte, min(size, 9))
	if _, err := r.ReadAt(start, 0); err != nil && !errors.Is(err, io.EOF) {
		return checkpoint{}, fmt.Errorf("byte 0: %w", err)
	}
	switch {
	case len(start) == 9 && start[8] == '{': // a header's length, then the header
		return readSafetensorsCheckpoint(io.NewSectionReader(r, 0, size))
	case bytes.HasPrefix(start, []byte("PK\x03\x04")):
		return readZip(r, size)
	case bytes.HasPrefix(start, []byte{0x80}), string(start) == "L11954703": // a pickle; torchMagic in protocols 0 and 1
		return readLegacy(r, size)
	}
	return checkpoint{}, fmt.Errorf("byte 0: a file of %d bytes that starts with % x is neither of torch.save nor of "+
		"safetensors; fetch it again, or unpack it if it is packed",
		size, start)
}

// readSafetensorsCheckpoint reads a safetensors file, with tensors of all types.
func readSafetensorsCheckpoint(r io.Reader) (checkpoint, error) {
	all, _, err := readSafetensors(r)
	if err != nil {
		return checkpoint{}, err
	}
	c := checkpoint{weights: models.Weights{}, others: map[string]string{}}
	for _, t := range all {
		numbers, ok := t.numbers()
		if !ok {
			c.others[t.name] = t.kind.String()
			continue
		}
		c.weights[t.name] = t.tensor(numbers)
	}
	return c, nil
}

// numbers is a type of numbers in files.
type numbers struct {
	name  string
	size  int64                  // bytes of one
	float func(b []byte) float32 // the number at the start of b; nil if it is no float
}

// floats returns the type of floats called float16, bfloat16, float32 or float64.
func floats(name string, order binary.ByteOrder) numbers {
	switch name {
	case "float16":
		return numbers{name, 2, func(b []byte) float32 { return float16.FromBits(order.Uint16(b)).Float32() }}
	case "bfloat16": // the upper half of a float32
		return numbers{name, 2, func(b []byte) float32 { return math.Float32frombits(uint32(order.Uint16(b)) << 16) }}
	case "float64":
		return numbers{name, 8, func(b []byte) float32 { return float32(math.Float64frombits(order.Uint64(b))) }}
	}
	return numbers{name, 4, func(b []byte) float32 { return math.Float32frombits(order.Uint32(b)) }}
}
