package commands

import (
	"context"
	"flag"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/pdquant/pdquant/repl/shell"
	"github.com/rogpeppe/go-internal/testscript"
)

var update = flag.Bool("update", false, "write the manual page")

// TestMain makes the program a command of the tests with a terminal, and of those that kill it.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"pdq": func() {
		os.Exit(shell.Main(shell.Invocation{Words: os.Args[1:], RC: true, Format: shell.Formats()[0]}, New))
	}})
}

// TestFullDisk: output that can't be written is an error, once.
func TestFullDisk(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skipf("there is no /dev/full here: %v", err)
	}
	defer full.Close()
	for _, line := range []string{"help", "models"} {
		err := run(context.Background(), shell.Invocation{Words: []string{line}}, strings.NewReader(""), full, io.Discard)
		if err == nil || strings.Count(err.Error(), "can't be written") != 1 {
			t.Errorf("%s: error %v", line, err)
		}
	}
}
