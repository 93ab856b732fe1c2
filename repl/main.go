// Command repl quantises image classifiers with pdquant, one command at a time:
//
//	go run ./repl demo teacher=resnet8 w=2 a=2
//
// Run it without arguments for the list of commands.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
