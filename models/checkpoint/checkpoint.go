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

// checkpoint is what a file of weights holds.
type checkpoint struct {
	weights models.Weights
	others  map[string]string // tensors that are not of floats, and their types: "int64"
}

// Load reads the weights of n from a file of PyTorch or of safetensors:
// [Read] of what path names.
func Load(path string, n *models.Network) (models.Weights, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("checkpoint: %w", err)
	}
	defer f.Close() // only read from
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("not a file; give one that torch.save or safetensors wrote")
	}
	if err != nil {
		return nil, fmt.Errorf("checkpoint: %s: %w", path, err)
	}
	w, err := readCheckpoint(f, info.Size(), n)
	if err != nil {
		return nil, fmt.Errorf("checkpoint: %s: %w", path, err)
	}
	return w, nil
}

// Read reads the size bytes of r: what torch.save wrote of a state dict, in its
// format of today or in that before PyTorch 1.6, or a safetensors file; content tells
// which. The state dict may be in a dict, as "state_dict", "model_state_dict",
// "model_state", "model" or "net", and its names may begin with DataParallel's "module.". Tensors of float16, bfloat16
// and float64 become float32.
//
// The weights are those of n, and an error says what is missing, of another shape, or
// unknown to n. Batch counters (num_batches_tracked) are left out, and names that differ
// from n's in "linear" for "fc", or "shortcut" for "downsample", are n's. So are torchvision's
// names where n's are the published ones of a MobileNetV2 or RegNetX; its other networks need no
// translation. A nil n takes all tensors of floats, under the file's names.
//
// The file need not be trusted: nothing in it is run, and memory is bounded by a small
// multiple of size, whatever sizes it claims.
func Read(r io.ReaderAt, size int64, n *models.Network) (models.Weights, error) {
	w, err := readCheckpoint(r, size, n)
	if err != nil {
		return nil, fmt.Errorf("checkpoint: %w", err)
	}
	return w, nil
}

// readCheckpoint is Read without the prefix of messages.
func readCheckpoint(r io.ReaderAt, size int64, n *models.Network) (models.Weights, error) {
	c, err := readFormat(r, size)
	if err != nil {
		return nil, err
	}
	c = c.stripped("module.")
	if n == nil {
		return c.weights, nil
	}
	return c.translated(n).fit(n)
}

// readFormat finds out the format and reads the file.
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
	case bytes.HasPrefix(start, []byte{0x80}): // a pickle
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
	c := checkpoint{models.Weights{}, map[string]string{}}
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

// stripped returns c with names that lack prefix, if all have it.
func (c checkpoint) stripped(prefix string) checkpoint {
	out := checkpoint{models.Weights{}, map[string]string{}}
	for name, t := range c.weights {
		short, ok := strings.CutPrefix(name, prefix)
		if !ok {
			return c
		}
		out.weights[short] = t
	}
	for name, kind := range c.others {
		short, ok := strings.CutPrefix(name, prefix)
		if !ok {
			return c
		}
		out.others[short] = kind
	}
	return out
}

// fit returns c's weights under n's names, or an error if they are not n's.
func (c checkpoint) fit(n *models.Network) (models.Weights, error) {
	w, known := models.Weights{}, map[string]bool{}
	for _, p := range n.Params() {
		known[p.Name] = true
	}
	for name, t := range c.weights {
		if strings.HasSuffix(name, ".num_batches_tracked") {
			continue
		}
		if alias := alias(name); !known[name] && known[alias] && c.weights[alias] == nil && c.others[alias] == "" {
			name = alias
		}
		w[name] = t
	}
	for _, name := range slices.Sorted(maps.Keys(c.others)) {
		if strings.HasSuffix(name, ".num_batches_tracked") {
			continue
		}
		if known[name] {
			return nil, fmt.Errorf("tensor %q is %s, expected floats; write the file again, with %s's weights as floats", name,
				c.others[name], n.Name)
		}
		return nil, fmt.Errorf("%s has no tensor %q (%s), but the file does; give the network that the file was made for",
			n.Name, name, c.others[name])
	}
	if err := w.Check(n); err != nil {
		return w, errors.Unwrap(err) // without the prefix of package models
	}
	return w, nil
}

// translated returns c with n's names: from the dialect in which it has most of n's tensors.
func (c checkpoint) translated(n *models.Network) checkpoint {
	best, most := c, -1
	for _, d := range dialects() {
		if t, found := c.translate(n, d); found > most {
			best, most = t, found
		}
	}
	return best
}

// translate returns c with n's names instead of the dialect's, and how many it has; -1 if two
// tensors would get the same name.
func (c checkpoint) translate(n *models.Network, d dialect) (t checkpoint, found int) {
	ours := map[string]string{}
	for _, l := range n.Layers {
		for _, p := range l.Params() {
			ours[d(n, l.Name)+strings.TrimPrefix(p.Name, l.Name)] = p.Name
		}
	}
	rename := func(name string) string {
		if o, ok := ours[name]; ok {
			found++
			return o
		}
		return name
	}
	t = checkpoint{models.Weights{}, map[string]string{}}
	for name, w := range c.weights {
		t.weights[rename(name)] = w
	}
	for name, kind := range c.others {
		t.others[rename(name)] = kind
	}
	if len(t.weights) < len(c.weights) || len(t.others) < len(c.others) {
		return c, -1
	}
	return t, found
}

// alias returns what a tensor of that name in others' networks is called in ours.
func alias(name string) string {
	parts := strings.Split(name, ".")
	for i, p := range parts {
		switch p {
		case "linear": // github.com/akamaster/pytorch_resnet_cifar10
			parts[i] = "fc"
		case "shortcut": // github.com/kuangliu/pytorch-cifar
			parts[i] = "downsample"
		}
	}
	return strings.Join(parts, ".")
}
