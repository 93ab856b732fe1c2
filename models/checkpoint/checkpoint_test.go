package checkpoint_test

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"

	"github.com/pdquant/pdquant/internal/fuzzed"
	"github.com/pdquant/pdquant/internal/nettest"
	"github.com/pdquant/pdquant/internal/pickle"
	"github.com/pdquant/pdquant/models"
	"github.com/pdquant/pdquant/models/arch"
	"github.com/pdquant/pdquant/models/checkpoint"
)

// resnet20 is akamaster's checkpoint for CIFAR-10, written by about PyTorch 0.4.
const resnet20 = "../../testdata/cifar10/resnet20-12fca82f.th"

// printed is a tensor as testdata/checkpoints.py printed it.
type printed struct {
	name, kind, shape string
	values            []float32
}

// printedTensors returns the tensors in testdata/values.tsv, by file.
func printedTensors(t testing.TB) map[string][]printed {
	t.Helper()
	all := map[string][]printed{}
	for i, line := range strings.Split(strings.TrimSpace(string(checkpointFile(t, "values.tsv"))), "\n") {
		c := strings.Split(line, "\t")
		if i == 0 {
			continue
		}
		p := printed{name: c[1], kind: c[2], shape: c[3]}
		for _, v := range strings.Fields(c[4]) {
			x, err := strconv.ParseFloat(v, 32)
			if err != nil {
				t.Fatal(err)
			}
			p.values = append(p.values, float32(x))
		}
		all[c[0]] = append(all[c[0]], p)
	}
	return all
}

// checkpointFile returns a file of testdata.
func checkpointFile(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// readBytes is Read of a file in memory.
func readBytes(file []byte, n *models.Network) (models.Weights, error) {
	return checkpoint.Read(bytes.NewReader(file), int64(len(file)), n)
}

// TestRead compares all tensors with PyTorch's, bit by bit.
func TestRead(t *testing.T) {
	all := printedTensors(t)
	if len(all) != 6 {
		t.Errorf("values.tsv is of %d files, want 6", len(all))
	}
	for file, want := range all {
		w, err := readBytes(checkpointFile(t, file), nil)
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		n := 0
		for _, p := range want {
			name := strings.TrimPrefix(p.name, "module.")
			got, ok := w[name]
			if strings.Contains(p.kind, "float") != ok {
				t.Errorf("%s: tensor %q (%s) is there: %t", file, name, p.kind, ok)
			}
			if !ok {
				continue
			}
			n++
			dims := strings.Trim(strings.ReplaceAll(fmt.Sprint([]int(got.Shape().Dimensions)), " ", "x"), "[]")
			if dims != p.shape {
				t.Errorf("%s: tensor %q has shape %s, want %s", file, name, dims, p.shape)
			}
			flat := tensors.MustCopyFlatData[float32](got)
			if !slices.EqualFunc(flat, p.values, func(x, y float32) bool {
				return math.Float32bits(x) == math.Float32bits(y) || x != x && y != y
			}) {
				t.Errorf("%s: tensor %q is %v, want %v", file, name, flat, p.values)
			}
		}
		if n != len(w) {
			t.Errorf("%s: %d tensors, want %d", file, len(w), n)
		}
	}
}

// TestReadFormats reads the same state dict in each format.
func TestReadFormats(t *testing.T) {
	want, err := readBytes(checkpointFile(t, "legacy.pth"), nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, file := range map[string][]byte{
		"zip":                checkpointFile(t, "zip.pth"),
		"legacy, protocol 4": checkpointFile(t, "legacy4.pth"),
		"safetensors":        written(t, want, nil),
		"zip, not in folder": rezip(t, checkpointFile(t, "zip.pth"),
			func(name string, b []byte) (string, []byte) { return strings.TrimPrefix(name, "zip/"), b }),
	} {
		got, err := readBytes(file, nil)
		if err == nil {
			err = nettest.SameWeights(got, want)
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestReadSafetensors reads the types that ReadWeights refuses.
func TestReadSafetensors(t *testing.T) {
	data := []byte{0, 0x3c, 0x80, 0x3f, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f} // 1 as F16, BF16, F64
	header := `{"a":{"dtype":"F16","shape":[1],"data_offsets":[0,2]},` +
		`"b":{"dtype":"BF16","shape":[1,1],"data_offsets":[2,4]},` +
		`"c":{"dtype":"F64","shape":[],"data_offsets":[4,12]},` +
		`"bn.num_batches_tracked":{"dtype":"I64","shape":[],"data_offsets":[12,20]}}`
	file := safetensorsFile(header, append(data, make([]byte, 8)...)...)
	w, err := readBytes(file, nil)
	if err != nil {
		t.Fatal(err)
	}
	one := []float32{1}
	if err := nettest.SameWeights(w,
		models.Weights{"a": tensors.FromFlatDataAndDimensions(one, 1), "b": tensors.FromFlatDataAndDimensions(one, 1, 1),
			"c": tensors.FromScalar(one[0])}); err != nil {
		t.Error(err)
	}
}

func TestLoad(t *testing.T) {
	n := tiny(t)
	for _, file := range []string{"nested.pth.tar", "nested.zip.pth", "pairs.pth"} {
		if _, err := checkpoint.Load(filepath.Join("testdata", file), n); err != nil { // has checked names and shapes
			t.Error(err)
		}
	}

	cifar, err := arch.Design("resnet20", arch.SquareInput(3, 32, 10))
	if err != nil {
		t.Fatal(err)
	}
	w, err := checkpoint.Load(resnet20, cifar)
	if err != nil {
		t.Fatal(err)
	}
	got, err := w.Hash()
	if err != nil {
		t.Fatal(err)
	}
	// Origin: PyTorch 1.13.1's torch.load, and hashlib of what Hash describes: for each name in
	// order, f"{name} [{' '.join(map(str, t.shape))}]\n".encode() + t.numpy().tobytes().
	if want := "1bc7b8e3a62bab7831b53658d9b05cfd42e4c1fd43c3138b88f9a56e65a5c7ef"; got != want {
		t.Errorf("hash %s, want %s", got, want)
	}
}

func TestLoadErrors(t *testing.T) {
	n := tiny(t)
	for _, c := range []struct {
		name   string
		damage func(w models.Weights)
		want   []string
	}{
		{"missing", func(w models.Weights) { delete(w, "bn.running_var") },
			[]string{`weights for tiny have no tensor "bn.running_var" of shape [2]; ` +
				`they are 6 tensors, among them "bn.running_mean" [2]`}},
		{"nothing fits", func(w models.Weights) { clear(w); w["x"] = tensors.FromScalar(float32(1)) },
			[]string{`no tensor "conv.weight" of shape [2 1 3 3]`, `they are 1 tensors, among them "x" []`}},
		{"unknown", func(w models.Weights) { w["conv.bias"] = w["bn.weight"] },
			[]string{`tiny has no tensor "conv.bias", but the weights do, of shape [2]`, `"conv.weight" [2 1 3 3]`}},
		{"shape", func(w models.Weights) { w["fc.bias"] = tensors.FromFlatDataAndDimensions(make([]float32, 4), 4) },
			[]string{`tensor "fc.bias" has shape [4], expected [3]`}},
		{"two classifiers", func(w models.Weights) { w["linear.bias"] = w["fc.bias"] }, []string{`no tensor "linear.bias"`}},
		{"not all in a module", func(w models.Weights) { w["module.fc.bias"] = w["fc.bias"]; delete(w, "fc.bias") },
			[]string{`no tensor "fc.bias"`, `"module.fc.bias" [3]`}},
	} {
		w := models.Init(n, 1)
		c.damage(w)
		checkLoad(t, c.name, written(t, w, nil), n, c.want...)
	}
	integers := func(name string) []byte {
		return safetensorsFile(`{"` + name + `":{"dtype":"I64","shape":[0],"data_offsets":[0,0]}}`)
	}
	checkLoad(t, "integers", integers("fc.weight"), n, `tensor "fc.weight" is I64, expected floats`, "as floats")
	checkLoad(t, "unknown integers", integers("index"), n, `tiny has no tensor "index" (I64)`)
	checkLoad(t, "counter", integers("bn.num_batches_tracked"), n, `no tensor "conv.weight"`)
	for _, file := range []string{"legacy.pth", "zip.pth"} {
		checkLoad(t, file, checkpointFile(t, file), n, `tiny has no tensor "mask" (bool)`)
	}

	if _, err := checkpoint.Load("testdata/none.pth", n); err == nil ||
		!strings.HasPrefix(err.Error(), "checkpoint: open testdata/none.pth: ") {
		t.Errorf("no file: %v", err)
	}
	if _, err := checkpoint.Load("testdata", n); err == nil ||
		!strings.HasPrefix(err.Error(), "checkpoint: testdata: not a file") {
		t.Errorf("folder: %v", err)
	}
}

// checkLoad loads a file with the given content, and looks for want in the error.
func checkLoad(t *testing.T, name string, file []byte, n *models.Network, want ...string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file.th")
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := checkpoint.Load(path, n)
	if err == nil {
		t.Errorf("%s: no error", name)
		return
	}
	for _, want := range append(want, "checkpoint: "+path+": ") {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("%s: an error of several lines: %v", name, err)
	}
}

func TestCheckpointAlias(t *testing.T) {
	for name, want := range map[string]string{
		"linear.weight": "fc.weight", "layer2.0.shortcut.1.running_var": "layer2.0.downsample.1.running_var",
		"nonlinear.weight": "nonlinear.weight", "conv1.weight": "conv1.weight",
	} {
		if got := checkpoint.Alias(name); got != want {
			t.Errorf("checkpoint.Alias(%s) = %s, want %s", name, got, want)
		}
	}
}

// TestReadTruncated cuts files off at every byte.
func TestReadTruncated(t *testing.T) {
	for _, name := range []string{"legacy.pth", "legacy4.pth", "nested.pth.tar", "zip.pth"} {
		file := checkpointFile(t, name)
		tensor := 0
		for i := range file {
			_, err := readBytes(file[:i], nil)
			switch {
			case err == nil:
				t.Errorf("%s: %d of %d bytes are no error", name, i, len(file))
			case strings.Contains(err.Error(), fmt.Sprintf("ends at byte %d, within tensor ", i)):
				tensor++
			case !strings.Contains(err.Error(), "byte"):
				t.Errorf("%s: %d of %d bytes: %v", name, i, len(file), err)
			}
		}
		if tensor == 0 && name != "zip.pth" { // a zip's directory is at its end
			t.Errorf("%s: no error names a tensor", name)
		}
	}
}

// TestReadCall has a pickle that runs a command when Python reads it.
func TestReadCall(t *testing.T) {
	w, report, err := checkpoint.LoadReport("testdata/call.pth", nil)
	if err != nil || len(w) != 1 || w["plain"] == nil || !slices.Equal(report.Ignored, []string{"called"}) {
		t.Errorf("%d tensors, %+v, %v", len(w), report, err)
	}
	if _, err := os.Stat("was-run"); !os.IsNotExist(err) {
		t.Errorf("the command was run: %v", err)
	}
}

// rezip returns the archive with its members changed by change, which drops a member by returning an empty name.
func rezip(t testing.TB, file []byte, change func(name string, b []byte) (string, []byte)) []byte {
	t.Helper()
	return zipAgain(t, file, func(w *zip.Writer, name string, b []byte) (io.Writer, []byte, error) {
		name, b = change(name, b)
		if name == "" {
			return io.Discard, nil, nil
		}
		to, err := w.CreateHeader(&zip.FileHeader{Name: name})
		return to, b, err
	})
}

// unsummed returns the archive with checksums of 0, also after the members, as torch.save writes it without checksums.
func unsummed(t testing.TB, file []byte) []byte {
	t.Helper()
	return zipAgain(t, file, func(w *zip.Writer, name string, b []byte) (io.Writer, []byte, error) {
		const descriptor = 8 // the flag of sizes behind the member
		to, err := w.CreateRaw(&zip.FileHeader{Name: name, Flags: descriptor,
			CompressedSize64: uint64(len(b)), UncompressedSize64: uint64(len(b))})
		return to, b, err
	})
}

// zipAgain returns an archive of the members of another. create begins a member, and says what to write to it.
func zipAgain(t testing.TB, file []byte,
	create func(w *zip.Writer, name string, b []byte) (io.Writer, []byte, error)) []byte {
	t.Helper()
	z, err := zip.NewReader(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	for _, m := range z.File {
		b, err := fs.ReadFile(z, m.Name)
		if err != nil {
			t.Fatal(err)
		}
		to, b, err := create(w, m.Name, b)
		if err == nil {
			_, err = to.Write(b)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestReadZip(t *testing.T) {
	file := checkpointFile(t, "nested.zip.pth") // of a folder nested.zip
	want, err := readBytes(file, nil)
	if err != nil {
		t.Fatal(err)
	}
	big := rezip(t, file, func(name string, b []byte) (string, []byte) {
		switch {
		case strings.HasSuffix(name, "version"):
			return "nested.zip/byteorder", []byte("big")
		case strings.Contains(name, "/data/"):
			for i := 0; i+4 <= len(b); i += 4 {
				slices.Reverse(b[i : i+4])
			}
		}
		return name, b
	})
	got, err := readBytes(big, nil)
	if err == nil {
		err = nettest.SameWeights(got, want)
	}
	if err != nil {
		t.Errorf("big-endian: %v", err)
	}

	got, err = readBytes(unsummed(t, file), nil)
	if err == nil {
		err = nettest.SameWeights(got, want)
	}
	if err != nil {
		t.Errorf("checksums 0: %v", err)
	}

	change := func(suffix string, to func(name string, b []byte) (string, []byte)) []byte {
		return rezip(t, file, func(name string, b []byte) (string, []byte) {
			if strings.HasSuffix(name, suffix) {
				return to(name, b)
			}
			return name, b
		})
	}
	drop := func(string, []byte) (string, []byte) { return "", nil }
	deflated := bytes.ReplaceAll(file, []byte("\x50\x4b\x01\x02\x00\x00\x00\x00\x08\x08\x00\x00"),
		[]byte("\x50\x4b\x01\x02\x00\x00\x00\x00\x08\x08\x08\x00"))
	damaged := bytes.Clone(file)
	damaged[bytes.Index(file, []byte("nested.zip/data/0"))+70] ^= 1 // behind the name is padding to 64 bytes
	pickle := bytes.Clone(file)
	pickle[bytes.Index(file, []byte("bn.bias"))] ^= 1
	for _, c := range []struct {
		name string
		file []byte
		want string
	}{
		{"no pickle", change("data.pkl", drop), "a zip archive without data.pkl"},
		{"no storage", change("data/0", drop), `tensor "module.conv.weight" (storage "0") is missing`},
		{"short storage", change("data/0", func(name string, b []byte) (string, []byte) { return name, b[:70] }),
			`tensor "module.conv.weight" (storage "0") has 70 bytes, but its tensors were made of 72`},
		{"short pickle", change("data.pkl", func(name string, b []byte) (string, []byte) { return name, b[:100] }),
			"data.pkl: byte "},
		{"TorchScript", change("version", func(string, []byte) (string, []byte) { return "nested.zip/constants.pkl", nil }),
			"a TorchScript program"},
		{"compressed", deflated, `"nested.zip/data.pkl" is compressed`},
		{"damaged storage", damaged, `tensor "module.conv.weight" (storage "0"): zip: checksum error`},
		{"damaged pickle", pickle, "data.pkl: zip: checksum error"},
		{"nothing", []byte("PK\x03\x04"), "the zip archive's directory, before its end at byte 4, is missing"},
	} {
		if _, err := readBytes(c.file, nil); err == nil || !strings.Contains(err.Error(), "checkpoint: "+c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

// The parts of pickles.
func pickleText(s string) string {
	return "X" + string(binary.LittleEndian.AppendUint32(nil, uint32(len(s)))) + s
}

func pickleInt(n int64) string {
	return "\x8a\x08" + string(binary.LittleEndian.AppendUint64(nil, uint64(n)))
}

func pickleInts(ns ...int64) string {
	s := "("
	for _, n := range ns {
		s += pickleInt(n)
	}
	return s + "t"
}

// pickleTensor returns the pickle of a tensor of the float storage "0", which has count elements.
func pickleTensor(count, offset int64, shape, strides string) string {
	return "ctorch._utils\n_rebuild_tensor_v2\n((" + pickleText("storage") + "ctorch\nFloatStorage\n" + pickleText("0") +
		pickleText("cpu") + pickleInt(count) +
		"NtQ" + pickleInt(offset) + shape + strides + "tR"
}

// legacyFile returns a legacy file with the given object, and one storage "0" with the numbers.
func legacyFile(object string, numbers ...float32) []byte {
	file := "\x80\x02\x8a\x0a" + string(checkpoint.TorchMagic) + ".\x80\x02M\xe9\x03.\x80\x02}.\x80\x02" + object +
		".\x80\x02](" + pickleText("0") + "e."
	b := binary.LittleEndian.AppendUint64([]byte(file), uint64(len(numbers)))
	for _, x := range numbers {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(x))
	}
	return b
}

func TestLegacyView(t *testing.T) {
	view := strings.Replace(pickleTensor(4, 1, pickleInts(2), pickleInts(1)), "NtQ",
		"("+pickleText("1")+pickleInt(1)+pickleInt(3)+"ttQ", 1)
	w, err := readBytes(legacyFile("}"+pickleText("a")+view+"s", 1, 2, 3, 4), nil)
	if err == nil {
		err = nettest.SameWeights(w, models.Weights{"a": tensors.FromValue([]float32{3, 4})})
	}
	if err != nil {
		t.Error(err)
	}
}

// TestReadLies has files that claim other sizes than they have, and others that only an attacker would write. They must
// not take much memory.
func TestReadLies(t *testing.T) {
	dict := func(tensor string) []byte { return legacyFile("}"+pickleText("a")+tensor+"s", 1, 2) }
	one := pickleInts(1)
	good := pickleTensor(2, 0, pickleInts(2), one)
	if _, err := readBytes(dict(good), nil); err != nil {
		t.Fatal(err)
	}
	count := dict(good)
	count[len(count)-16] = 9
	long := pickleText(strings.Repeat("m", pickle.MaxText))
	pairs := strings.Repeat("]("+pickleText("a")+"Ne", 1000)
	for _, c := range []struct {
		name string
		file []byte
		want string
	}{
		{"count", dict(pickleTensor(1<<40, 0, pickleInts(2), one)),
			`storage "0" of 1099511627776 numbers of 4 bytes each in a file of`},
		{"count that overflows", dict(pickleTensor(math.MaxInt64, 0, pickleInts(2), one)),
			`storage "0" of 9223372036854775807 numbers`},
		{"negative count", dict(pickleTensor(-1, 0, pickleInts(2), one)), `storage "0" of -1 numbers`},
		{"other count", count, `9 elements of tensor "a" (storage "0"), which has 2`},
		{"count beyond the end", dict(pickleTensor(10, 0, pickleInts(2), one)),
			`within tensor "a" (storage "0"), which is bytes`},
		{"two counts", dict(good + "0" + pickleTensor(1, 0, one, one)), `storage "0" as 1 numbers`},
		{"shape", dict(pickleTensor(2, 0, pickleInts(3), one)),
			`tensor "a" of shape [3]: its last element is number 3 of a storage of 2`},
		{"offset", dict(pickleTensor(2, 1, pickleInts(2), one)), "its last element is number 3 of a storage of 2"},
		{"huge offset", dict(pickleTensor(2, math.MaxInt64, one, one)), "its last element is number"},
		{"negative offset", dict(pickleTensor(2, -1, one, one)), "a tensor whose storage or offset is none"},
		{"stride", dict(pickleTensor(2, 0, pickleInts(2, 2), pickleInts(math.MaxInt32, 1))), "of a storage of 2"},
		{"huge stride", dict(pickleTensor(2, 0, one, pickleInts(1<<40))), "a size or stride that is not 0 to"},
		{"negative stride", dict(pickleTensor(2, 0, one, pickleInts(-1))), "a size or stride"},
		{"negative size", dict(pickleTensor(2, 0, pickleInts(-1), one)), "a size or stride"},
		{"rank", dict(pickleTensor(2, 0, pickleInts(make([]int64, 9)...), one)), "shape or strides are not up to 8 numbers"},
		{"strides", dict(pickleTensor(2, 0, one, pickleInts(1, 1))), "1 dimensions and 2 strides"},
		{"repeated element", dict(pickleTensor(2, 0, pickleInts(1<<20, 1<<10), pickleInts(0, 0))),
			"take over 8 times the bytes of the file"},
		{"overflow", dict(pickleTensor(2, 0, pickleInts(1<<30, 1<<30, 1<<30), pickleInts(0, 0, 0))), "take over 8 times"},
		{"string", legacyFile("X\xff\xff\xff\xff"), "the file ends within a pickle"},
		{"long string", legacyFile("\x8d\xff\xff\xff\xff\xff\xff\xff\x7f"), "the file ends within a pickle"},
		{"longer string", legacyFile("\x8e\xff\xff\xff\xff\xff\xff\xff\xff"), "the file ends within a pickle"},
		{"frame", legacyFile("\x95\xff\xff\xff\xff\xff\xff\xff\x7fN"), "the file holds nothing of use, not a state dict"},
		{"class", legacyFile(long + long + "\x93"), "a class whose name is not a string of up to 1024 bytes"},
		{"global", legacyFile("c" + strings.Repeat("m", 1<<13)), "the file ends within a pickle"},
		{"dict in itself", legacyFile("}q\x00" + pickleText("model") + "h\x00s"),
			`no tensors in the dict of 1 that the file holds ("model", which is a dict of 1;`},
		{"list in itself", legacyFile("]q\x00h\x00a"), "the file holds a list of 1"},
		{"copies", legacyFile("ccollections\nOrderedDict\nq\x00](" + pairs + "e\x85q\x01" +
			strings.Repeat("h\x00h\x01R0", 3000)), "by copies of text or pairs"},
	} {
		fuzzed.Within(t, 1<<20, func() {
			_, err := readBytes(c.file, nil)
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") ||
				len(err.Error()) > 500 {
				t.Errorf("%s: %v, want %q", c.name, err, c.want)
			}
		})
	}
}

func TestReadErrors(t *testing.T) {
	magic := "\x80\x02\x8a\x0a" + string(checkpoint.TorchMagic) + "."
	for _, c := range []struct{ name, file, want string }{
		{"empty", "", "byte 0: a file of 0 bytes"},
		{"web page", "<!DOCTYPE html>", "byte 0: a file of 15 bytes that starts with 3c 21 44 4f 43 54 59 50 45 is neither"},
		{"gzip", "\x1f\x8b\x08\x00", "or unpack it"},
		{"other pickle", "\x80\x02}.", "pickle 1 is a dict of 0, not what torch.save writes there"},
		{"other version", magic + "\x80\x02K\x01.", "pickle 2 is the value 1"},
		{"protocol", "\x80\x09N.", "byte 0: pickle protocol 9, only 0 to 5 are read"},
		{"opcode", "\x80\x02\xff", "byte 2: opcode 0xff is none that Python writes"},
		{"stack", "\x80\x02.", "byte 2: nothing on the stack"},
		{"tuple", "\x80\x02N\x86.", "byte 3: 1 values on the stack, not 2"},
		{"over a mark", "\x80\x02N(\x85.", "byte 4: 0 values on the stack, not 1"},
		{"no mark", "\x80\x02t.", "byte 2: no mark on the stack"},
		{"memo", "\x80\x02h\x05.", "byte 2: memo 5, which holds nothing"},
		{"nothing to memorise", "\x80\x02q\x05.", "byte 2: nothing on the stack"},
		{"odd dict", "\x80\x02}(Nu.", "byte 5: a key without a value"},
		{"list as dict", "\x80\x02](NNu.", "byte 6: items for"},
		{"call of a number", "\x80\x02K\x01)R.", "byte 5: a call of what is no function"},
		{"call without tuple", "\x80\x02ca\nb\nNR.", "byte 8: arguments that are no tuple"},
		{"persistent", "\x80\x02)Q.", "byte 3: a persistent id, where there are none"},
		{"ordered dict", "\x80\x02ccollections\nOrderedDict\nK\x01\x85R.", "an OrderedDict of what is no list"},
		{"ordered dict of numbers", "\x80\x02ccollections\nOrderedDict\n]K\x01a\x85R.",
			"an OrderedDict of what are no pairs"},
		{"class of numbers", "\x80\x02NN\x93.", "byte 4: a class whose name is not a string"},
		{"many opcodes", "\x80\x02" + strings.Repeat("N0", pickle.MaxOps/2+1), "a pickle of more than 2097152 opcodes"},
		{"many marks", "\x80\x02" + strings.Repeat("(", 1000), "the file ends within a pickle"},
		{"module", string(checkpointFile(t, "module.pth")),
			`the file holds an object of "torch.nn.modules.activation.ReLU", not a state dict; load it in Python`},
		{"no tensors", string(legacyFile("}(" + pickleText("epoch") + "K\x03" + pickleText("args") +
			"cargparse\nNamespace\n)\x81u")),
			`no tensors in the dict of 2 that the file holds ("epoch", which is the value 3, ` +
				`"args", which is an object of "argparse.Namespace"; nothing was run)`},
		{"unknown tensor", string(legacyFile("}(" + pickleText("b") +
			"ctorch._utils\n_rebuild_qtensor\n)Ru")),
			`no tensors in the dict of 1 that the file holds ("b", which is an object of "torch._utils._rebuild_qtensor"`},
		{"storage type", string(legacyFile(strings.Replace(pickleTensor(0, 0, "(t", "(t"), "FloatStorage", "Float4Storage",
			1))), `storage "0" of unknown type "torch.Float4Storage"`},
		{"storage key", string(legacyFile("}" + pickleText("a") +
			strings.Replace(pickleTensor(0, 0, "(t", "(t"), pickleText("0"), pickleText("1"), 1) + "s")),
			`storage "0", of unknown length, lies before tensor "a" (storage "1")`},
		{"scalar in an empty storage", string(legacyFile("}" + pickleText("a") + pickleTensor(0, 0, "(t", "(t") + "s")),
			`tensor "a" of shape []: its last element is number 1 of a storage of 0`},
	} {
		_, err := readBytes([]byte(c.file), nil)
		if err == nil || !strings.HasPrefix(err.Error(), "checkpoint: ") || !strings.Contains(err.Error(), c.want) ||
			strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

// FuzzRead: nothing panics, hangs or takes much memory, and an error is one line.
func FuzzRead(f *testing.F) {
	for file := range printedTensors(f) {
		f.Add(checkpointFile(f, file))
	}
	f.Add(checkpointFile(f, "call.pth"))
	others, err := os.ReadDir("testdata/others")
	if err != nil {
		f.Fatal(err)
	}
	for _, other := range others {
		f.Add(checkpointFile(f, filepath.Join("others", other.Name())))
	}
	f.Add(checkpointFile(f, "module.pth"))
	f.Add(legacyFile("}"+pickleText("a")+pickleTensor(2, 0, pickleInts(2), pickleInts(1))+"s", 1, 2))
	f.Add(written(f, models.Init(tiny(f), 1), nil))
	n := tiny(f)
	f.Fuzz(func(t *testing.T, file []byte) {
		var w models.Weights
		var err error
		fuzzed.Within(t, 1<<20+1000*uint64(len(file)), func() { w, err = readBytes(file, nil) })
		size := 0
		for t := range maps.Values(w) {
			size += 4 * t.Size()
		}
		if size > checkpoint.TorchGrowth*len(file) {
			t.Errorf("tensors of %d bytes in a file of %d", size, len(file))
		}
		if err == nil {
			fuzzed.Within(t, 1<<20+1000*uint64(len(file)), func() { _, err = readBytes(file, n) })
		}
		if err != nil && (strings.ContainsAny(err.Error(), "\n\r") || !strings.HasPrefix(err.Error(), "checkpoint: ")) {
			t.Errorf("error %q", err)
		}
	})
}

// tiny returns a network with one convolution, for images of 1x6x6.
func tiny(t testing.TB) *models.Network {
	t.Helper()
	n := &models.Network{Name: "tiny", Channels: 1, Height: 6, Width: 6, Classes: 3,
		Layers: []models.Layer{
			{Name: "conv", Inputs: []string{models.Image},
				Op: models.Conv{In: 1, Out: 2, Window: models.SquareWindow(3, 1, 1), Groups: 1}},
			{Name: "bn", Inputs: []string{"conv"}, Op: models.BatchNorm{Channels: 2, Eps: 1e-5}},
			{Name: "relu", Inputs: []string{"bn"}, Op: models.ReLU{}},
			{Name: "avgpool", Inputs: []string{"relu"}, Op: models.GlobalAvgPooling{}},
			{Name: "fc", Inputs: []string{"avgpool"}, Op: models.Linear{In: 2, Out: 3}},
		},
		Units: []models.Unit{{Name: "stem", First: 0, Last: 2}, {Name: "fc", First: 4, Last: 4}},
	}
	if err := n.Validate(); err != nil {
		t.Fatal(err)
	}
	return n
}
