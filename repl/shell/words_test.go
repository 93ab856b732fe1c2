package shell

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/pdquant/pdquant/internal/fuzzed"
)

func TestSplit(t *testing.T) {
	for line, want := range map[string][][]string{
		"":                               nil,
		" ;; # nothing":                  nil,
		"teacher resnet20":               {{"teacher", "resnet20"}},
		"bits w=2\ta=2; eval # done":     {{"bits", "w=2", "a=2"}, {"eval"}},
		`save "my run" 'a;b' x#y`:        {{"save", "my run", "a;b", "x#y"}},
		`save out="a \"b\" \\" '\' ""`:   {{"save", `out=a "b" \`, `\`, ""}},
		"units;units\r\n":                {{"units"}, {"units"}},
		"source größe.pdq":               {{"source", "größe.pdq"}},
		`file=a\b`:                       {{`file=a\b`}},
		`a"b"'c'd`:                       {{"abcd"}},
		"run # a 'comment may not close": {{"run"}},
	} {
		got, err := Split(line)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %q, error %v; want %q", line, got, err, want)
		}
	}
	for _, line := range []string{`save "x`, "save 'x; eval", `save "x\"`, `"`} {
		if got, err := Split(line); err == nil || !strings.Contains(err.Error(), "isn't closed") {
			t.Errorf("%q: %q, error %v", line, got, err)
		}
	}
}

// FuzzSplit: nothing panics, no statement is empty, and what is joined splits into the same words.
func FuzzSplit(f *testing.F) {
	for _, line := range []string{"", "a b; c=d # e", `"a\"b" 'c'`, "'", `\`, ";;", "a\x00b\xff",
		"round layer1.0 steps=5;undo?"} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		var statements [][]string
		var err error
		fuzzed.Bounded(t, func() { statements, err = Split(line) })
		if err != nil {
			return
		}
		for _, words := range statements {
			again, err := Split(Join(words))
			if err != nil || len(words) == 0 || len(again) != 1 || !slices.Equal(again[0], words) {
				t.Fatalf("%q gives %q, and joined again %q, error %v", line, words, again, err)
			}
		}
	})
}

// FuzzParse: no line makes the parser panic, whatever the command.
func FuzzParse(f *testing.F) {
	sh, _ := toy(f)
	for _, c := range sh.Commands() {
		f.Add(c.Name + " layer1.0 n=1 x; " + c.Name + "? ; .help " + c.Name)
	}
	f.Fuzz(func(t *testing.T, line string) {
		statements, err := Split(line)
		if err != nil {
			return
		}
		for _, words := range statements {
			c, rest, err := sh.LookUp(words)
			if err != nil {
				continue
			}
			v, err := c.parse(rest)
			if err == nil && v == nil {
				t.Fatalf("%q gives neither values nor an error", words)
			}
			if err != nil && strings.Contains(err.Error(), "\n") && !strings.Contains(line, "\n") {
				t.Fatalf("%q: an error of more than a line: %v", words, err)
			}
		}
	})
}
