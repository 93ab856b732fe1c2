package checkpoint

import (
	"archive/zip"
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"

	"github.com/gomlx/gomlx/core/tensors"

	"github.com/pdquant/pdquant/internal/pickle"
	"github.com/pdquant/pdquant/models"
)

const (
	torchMagic   = pickle.Long("\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19") // torch/serialization.py: MAGIC_NUMBER
	torchVersion = 1001                                                    // torch/serialization.py: PROTOCOL_VERSION
	torchRank    = 8                                                       // most dimensions of a tensor
	torchGrowth  = 8                                                       // most memory of tensors, times the file's
	torchName    = 1 << 10                                                 // longest name of a tensor or storage

	torchSave = "in Python, torch.save(model.state_dict(), file)" // the remedy
)

// storage is a run of numbers in a file, of which tensors are views.
type storage struct {
	key     string
	kind    pickle.Class
	numbers numbers
	count   int64                         // at most as many as the file has room for
	open    func() (io.ReadCloser, error) // their bytes; nil until they are found
}

// part is a storage from an element on.
type part struct {
	of   *storage
	from int64
}

// strided is a tensor: element i,j,... of it is element from + i·strides[0] + j·strides[1] + ... of
// the storage.
type strided struct {
	part
	shape, strides []int64
}

// entry is a tensor of a state dict.
type entry struct {
	name string
	*strided
}

// torchFile is a file of torch.save that is being read.
type torchFile struct {
	size     int64            // bytes
	order    binary.ByteOrder // of the storages
	storages map[string]*storage
}

// readLegacy reads what torch.save wrote before PyTorch 1.6: five pickles (a magic number, a
// version, the machine, the object, the storages' keys), then the storages, each its count as
// int64 and its numbers, little-endian on all machines.
// Source: torch/serialization.py, _legacy_save.
func readLegacy(r io.ReaderAt, size int64) (checkpoint, error) {
	f := &torchFile{size, binary.LittleEndian, map[string]*storage{}}
	u := &pickle.Decoder{R: bufio.NewReader(io.NewSectionReader(r, 0, size)), Call: construct}
	for i, want := range []any{torchMagic, int64(torchVersion), nil} {
		v, err := unpickle(u)
		if err != nil {
			return checkpoint{}, err
		}
		if want != nil && v != want {
			return checkpoint{}, fmt.Errorf("pickle %d is %s, not what torch.save writes there; write the file again: %s", i+1,
				describe(v), torchSave)
		}
	}
	u.Load = f.load
	root, err := unpickle(u)
	if err != nil {
		return checkpoint{}, err
	}
	u.Load = nil
	keys, err := unpickle(u)
	if err != nil {
		return checkpoint{}, err
	}
	entries, err := stateDict(root)
	if err != nil {
		return checkpoint{}, err
	}
	if err := f.locate(r, u.At, keys, entries); err != nil {
		return checkpoint{}, err
	}
	return f.read(entries)
}

// unpickle reads one pickle. Errors give the byte and the remedy.
func unpickle(u *pickle.Decoder) (any, error) {
	v, err := u.Value()
	if err != nil {
		return nil, fmt.Errorf("%w; fetch the file again, or write it again: %s", err, torchSave)
	}
	return v, nil
}

// locate finds the storages of a legacy file, which start at byte at.
func (f *torchFile) locate(r io.ReaderAt, at int64, keys any, entries []entry) error {
	list, ok := keys.(*pickle.Tuple)
	if !ok {
		return fmt.Errorf("byte %d: no list of storages before it; fetch the file again", at)
	}
	for _, key := range list.Items {
		name, _ := key.(string)
		s := f.storages[name]
		if s == nil {
			return fmt.Errorf("byte %d: storage %.50q, to which nothing refers; fetch the file again", at, name)
		}
		var count [8]byte
		from, length := at+int64(len(count)), s.count*s.numbers.size
		if from+length > f.size {
			return fmt.Errorf("the file ends at byte %d, within %s, which is bytes %d to %d; fetch it again", f.size,
				s.describe(entries), at, from+length)
		}
		if _, err := r.ReadAt(count[:], at); err != nil {
			return fmt.Errorf("byte %d: %w", at, err)
		}
		if n := int64(binary.LittleEndian.Uint64(count[:])); n != s.count {
			return fmt.Errorf("byte %d: %d elements of %s, which has %d; fetch the file again", at, n, s.describe(entries),
				s.count)
		}
		s.open = func() (io.ReadCloser, error) { return io.NopCloser(io.NewSectionReader(r, from, length)), nil }
		at = from + length
	}
	return nil
}

// readZip reads what torch.save writes since PyTorch 1.6: a zip archive, not compressed, of a
// folder with the object as data.pkl and each storage as data/KEY.
// Source: torch/serialization.py, _save.
func readZip(r io.ReaderAt, size int64) (checkpoint, error) {
	a, err := openArchive(r, size)
	if err != nil {
		return checkpoint{}, err
	}
	f := &torchFile{size, binary.LittleEndian, map[string]*storage{}}
	if m := a.members["byteorder"]; m != nil { // since PyTorch 2.1
		order, err := a.open(m)
		if err != nil {
			return checkpoint{}, err
		}
		b, err := io.ReadAll(io.LimitReader(order, 3))
		if err != nil {
			return checkpoint{}, fmt.Errorf("byteorder: %w; fetch the file again", err)
		}
		if string(b) == "big" {
			f.order = binary.BigEndian
		}
	}
	data, err := a.open(a.members["data.pkl"])
	if err != nil {
		return checkpoint{}, err
	}
	defer data.Close() // only read from
	u := &pickle.Decoder{R: bufio.NewReader(data), Call: construct, Load: f.load}
	root, err := unpickle(u)
	if err == nil {
		_, err = io.Copy(io.Discard, u.R) // to the end, where zip compares the checksum
	}
	if err != nil {
		return checkpoint{}, fmt.Errorf("data.pkl: %w", err)
	}
	entries, err := stateDict(root)
	if err != nil {
		return checkpoint{}, err
	}
	rest := size // each byte belongs to one storage
	for _, e := range entries {
		if e.of.open != nil {
			continue
		}
		m, length := a.members["data/"+e.of.key], e.of.count*e.of.numbers.size
		if m == nil {
			return checkpoint{}, fmt.Errorf("%s is missing; fetch the file again", e.of.describe(entries))
		}
		if rest -= length; rest < 0 || m.UncompressedSize64 != uint64(length) {
			return checkpoint{}, fmt.Errorf("%s has %d bytes, but its tensors were made of %d; fetch the file again",
				e.of.describe(entries), m.UncompressedSize64, length)
		}
		e.of.open = func() (io.ReadCloser, error) { return a.open(m) }
	}
	return f.read(entries)
}

// archive is the zip archive that torch.save writes.
type archive struct {
	size    int64                // of the file, bytes
	members map[string]*zip.File // by their names in the archive's folder
}

func openArchive(r io.ReaderAt, size int64) (archive, error) {
	z, err := zip.NewReader(r, size)
	if err != nil {
		return archive{}, fmt.Errorf("the zip archive's directory, before its end at byte %d, is missing or damaged (%w); "+
			"fetch the file again", size, err)
	}
	folder, found := "", false
	for _, m := range z.File {
		if before, ok := strings.CutSuffix(m.Name, "data.pkl"); ok && (before == "" || strings.HasSuffix(before, "/")) {
			folder, found = before, true
			break
		}
	}
	if !found {
		return archive{}, fmt.Errorf("a zip archive without data.pkl, not a file of torch.save; write it again: %s",
			torchSave)
	}
	a := archive{size, map[string]*zip.File{}}
	for _, m := range z.File {
		if name, ok := strings.CutPrefix(m.Name, folder); ok {
			a.members[name] = m
		}
	}
	if a.members["constants.pkl"] != nil {
		return archive{}, fmt.Errorf("a TorchScript program, not a state dict; load it in Python and write it again: %s",
			torchSave)
	}
	return a, nil
}

// open opens a member. It must not be compressed: few bytes could become many.
func (a archive) open(m *zip.File) (io.ReadCloser, error) {
	if m.Method != zip.Store || m.CompressedSize64 != m.UncompressedSize64 || m.UncompressedSize64 > uint64(a.size) {
		return nil, fmt.Errorf("%.100q is compressed or larger than the archive, as torch.save never has it; write the "+
			"file again: %s", m.Name, torchSave)
	}
	r, err := m.Open()
	if err != nil {
		return nil, fmt.Errorf("%.100q: %w; fetch the file again", m.Name, err)
	}
	return r, nil
}

// load returns the part of a storage that a persistent id stands for:
//
//	('storage', type, key, device, count)
//	('storage', type, key, device, count, None or (view's key, offset, view's count))   legacy
//
// or the class of ('module', class, file, source), with which legacy files keep a model's code.
func (f *torchFile) load(id []any) (any, error) {
	if len(id) > 1 && id[0] == "module" {
		return id[1], nil
	}
	if len(id) < 5 || id[0] != "storage" {
		return nil, errors.New("a persistent id that is not a storage's")
	}
	kind, isClass := id[1].(pickle.Class)
	key, isText := id[2].(string)
	count, isInt := id[4].(int64)
	if !isClass || !isText || !isInt || len(key) > torchName {
		return nil, errors.New("a storage whose type, key or size is none")
	}
	var from int64
	if len(id) > 5 && id[5] != nil {
		view, ok := id[5].(*pickle.Tuple)
		if ok && len(view.Items) == 3 {
			from, ok = view.Items[1].(int64)
		}
		if !ok || from < 0 || from > count {
			return nil, fmt.Errorf("a view of storage %q that does not lie within it", key)
		}
	}
	if s := f.storages[key]; s != nil {
		if s.kind != kind || s.count != count {
			return nil, fmt.Errorf("storage %q as %d numbers of %.100q, but it is %d of %.100q elsewhere", key, count, kind,
				s.count, s.kind)
		}
		return part{s, from}, nil
	}
	n, ok := torchNumbers(kind, f.order)
	if !ok {
		return nil, fmt.Errorf("storage %q of unknown type %.100q", key, kind)
	}
	if count < 0 || count > f.size/n.size {
		return nil, fmt.Errorf("storage %q of %d numbers of %d bytes each in a file of %d bytes", key, count, n.size, f.size)
	}
	f.storages[key] = &storage{key: key, kind: kind, numbers: n, count: count}
	return part{f.storages[key], from}, nil
}

// torchNumbers returns what a storage of that class holds.
func torchNumbers(kind pickle.Class, order binary.ByteOrder) (numbers, bool) {
	switch kind {
	case "torch.FloatStorage":
		return floats("float32", order), true
	case "torch.HalfStorage":
		return floats("float16", order), true
	case "torch.BFloat16Storage":
		return floats("bfloat16", order), true
	case "torch.DoubleStorage":
		return floats("float64", order), true
	case "torch.LongStorage":
		return numbers{name: "int64", size: 8}, true
	case "torch.IntStorage":
		return numbers{name: "int32", size: 4}, true
	case "torch.ShortStorage":
		return numbers{name: "int16", size: 2}, true
	case "torch.CharStorage":
		return numbers{name: "int8", size: 1}, true
	case "torch.ByteStorage":
		return numbers{name: "uint8", size: 1}, true
	case "torch.BoolStorage":
		return numbers{name: "bool", size: 1}, true
	case "torch.ComplexFloatStorage":
		return numbers{name: "complex64", size: 8}, true
	case "torch.ComplexDoubleStorage":
		return numbers{name: "complex128", size: 16}, true
	case "torch.QInt8Storage", "torch.QUInt8Storage":
		return numbers{name: "8-bit quantised", size: 1}, true
	case "torch.QInt32Storage":
		return numbers{name: "32-bit quantised", size: 4}, true
	}
	return numbers{}, false
}

// construct returns what Python's function or class f makes of args: tensors by the few
// functions that make them, inert objects by all others.
// Source: torch/_utils.py.
func construct(f pickle.Class, args []any) (any, error) {
	switch f {
	case "torch._utils._rebuild_tensor", "torch._utils._rebuild_tensor_v2":
		return rebuild(args)
	case "torch._utils._rebuild_parameter", "torch.nn.parameter.Parameter", "torch.Size": // of a tensor; of a tuple
		if len(args) > 0 {
			return args[0], nil
		}
	}
	return &pickle.Object{Class: f}, nil
}

// rebuild makes a tensor of storage, offset, shape, strides and what it ignores.
func rebuild(args []any) (any, error) {
	if len(args) < 4 {
		return nil, fmt.Errorf("a tensor of %d arguments, not 4 or more", len(args))
	}
	of, isPart := args[0].(part)
	offset, isInt := args[1].(int64)
	if !isPart || !isInt || offset < 0 || offset > math.MaxInt64-of.from {
		return nil, errors.New("a tensor whose storage or offset is none")
	}
	t := &strided{part: part{of.of, of.from + offset}}
	for i, to := range []*[]int64{&t.shape, &t.strides} {
		sizes, ok := args[2+i].(*pickle.Tuple)
		if !ok || len(sizes.Items) > torchRank {
			return nil, fmt.Errorf("a tensor whose shape or strides are not up to %d numbers", torchRank)
		}
		for _, v := range sizes.Items {
			size, ok := v.(int64)
			if !ok || size < 0 || size > math.MaxInt32 {
				return nil, fmt.Errorf("a tensor with a size or stride that is not 0 to %d", math.MaxInt32)
			}
			*to = append(*to, size)
		}
	}
	if len(t.shape) != len(t.strides) {
		return nil, fmt.Errorf("a tensor of %d dimensions and %d strides", len(t.shape), len(t.strides))
	}
	return t, nil
}

// stateDict returns the tensors of the state dict that root is, or holds under one of the
// names in use, in their order.
func stateDict(root any) ([]entry, error) {
	d, ok := root.(*pickle.Dict)
	for range 4 { // a dict may hold itself
		if !ok {
			break
		}
		inner, deeper := d, false
		for _, key := range []string{"state_dict", "model_state_dict", "model_state", "model", "net"} {
			if inner, deeper = d.Get(key).(*pickle.Dict); deeper {
				break
			}
		}
		if !deeper {
			return entriesOf(d)
		}
		d = inner
	}
	return nil, fmt.Errorf("the file holds %s, not a state dict; load it in Python and write it again: %s",
		describe(root), torchSave)
}

// entriesOf returns the tensors of d. An object among them is an error, since it may have been
// meant as one; numbers and the like are left out.
func entriesOf(d *pickle.Dict) ([]entry, error) {
	var entries []entry
	var others, objects []string // the first few that are no tensors
	seen := map[string]int{}
	for i, key := range d.Keys {
		name, ok := key.(string)
		if !ok || len(name) > torchName {
			continue
		}
		t, ok := d.Values[i].(*strided)
		if !ok {
			what := fmt.Sprintf("%.100q, which is %s", name, describe(d.Values[i]))
			switch d.Values[i].(type) {
			case *pickle.Object, pickle.Class:
				objects = append(objects[:min(len(objects), 1)], what)
			}
			others = append(others[:min(len(others), 4)], what)
			continue
		}
		if _, again := seen[name]; !again {
			seen[name] = len(entries)
			entries = append(entries, entry{})
		}
		entries[seen[name]] = entry{name, t}
	}
	if len(entries) == 0 {
		return nil, fmt.Errorf("no tensors in the dict of %d that the file holds (%s; nothing was run); write it again: %s",
			len(d.Keys), strings.Join(others, ", "), torchSave)
	}
	if len(objects) > 0 {
		return nil, fmt.Errorf("among the tensors is %s (it was not run); write the file again: %s", objects[0], torchSave)
	}
	return entries, nil
}

// describe says what a value is.
func describe(v any) string {
	switch v := v.(type) {
	case *pickle.Object:
		return fmt.Sprintf("an object of %.100q", v.Class)
	case pickle.Class:
		return fmt.Sprintf("the class %.100q", v)
	case *strided:
		return "a tensor"
	case *pickle.Tuple:
		return fmt.Sprintf("a list of %d", len(v.Items))
	case *pickle.Dict:
		return fmt.Sprintf("a dict of %d", len(v.Keys))
	case string:
		return fmt.Sprintf("the string %.100q", v)
	case bool, int64, float64:
		return fmt.Sprint("the value ", v)
	}
	return "nothing of use"
}

// describe names s by its first tensor.
func (s *storage) describe(entries []entry) string {
	for _, e := range entries {
		if e.of == s {
			return fmt.Sprintf("tensor %q (storage %q)", e.name, s.key)
		}
	}
	return fmt.Sprintf("storage %q", s.key)
}

// read reads the tensors, each storage once.
func (f *torchFile) read(entries []entry) (checkpoint, error) {
	c := checkpoint{models.Weights{}, map[string]string{}}
	views, order := map[*storage][]entry{}, []*storage(nil)
	rest := torchGrowth * f.size / 4 // elements, as float32
	for _, e := range entries {
		if e.of.numbers.float == nil {
			c.others[e.name] = e.of.numbers.name
			continue
		}
		if err := e.check(&rest); err != nil {
			return checkpoint{}, fmt.Errorf("tensor %q of shape %v: %w", e.name, e.shape, err)
		}
		if views[e.of] == nil {
			order = append(order, e.of)
		}
		views[e.of] = append(views[e.of], e)
	}
	for _, s := range order {
		b := make([]byte, s.count*s.numbers.size)
		if err := s.read(b); err != nil {
			return checkpoint{}, fmt.Errorf("%s: %w; fetch the file again", s.describe(entries), err)
		}
		for _, e := range views[s] {
			dims := make([]int, len(e.shape))
			for i, d := range e.shape {
				dims[i] = int(d)
			}
			c.weights[e.name] = tensors.FromFlatDataAndDimensions(e.floats(b), dims...)
		}
	}
	return c, nil
}

// read reads the whole of s into b.
func (s *storage) read(b []byte) error {
	if s.open == nil {
		return errors.New("it is not in the file")
	}
	r, err := s.open()
	if err != nil {
		return err
	}
	defer r.Close() // only read from
	if _, err := io.ReadFull(r, b); err != nil {
		return err
	}
	_, err = r.Read(make([]byte, 1)) // at the end a zip member's checksum is compared
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// check says whether t lies in its storage, and takes its elements from rest.
func (t *strided) check(rest *int64) error {
	n, last := int64(1), t.from
	for i, d := range t.shape {
		if d > 0 && n > *rest/d {
			return fmt.Errorf("the tensors up to it take over %d times the bytes of the file; save copies of them: {k: "+
				"v.clone() for k, v in model.state_dict().Items()}", torchGrowth)
		}
		n *= d
		if last < t.of.count { // else it can't be made up for, and the sum might overflow
			last += (d - 1) * t.strides[i]
		}
	}
	if n > 0 && last >= t.of.count {
		return fmt.Errorf("its last element is number %d of a storage of %d; fetch the file again", last+1, t.of.count)
	}
	*rest -= n
	return nil
}

// floats returns t's elements, in row-major order; b are the bytes of its storage.
func (t *strided) floats(b []byte) []float32 {
	n := int64(1)
	for _, d := range t.shape {
		n *= d
	}
	out := make([]float32, n)
	size, at := t.of.numbers.size, t.from
	index := make([]int64, len(t.shape))
	for i := range out {
		out[i] = t.of.numbers.float(b[at*size:])
		for d := len(index) - 1; d >= 0; d-- { // the next index, as an odometer
			at += t.strides[d]
			if index[d]++; index[d] < t.shape[d] {
				break
			}
			at -= t.shape[d] * t.strides[d]
			index[d] = 0
		}
	}
	return out
}
