package shell

import (
	"io"
	"os"
	"os/exec"
	"strings"

	"golang.org/x/term"
)

// screen returns the size of the terminal that w is; 0 where it is none.
func screen(w io.Writer) (columns, rows int) {
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return 0, 0
	}
	columns, rows, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 0, 0
	}
	return columns, rows
}

// page shows text by $PAGER, or by less, if it is higher than the terminal out. It says whether it did.
func page(out io.Writer, text string) bool {
	_, rows := screen(out)
	if rows == 0 || strings.Count(text, "\n")+2 <= rows {
		return false
	}
	pager, chosen := os.LookupEnv("PAGER")
	if !chosen {
		pager = "less -FRX"
	}
	if strings.TrimSpace(pager) == "" {
		return false
	}
	cmd := exec.Command("sh", "-c", pager)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(text+"\n"), out, os.Stderr
	return cmd.Run() == nil
}
