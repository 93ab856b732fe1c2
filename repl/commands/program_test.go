package commands

import (
	"flag"
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

var update = flag.Bool("update", false, "write the manual page")

// TestMain makes the program a command of the tests with a terminal, and of those that kill it.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"pdq": func() { os.Exit(Main(Invocation{Words: os.Args[1:], RC: true})) }})
}
