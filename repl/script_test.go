package main

import (
	"flag"
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

var update = flag.Bool("update", false, "write the output that scripts compare with, and the manual page")

// TestMain makes the program a command of the scripts, and of the tests with a terminal.
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
	})
}
