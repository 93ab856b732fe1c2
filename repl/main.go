// Command repl is the shell of pdquant: PD-Quant step by step at a prompt, from scripts, or one
// command at a time:
//
//	go run ./repl                                  # a prompt; help lists the commands
//	go run ./repl demo teacher=resnet8 w=2 a=2     # one command
//	go run ./repl -e 'teacher resnet8; calib 64; run; eval'
//	go run ./repl -f script                        # or < script
//
// "kernel install" makes it a kernel of Jupyter.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"

	"github.com/pdquant/pdquant/repl/commands"
	"github.com/pdquant/pdquant/repl/shell"
)

func main() { os.Exit(mainStatus(os.Args[1:])) }

// mainStatus runs the program and returns its exit status.
func mainStatus(args []string) int {
	if len(args) > 0 && args[0] == "kernel" {
		return kernelStatus(args[1:], os.Stdout, os.Stderr)
	}
	o, err := readFlags(args, os.Stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2
	}
	return shell.Main(o, commands.New)
}

func readFlags(args []string, stderr io.Writer) (shell.Invocation, error) {
	var o shell.Invocation
	f := flag.NewFlagSet("repl", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.StringVar(&o.Line, "e", "", "run these commands, which semicolons separate")
	f.StringVar(&o.Script, "f", "", "run the commands in a file; -: standard input")
	format := f.String("format", "text", "how values are written: text, html, tsv or json")
	bare := f.Bool("norc", false, "at a prompt, don't run ~/.pdqrc first")
	f.Usage = func() {
		fmt.Fprintln(stderr, "repl [flags] [command]: a shell, or one command; repl help lists them")
		f.PrintDefaults()
	}
	err := f.Parse(args)
	o.Words, o.RC = f.Args(), !*bare
	f.Visit(func(x *flag.Flag) { o.Given = o.Given || x.Name == "e" })
	if err == nil {
		if o.Format, err = shell.FindFormat(*format); err != nil {
			fmt.Fprintln(stderr, err)
		}
	}
	given := 0
	for _, one := range []bool{o.Given, o.Script != "", len(o.Words) > 0} {
		if one {
			given++
		}
	}
	if err == nil && given > 1 {
		err = errors.New("repl: give commands by -e, by -f or as arguments, in one of these ways")
		fmt.Fprintln(stderr, err)
	}
	return o, err
}
