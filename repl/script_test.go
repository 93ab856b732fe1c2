package main

import (
	"flag"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

var update = flag.Bool("update", false, "write the output that scripts compare with")

// TestMain makes the program a command of the scripts.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"pdq": func() { os.Exit(mainStatus(os.Args[1:])) }})
}

// TestScripts runs the scripts in testdata/script: each says what the program prints.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script", UpdateScripts: *update, RequireExplicitExec: true, RequireUniqueNames: true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("GOMLX_BACKEND", "go") // the numbers are this backend's
			return nil
		},
		Condition: func(name string) (bool, error) { return name == "update" && *update, nil },
		Cmds:      map[string]func(ts *testscript.TestScript, neg bool, args []string){"agrees": agrees},
	})
}

// agrees compares two files word by word, numbers to a tenth: another kind of processor gives other
// last digits, and with them now and then another rounding. Lines of tables don't count.
func agrees(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: agrees file file")
	}
	got, want := plainWords(ts.ReadFile(args[0])), plainWords(ts.ReadFile(args[1]))
	for i := range max(len(got), len(want)) {
		if i >= len(got) || i >= len(want) || !sameWord(got[i], want[i]) {
			ts.Fatalf("%s and %s differ at word %d: %v, not %v", args[0], args[1], i, context5(got, i), context5(want, i))
		}
	}
}

func plainWords(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool {
		return strings.ContainsRune(" \n\t─│┌┐└┘├┤┬┴┼╭╮╰╯", r)
	})
}

// context5 are the words around the i-th.
func context5(words []string, i int) string {
	return fmt.Sprintf("%q", words[min(max(i-2, 0), len(words)):min(i+3, len(words))])
}

func sameWord(a, b string) bool {
	x, errX := strconv.ParseFloat(strings.TrimSuffix(a, "%"), 64)
	y, errY := strconv.ParseFloat(strings.TrimSuffix(b, "%"), 64)
	if errX != nil || errY != nil {
		return a == b
	}
	return math.Abs(x-y) <= 0.1*max(math.Abs(x), math.Abs(y))
}
