package pickle_test

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/pdquant/pdquant/internal/fuzzed"
	"github.com/pdquant/pdquant/internal/pickle"
)

// read reads one pickle, with functions that return their first argument.
func read(file string) (any, error) {
	first := func(_ pickle.Class, args []any) (any, error) {
		if len(args) > 0 {
			return args[0], nil
		}
		return nil, nil
	}
	d := &pickle.Decoder{R: bufio.NewReader(strings.NewReader(file)), Call: first,
		Load: func(id []any) (any, error) { return &pickle.Tuple{Items: id}, nil }}
	return d.Value()
}

func list(items ...any) *pickle.Tuple { return &pickle.Tuple{Items: items} }

// TestProtocols reads the value in testdata/pickles.py in each protocol.
func TestProtocols(t *testing.T) {
	one, shared := int64(1), "shared é € 🐍 \\u0041 \n"
	dict := func(keysAndValues ...any) *pickle.Dict {
		d := &pickle.Dict{}
		for i := 0; i < len(keysAndValues); i += 2 {
			d.Keys, d.Values = append(d.Keys, keysAndValues[i]), append(d.Values, keysAndValues[i+1])
		}
		return d
	}
	want := list(nil, true, false, int64(0), int64(-1), int64(255), int64(65535), int64(1<<31), int64(-1<<40),
		int64(1<<63-1), pickle.Long("\x00\x00\x00\x00\x00\x00\x00\x80\x00"),
		pickle.Long("\x00\x00\x00\x00\x00\x00\x00\x00\xc0"),
		pickle.Long("\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"), 0.5, -1e300,
		shared, shared, list(), list(one), list(one, int64(2)), list(one, int64(2), int64(3)),
		list(one, int64(2), int64(3), int64(4)), dict("a", one), dict("a", one, "b", list(int64(2))),
		dict("x", one, "y", shared), list(list()))
	for protocol := range 6 {
		name := fmt.Sprintf("protocol%d.pickle", protocol)
		b, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		v, err := read(string(b))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got, ok := v.(*pickle.Tuple)
		if !ok || len(got.Items) != len(want.Items) {
			t.Errorf("%s: %#v", name, v)
			continue
		}
		for i, w := range want.Items {
			if g := got.Items[i]; printed(g) != printed(w) {
				t.Errorf("%s: item %d is %s, want %s", name, i, printed(g), printed(w))
			}
		}
	}
}

// printed returns a value with its types as text.
func printed(v any) string {
	switch v := v.(type) {
	case *pickle.Tuple:
		s := "("
		for _, item := range v.Items {
			s += printed(item) + " "
		}
		return s + ")"
	case *pickle.Dict:
		return "{" + printed(list(v.Keys...)) + printed(list(v.Values...)) + "}"
	}
	return fmt.Sprintf("%T %[1]q", v)
}

// TestOpcodes has pickles of Python 2, and some that no version of Python writes, but the format allows.
func TestOpcodes(t *testing.T) {
	for _, c := range []struct {
		file string
		want any
	}{
		{"I139845112233456\n.", int64(139845112233456)},
		{"I9223372036854775808\n.", pickle.Long("\x00\x00\x00\x00\x00\x00\x00\x80\x00")},
		{"L0L\n.", int64(0)},
		{"\x8a\x00.", int64(0)},
		{"\x8a\x01\xff.", int64(-1)},
		{"\x8b\x02\x00\x00\x00\x00\xff.", int64(-256)},
		{"\x8b\x09\x00\x00\x00123456789.", pickle.Long("123456789")},
		{`S'a\'b"\x00\n\\\xff'` + "\n.", "a'b\"\x00\n\\\xff"},
		{`S"it's"` + "\n.", "it's"},
		{"Vcaf\xe9 \\ \\u20ac \\uXXXX\n.", `café \ € \uXXXX`},
		{"Fnan\n0F-inf\n0F1.5\n.", 1.5},
		{"(imodule\nname\n.", nil},
		{"(I7\nimodule\nname\n.", int64(7)},
		{"(cmodule\nname\nI7\no.", int64(7)},
		{"I7\n2\x86.", list(int64(7), int64(7))},
		{"P('storage', 1)\n.", list("('storage', 1)")},
		{"I1\np300\n0g300\n.", int64(1)},
	} {
		got, err := read(c.file)
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%q: %#v, %v; want %#v", c.file, got, err, c.want)
		}
	}
}

func TestErrors(t *testing.T) {
	for _, c := range []struct{ file, want string }{
		{"Ix\n.", `byte 0: "x" is no number`},
		{"L" + strings.Repeat("9", 2000) + "L\n.", "an integer of 2000 digits, only 1024 are read"},
		{"L1-L\n.", `"1-L" is no number`},
		{"F1,5\n.", `"1,5" is no number`},
		{"S'a\n.", "a string without quotes"},
		{`S'\q'` + "\n.", "a string with"},
		{"gx\n.", `memo "x", which is no number`},
		{"g1\n.", "memo 1, which holds nothing"},
		{"Npx\n.", `memo "x"`},
		{"(I1\nd.", "a key without a value"},
		{"(o.", "an object without a class"},
		{"(I1\no.", "a call of what is no function"},
		{"2.", "byte 0: nothing on the stack"},
		{"c" + strings.Repeat("m", 2000) + "\nn\n.", "a class whose name is longer than 1024 bytes"},
		{"c" + strings.Repeat("m", 1<<13), "the file ends within a pickle, after 8193 bytes"},
		{"I1", "the file ends within a pickle, after 2 bytes"},
		{"\x82\x01.", "opcode 0x82 is none that Python writes to a file"},
		{"\x80\x06.", "pickle protocol 6, only 0 to 5 are read"},
	} {
		v, err := read(c.file)
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%.20q: %v, %v; want %q", c.file, v, err, c.want)
		}
	}
}

// TestCopies has small files that use text or pairs again and again. They must not take much memory.
func TestCopies(t *testing.T) {
	long := "X\xf0\x03\x00\x00" + strings.Repeat("m", 1008)
	for name, file := range map[string]string{
		"classes": long + "q\x00(" + strings.Repeat("h\x00X\x00\x00\x00\x00\x93", 100_000),
		"results": "cf\nf\nq\x00" + long + "\x85q\x01(" + strings.Repeat("h\x00h\x01R", 100_000),
		"ordered dicts": "ccollections\nOrderedDict\nq\x00](" + strings.Repeat("](NNe", 200) + "e\x85q\x01(" +
			strings.Repeat("h\x00h\x01R", 100_000),
	} {
		fuzzed.Within(t, 2<<20, func() {
			if _, err := read(file); err == nil || !strings.Contains(err.Error(), "by copies of text or pairs") {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
}

// FuzzValue: nothing panics, hangs or takes much memory, and an error is one line.
func FuzzValue(f *testing.F) {
	files, err := filepath.Glob("testdata/*.pickle")
	if err != nil || len(files) == 0 {
		f.Fatal(files, err)
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(b))
	}
	for _, s := range []string{"(imodule\nname\n.", "(cmodule\nname\nI7\no.", `S'a\'b\x00'` + "\n.", "P(1)\n.",
		"I7\n2\x86.",
		"\x8b\x09\x00\x00\x00123456789.", "X\x01\x00\x00\x00aq\x00h\x00\x93."} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, file string) {
		fuzzed.Within(t, 1<<20+400*uint64(len(file)), func() {
			if _, err := read(file); err != nil && strings.ContainsAny(err.Error(), "\n\r") {
				t.Errorf("error %q", err)
			}
		})
	})
}
