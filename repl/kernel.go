package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/pdquant/pdquant/repl/commands"
	"github.com/pdquant/pdquant/repl/kernel"
	"github.com/pdquant/pdquant/repl/shell"
)

const kernelUsage = `pdquant kernel install [--user | --prefix=FOLDER] [--name=pdquant]   install the kernel for Jupyter
pdquant kernel CONNECTION_FILE                                       run it, as Jupyter does
`

// kernelStatus runs "kernel" with arguments and returns its exit status.
func kernelStatus(args []string, stdout, stderr io.Writer) int {
	err := runKernel(args, stdout, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		fmt.Fprintln(stderr, shell.Visible(err.Error()))
		return 1
	}
	return 0
}

func runKernel(args []string, stdout, stderr io.Writer) error {
	if len(args) > 0 && args[0] == "install" {
		return installKernel(args[1:], stdout, stderr)
	}
	if len(args) != 1 || strings.HasPrefix(args[0], "-") {
		fmt.Fprint(stderr, kernelUsage)
		return flag.ErrHelp
	}
	return kernel.Serve(args[0], func(d shell.Display) (kernel.Shell, error) { return commands.New(d) }, stderr)
}

func installKernel(args []string, stdout, stderr io.Writer) error {
	p := kernel.Place{}
	f := flag.NewFlagSet("kernel install", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.BoolVar(&p.User, "user", os.Getuid() != 0, "install for you alone")
	f.StringVar(&p.Prefix, "prefix", "", "install in an environment: that of python -c 'import sys; print(sys.prefix)'")
	f.StringVar(&p.Name, "name", "pdquant", "name of the kernel")
	if err := f.Parse(args); err != nil {
		return err
	}
	if f.NArg() > 0 {
		return fmt.Errorf("repl: kernel install takes no %q", f.Arg(0))
	}
	given := map[string]bool{}
	f.Visit(func(x *flag.Flag) { given[x.Name] = true })
	if given["prefix"] && !given["user"] {
		p.User = false
	}
	program, err := os.Executable()
	if err != nil {
		return fmt.Errorf("repl: %w", err)
	}
	if strings.Contains(program, "go-build") {
		return errors.New("repl: go run removes its program at the end; build one that stays: make build, then " +
			"bin/pdquant kernel install")
	}
	dir, err := kernel.Install(p, program)
	if err == nil {
		fmt.Fprintln(stdout, "installed in", dir)
	}
	return err
}
