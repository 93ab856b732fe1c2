package datasets

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/pdquant/pdquant/internal/fuzzed"
)

// twoImages is an IDX file of two 1x3 images, twoLabels one of their labels.
const (
	twoImages = "\x00\x00\x08\x03\x00\x00\x00\x02\x00\x00\x00\x01\x00\x00\x00\x03abcdef"
	twoLabels = "\x00\x00\x08\x01\x00\x00\x00\x02\x01\x00"
)

// pack returns content gzip'ed, as small as gzip can.
func pack(t testing.TB, content []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := z.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestReadIDX(t *testing.T) {
	packed := string(pack(t, []byte(twoImages)))
	for name, content := range map[string]string{"plain": twoImages, "gzip": packed} {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		x, err := ReadIDXFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if x.Name != path || !slices.Equal(x.Sizes, []int{2, 1, 3}) || string(x.Data) != "abcdef" {
			t.Errorf("%s: %+v", name, x)
		}
	}
	if _, err := ReadIDXFile(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
}

func TestReadIDXErrors(t *testing.T) {
	packed := string(pack(t, []byte(twoImages)))
	wrongSum := packed[:len(packed)-8] + "\x00\x00\x00\x00" + packed[len(packed)-4:]
	for _, c := range []struct{ name, content, want string }{
		{"empty", "", "byte 0: file ends within its header"},
		{"three bytes", twoImages[:3], "byte 3: file ends within its header"},
		{"text", "<html></html>", "byte 0: 3c 68 is not the start of an IDX file"},
		{"floats", "\x00\x00\x0d\x01\x00\x00\x00\x01abcd", "byte 2: type code 0x0d"},
		{"no dimensions", "\x00\x00\x08\x00", "byte 3: no dimensions"},
		{"short sizes", twoImages[:14], "byte 14: file ends within its header"},
		{"size 0", "\x00\x00\x08\x01\x00\x00\x00\x00", "byte 4: size 0 of dimension 0"},
		{"too large", "\x00\x00\x08\x01\xff\xff\xff\xff", "byte 4: size 4294967295"},
		{"product too large", "\x00\x00\x08\x02\x00\x01\x00\x00\x00\x01\x00\x00",
			"byte 8: size 65536 of dimension 1 makes 4294967296 bytes"},
		{"255 dimensions", "\x00\x00\x08\xff" + strings.Repeat("\xff\xff\xff\xff", 255), "byte 4: size"},
		{"no data", twoImages[:16], "byte 16: file ends within its 6 bytes of data"},
		{"short data", twoImages[:20], "byte 20: file ends within its 6 bytes of data"},
		{"absurd size", "\x00\x00\x08\x01\x7f\xff\xff\xff12345", "byte 13: file ends within its 2147483647 bytes of data"},
		{"trailing", twoImages + "g", "byte 22: more data than the header says"},
		{"gzip header", "\x1f\x8bxx", "byte 0: gzip"},
		{"gzip cut", packed[:len(packed)-12], "byte"},
		{"gzip cut in its checksum", packed[:len(packed)-2], "byte 22: at the end: unexpected EOF"},
		{"gzip checksum", wrongSum, "byte 22: at the end: gzip: invalid checksum"},
		{"gzip and more", packed + "more", "byte 22: at the end: "},
		{"gzip, trailing inside", string(pack(t, []byte(twoImages+"g"))), "byte 22: more data"},
	} {
		_, err := ReadIDX(strings.NewReader(c.content), "some-file")
		if lacks(err, "datasets: some-file: "+c.want) {
			t.Errorf("%s: error %v, want one with %q", c.name, err, c.want)
		}
	}
	broken := iotest.ErrReader(errors.New("disk on fire"))
	_, err := ReadIDX(io.MultiReader(strings.NewReader(twoImages[:18]), broken), "f")
	if lacks(err, "byte 18: disk on fire") {
		t.Errorf("broken reader: %v", err)
	}
}

// TestReadIDXMemory: memory follows what has been read, not the sizes in the header.
func TestReadIDXMemory(t *testing.T) {
	content := "\x00\x00\x08\x01\x7f\xff\xff\xff12345"
	fuzzed.Within(t, 2*idxChunk, func() {
		if _, err := ReadIDX(strings.NewReader(content), "f"); err == nil {
			t.Error("no error")
		}
	})
}

// TestReadIDXPacked: a small file that gzip made of 24 MB of zeros is refused before it has taken that memory, and
// labels in their order, which gzip packs as densely, are read.
func TestReadIDXPacked(t *testing.T) {
	packed := func(n int) []byte {
		header := binary.BigEndian.AppendUint32([]byte{0, 0, 8, 1}, uint32(n))
		return pack(t, append(header, make([]byte, n)...))
	}
	bomb := packed(24 << 20)
	fuzzed.Within(t, 40<<20, func() {
		if _, err := ReadIDX(bytes.NewReader(bomb), "f"); lacks(err, "f: byte 16777224: gzip packed this to") {
			t.Errorf("24 MB of zeros: %v", err)
		}
	})
	if x, err := ReadIDX(bytes.NewReader(packed(60_000)), "f"); err != nil || len(x.Data) != 60_000 {
		t.Errorf("%d labels, error %v", len(x.Data), err)
	}
}

// TestReadIDXLarge reads data over several chunks.
func TestReadIDXLarge(t *testing.T) {
	want := IDX{Sizes: []int{5, idxChunk + 7}, Data: make([]uint8, 5*(idxChunk+7))}
	for i := range want.Data {
		want.Data[i] = uint8(i * i >> 8)
	}
	var file bytes.Buffer
	if err := WriteIDX(&file, want); err != nil {
		t.Fatal(err)
	}
	got, err := ReadIDX(&file, "")
	if err != nil || !slices.Equal(got.Sizes, want.Sizes) || !bytes.Equal(got.Data, want.Data) {
		t.Errorf("sizes %v, error %v", got.Sizes, err)
	}
}

func TestWriteIDX(t *testing.T) {
	var b strings.Builder
	if err := WriteIDX(&b, IDX{Sizes: []int{2, 1, 3}, Data: []uint8("abcdef")}); err != nil || b.String() != twoImages {
		t.Errorf("WriteIDX: %q, %v", b.String(), err)
	}
	for _, x := range []IDX{
		{},
		{Data: []uint8{1}},
		{Sizes: []int{2}, Data: []uint8{1}},
		{Sizes: []int{0}},
		{Sizes: []int{-1, -1}, Data: []uint8{1}},
		{Sizes: []int{math.MaxInt/2 + 1, 4}, Data: []uint8{1}},
		{Sizes: slices.Repeat([]int{1}, 256), Data: []uint8{1}},
	} {
		if err := WriteIDX(io.Discard, x); lacks(err, fmt.Sprint(x.Sizes)) {
			t.Errorf("WriteIDX of %d bytes as %v: %v", len(x.Data), x.Sizes, err)
		}
	}
	for _, room := range []int64{0, 16} {
		w := &fullWriter{room: room}
		if err := WriteIDX(w, IDX{Name: "f", Sizes: []int{2, 1, 3}, Data: []uint8("abcdef")}); !errors.Is(err, errFull) {
			t.Errorf("writer with room for %d: %v", room, err)
		}
	}
}

var errFull = errors.New("full")

// fullWriter takes room bytes.
type fullWriter struct{ room int64 }

func (w *fullWriter) Write(p []byte) (int, error) {
	if w.room -= int64(len(p)); w.room < 0 {
		return 0, errFull
	}
	return len(p), nil
}

func TestJoinIDX(t *testing.T) {
	pixels := IDX{Name: "images", Sizes: []int{2, 1, 3}, Data: []uint8("abcdef")}
	labels := IDX{Name: "labels", Sizes: []int{2}, Data: []uint8{1, 0}}
	classes := []string{"a", "b"}
	im, err := JoinIDX("set/part", pixels, labels, classes)
	if err != nil {
		t.Fatal(err)
	}
	if im.Name != "set/part" || im.Len() != 2 || im.Channels != 1 || im.Height != 1 || im.Width != 3 ||
		!slices.Equal(im.Labels, []int32{1, 0}) {
		t.Errorf("JoinIDX = %+v", im)
	}
	for _, c := range []struct {
		want           string
		pixels, labels IDX
	}{
		{"labels: byte 3: 1 dimensions, images have 3", labels, labels},
		{"images: byte 3: 3 dimensions, labels have 1", pixels, pixels},
		{"labels: byte 4: 3 labels, but images has 2 images", pixels,
			IDX{Name: "labels", Sizes: []int{3}, Data: []uint8{0, 0, 0}}},
		{"labels: byte 9: label 2 is not one of 2 classes", pixels,
			IDX{Name: "labels", Sizes: []int{2}, Data: []uint8{0, 2}}},
		{"5 pixels are not 2 images", IDX{Name: "images", Sizes: []int{2, 1, 3}, Data: []uint8("abcde")}, labels},
	} {
		if _, err := JoinIDX("set/part", c.pixels, c.labels, classes); lacks(err, c.want) {
			t.Errorf("error %v, want one with %q", err, c.want)
		}
	}
}

// FuzzIDX compares ReadIDX with the plain form of its rule: the content is the header WriteIDX
// writes for the sizes, then that many bytes, and nothing else.
func FuzzIDX(f *testing.F) {
	for _, s := range []string{"", twoImages, twoLabels, twoImages[:21], twoImages + "g",
		"\x00\x00\x08\x01\x7f\xff\xff\xff12345",
		"\x00\x00\x08\x02\x00\x00\x00\x01\x00\x00\x00\x00", "\x00\x00\x09\x01\x00\x00\x00\x01a", "\x1f\x8b\x08"} {
		f.Add([]byte(s))
	}
	f.Add(pack(f, []byte(twoImages)))
	f.Add(pack(f, []byte(twoLabels+"more")))
	f.Fuzz(func(t *testing.T, file []byte) {
		content := file
		if bytes.HasPrefix(file, []byte{0x1f, 0x8b}) {
			z, err := gzip.NewReader(bytes.NewReader(file))
			if err != nil {
				content = nil
			} else if content, err = io.ReadAll(io.LimitReader(z, 1<<24)); err != nil || len(content) == 1<<24 {
				content = nil
			}
		}
		var x IDX
		var err error
		fuzzed.Bounded(t, func() { x, err = ReadIDX(bytes.NewReader(file), "fuzz") })
		if want := plainIDX(content); (err == nil) != want {
			t.Fatalf("error %v, but the plain form says valid = %t", err, want)
		}
		if err != nil {
			return
		}
		var again bytes.Buffer
		if err := WriteIDX(&again, x); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(again.Bytes(), content) {
			t.Fatalf("written again: % x", again.Bytes())
		}
	})
}

// plainIDX reports whether b is an IDX file of bytes that is all in memory.
func plainIDX(b []byte) bool {
	if len(b) < 4 || b[0] != 0 || b[1] != 0 || b[2] != 8 || b[3] == 0 || len(b) < 4+4*int(b[3]) {
		return false
	}
	rest := uint64(len(b) - 4 - 4*int(b[3]))
	for i := range int(b[3]) {
		s := b[4+4*i:]
		size := uint64(s[0])<<24 | uint64(s[1])<<16 | uint64(s[2])<<8 | uint64(s[3])
		if size == 0 || rest%size != 0 {
			return false
		}
		rest /= size
	}
	return rest == 1
}
