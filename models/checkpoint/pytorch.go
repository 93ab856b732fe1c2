package checkpoint

import (
	"archive/zip"
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"math"
	"strconv"
	"strings"

	"github.com/gomlx/gomlx/core/tensors"

	"github.com/pdquant/pdquant/internal/pickle"
	"github.com/pdquant/pdquant/models"
)

const (
	torchMagic   = pickle.Long("\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19") // torch/serialization.py: MAGIC_NUMBER
	torchVersion = 1001                                                    // torch/serialization.py: PROTOCOL_VERSION
	torchRank    = 8                                                       // largest number of dimensions
	torchGrowth  = 8                                                       // largest size of tensors, times the file's
	torchName    = 1 << 10                                                 // longest name of a tensor or storage

	torchSave = "in Python, torch.save(model.state_dict(), file)" // the remedy
)

// storage is a sequence of numbers in a file. Tensors are views of it.
type storage struct {
	key     string
	kind    pickle.Class
	numbers numbers
	count   int64                     // of numbers, at most what the file has room for
	open    func() (io.Reader, error) // returns their bytes; nil until these are found
}

// part is a storage from element number from on.
type part struct {
	of   *storage
	from int64
}

// strided is a tensor. Its element i,j,… is element from + i·strides[0] + j·strides[1] + … of the storage.
type strided struct {
	part
	shape, strides []int64
}

// unread is a tensor or storage that isn't understood. It is an error only if it is needed.
type unread struct{ error }

// torchFile is a file of torch.save that is being read.
type torchFile struct {
	size     int64            // bytes
	order    binary.ByteOrder // of the storages
	storages map[string]*storage
}

// readLegacy reads a file that torch.save wrote before PyTorch 1.6. It has five pickles (a magic number, a version, the
// machine, the object, the storages' keys), then the storages: for each, its count as int64 and its numbers. All are
// little-endian.
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
			return checkpoint{}, fmt.Errorf("pickle %d is %s, not what torch.save writes there; write the file again: %s",
				i+1, describe(v), torchSave)
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
	d, err := stateDict(root)
	if err != nil {
		return checkpoint{}, err
	}
	if err := f.locate(r, u.At, keys, d.entries); err != nil {
		return checkpoint{}, err
	}
	return f.read(d)
}

// unpickle reads one pickle. Errors say at which byte, and the remedy.
func unpickle(u *pickle.Decoder) (any, error) {
	v, err := u.Value()
	if err != nil {
		return nil, fmt.Errorf("%w; fetch the file again, or write it again: %s", err, torchSave)
	}
	return v, nil
}

// locate finds the storages of a legacy file, which start at byte at. A storage that isn't understood has an unknown
// length, so that those after it can't be found. This is an error if entries need them.
func (f *torchFile) locate(r io.ReaderAt, at int64, keys any, entries []entry) error {
	list, ok := keys.(*pickle.Tuple)
	if !ok {
		return fmt.Errorf("byte %d: no list of storages before it; fetch the file again", at)
	}
	for _, key := range list.Items {
		name, _ := key.(string)
		s := f.storages[name]
		if s == nil {
			return f.unlocated(at, name, entries)
		}
		var count [8]byte
		from, length := at+int64(len(count)), s.count*s.numbers.size
		if from+length > f.size {
			return fmt.Errorf("the file ends at byte %d, within %s, which is bytes %d to %d; fetch it again",
				f.size, s.describe(entries), at, from+length)
		}
		if _, err := r.ReadAt(count[:], at); err != nil {
			return fmt.Errorf("byte %d: %w", at, err)
		}
		if n := int64(binary.LittleEndian.Uint64(count[:])); n != s.count {
			return fmt.Errorf("byte %d: %d elements of %s, which has %d; fetch the file again",
				at, n, s.describe(entries), s.count)
		}
		s.open = func() (io.Reader, error) { return io.NewSectionReader(r, from, length), nil }
		at = from + length
	}
	return nil
}

// unlocated returns the error for a storage at byte at that isn't understood, if entries need one after it.
func (f *torchFile) unlocated(at int64, key string, entries []entry) error {
	for _, e := range entries {
		if e.of.open == nil && e.of.numbers.float != nil {
			return fmt.Errorf("byte %d: storage %.50q, of unknown length, lies before %s; write the file again: %s",
				at, key, e.of.describe(entries), torchSave)
		}
	}
	return nil
}

// readZip reads a file that torch.save has written since PyTorch 1.6: a zip archive, not compressed, of a folder that
// has the object as data.pkl and each storage as data/KEY.
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
	u := &pickle.Decoder{R: bufio.NewReader(data), Call: construct, Load: f.load}
	root, err := unpickle(u)
	if err == nil {
		_, err = io.Copy(io.Discard, u.R) // to the end, where summed compares the checksum
	}
	if err != nil {
		return checkpoint{}, fmt.Errorf("data.pkl: %w", err)
	}
	d, err := stateDict(root)
	if err != nil {
		return checkpoint{}, err
	}
	rest := size // each byte belongs to one storage
	for _, e := range d.entries {
		if e.of.open != nil || e.of.numbers.float == nil {
			continue
		}
		m, length := a.members["data/"+e.of.key], e.of.count*e.of.numbers.size
		if m == nil {
			return checkpoint{}, fmt.Errorf("%s is missing; fetch the file again", e.of.describe(d.entries))
		}
		if rest -= length; rest < 0 || m.UncompressedSize64 != uint64(length) {
			return checkpoint{}, fmt.Errorf("%s has %d bytes, but its tensors were made of %d; fetch the file again",
				e.of.describe(d.entries), m.UncompressedSize64, length)
		}
		e.of.open = func() (io.Reader, error) { return a.open(m) }
	}
	return f.read(d)
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

// open opens a member. It must not be compressed, as a few bytes could become many.
func (a archive) open(m *zip.File) (io.Reader, error) {
	if m.Method != zip.Store || m.CompressedSize64 != m.UncompressedSize64 || m.UncompressedSize64 > uint64(a.size) {
		return nil, fmt.Errorf("%.100q is compressed or larger than the archive, as torch.save never has it; write the "+
			"file again: %s", m.Name, torchSave)
	}
	r, err := m.OpenRaw()
	if err != nil {
		return nil, fmt.Errorf("%.100q: %w; fetch the file again", m.Name, err)
	}
	return &summed{r: r, sum: crc32.NewIEEE(), want: m.CRC32}, nil
}

// summed reads r and compares the checksum at its end, unless it is 0, which means none: torch.save writes 0 on request
// (torch.serialization.set_crc32_options). PyTorch compares no checksums.
type summed struct {
	r    io.Reader
	sum  hash.Hash32
	want uint32
}

func (s *summed) Read(b []byte) (int, error) {
	n, err := s.r.Read(b)
	s.sum.Write(b[:n]) // a hash returns no errors
	if errors.Is(err, io.EOF) && s.want != 0 && s.sum.Sum32() != s.want {
		err = zip.ErrChecksum
	}
	return n, err
}

// load returns the value that a persistent id stands for: a part of a storage, or the class in ('module', class, file,
// source), with which legacy files keep a model's code.
func (f *torchFile) load(id []any) (any, error) {
	if len(id) == 1 {
		text, _ := id[0].(string)
		id = printedID(text)
	}
	if len(id) > 1 && id[0] == "module" {
		return id[1], nil
	}
	if len(id) == 0 || id[0] != "storage" {
		return &pickle.Object{Class: "another persistent id"}, nil
	}
	p, err := f.part(id)
	if err != nil {
		return unread{err}, nil
	}
	return p, nil
}

// printedID returns the items of a storage's persistent id from text, which protocol 0 has instead of the items:
//
//	('storage', <class 'torch.FloatStorage'>, '94023', 'cpu', 432, None or ('94024', 0, 432))
//
// For other text it returns nil.
func printedID(text string) []any {
	fields := strings.SplitN(strings.Trim(text, "()"), ", ", 9)
	if len(fields) < 5 {
		return nil
	}
	class, isClass := strings.CutPrefix(fields[1], "<class '")
	count, err := printedInt(fields[4])
	if fields[0] != "'storage'" || !isClass || err != nil {
		return nil
	}
	id := []any{"storage", pickle.Class(strings.TrimSuffix(class, "'>")), strings.Trim(fields[2], "'"), nil, count}
	if len(fields) == 8 {
		offset, err := printedInt(fields[6])
		if err != nil {
			return nil
		}
		id = append(id, &pickle.Tuple{Items: []any{nil, offset, nil}})
	}
	return id
}

// printedInt returns the int that Python has printed; Python 2 may add an L.
func printedInt(text string) (int64, error) {
	return strconv.ParseInt(strings.TrimSuffix(text, "L"), 10, 64)
}

// part returns the part of a storage that a persistent id stands for:
//
//	('storage', type, key, device, count)
//	('storage', type, key, device, count, None or (view's key, offset, view's count))   legacy
func (f *torchFile) part(id []any) (part, error) {
	if len(id) < 5 {
		return part{}, errors.New("a storage's persistent id that is too short")
	}
	kind, isClass := id[1].(pickle.Class)
	key, isText := id[2].(string)
	count, isInt := id[4].(int64)
	if !isClass || !isText || !isInt || len(key) > torchName {
		return part{}, errors.New("a storage whose type, key or size is none")
	}
	var from int64
	if len(id) > 5 && id[5] != nil {
		view, ok := id[5].(*pickle.Tuple)
		if ok && len(view.Items) == 3 {
			from, ok = view.Items[1].(int64)
		}
		if !ok || from < 0 || from > count {
			return part{}, fmt.Errorf("a view of storage %.50q that does not lie within it", key)
		}
	}
	if s := f.storages[key]; s != nil {
		if s.kind != kind || s.count != count {
			return part{}, fmt.Errorf("storage %.50q as %d numbers of %.50q, but it is %d of %.50q elsewhere",
				key, count, kind, s.count, s.kind)
		}
		return part{s, from}, nil
	}
	n, ok := torchNumbers(kind, f.order)
	if !ok {
		return part{}, fmt.Errorf("storage %.50q of unknown type %.50q", key, kind)
	}
	if count < 0 || count > f.size/n.size {
		return part{}, fmt.Errorf("storage %.50q of %d numbers of %d bytes each in a file of %d bytes",
			key, count, n.size, f.size)
	}
	f.storages[key] = &storage{key: key, kind: kind, numbers: n, count: count}
	return part{f.storages[key], from}, nil
}

// torchNumbers returns the type of numbers in a storage of class kind.
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
	case "torch.storage.UntypedStorage", "torch.UntypedStorage":
		return numbers{name: "bytes", size: 1}, true
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

// construct returns the result of Python's function or class f for args: a tensor for the few functions that make
// tensors, an inert object for all others.
// Source: torch/_utils.py, torch/_tensor.py.
func construct(f pickle.Class, args []any) (any, error) {
	switch f {
	case "torch._utils._rebuild_tensor", "torch._utils._rebuild_tensor_v2":
		t, err := rebuild(args)
		if err != nil {
			return unread{err}, nil
		}
		return t, nil
	case "torch._utils._rebuild_parameter", "torch._utils._rebuild_parameter_with_state", // of a tensor
		"torch.nn.parameter.Parameter", "torch.Size": // of a tensor; of a tuple
		if len(args) > 0 {
			return args[0], nil
		}
	case "torch._tensor._rebuild_from_type_v2": // of another function, a subclass of Tensor, arguments and a state
		if len(args) > 2 && args[0] != f {
			inner, isClass := args[0].(pickle.Class)
			of, isTuple := args[2].(*pickle.Tuple)
			if isClass && isTuple {
				return construct(inner, of.Items)
			}
		}
	}
	return &pickle.Object{Class: f}, nil
}

// rebuild makes a tensor of args: storage, offset, shape, strides, and others that it ignores.
func rebuild(args []any) (*strided, error) {
	if len(args) < 4 {
		return nil, fmt.Errorf("a tensor of %d arguments, not 4 or more", len(args))
	}
	if u, ok := args[0].(unread); ok {
		return nil, u.error
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

// describe names s by its first tensor.
func (s *storage) describe(entries []entry) string {
	for _, e := range entries {
		if e.of == s {
			return fmt.Sprintf("tensor %q (storage %q)", e.name, s.key)
		}
	}
	return fmt.Sprintf("storage %q", s.key)
}

// read reads the tensors of d, each storage once.
func (f *torchFile) read(d dict) (checkpoint, error) {
	c := checkpoint{models.Weights{}, map[string]string{}, d.objects, d.under}
	entries := d.entries
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
	if _, err := io.ReadFull(r, b); err != nil {
		return err
	}
	_, err = r.Read(make([]byte, 1)) // at the end summed compares the checksum
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// check returns an error if t doesn't lie within its storage, or has more than rest elements, which it reduces.
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

// floats returns t's elements in row-major order. b are the bytes of its storage.
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
