package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// command is a row of the table that makes parsing and help.
type command struct {
	name, help string
	options    []option
	run        func(ctx context.Context, o values, stdout, stderr io.Writer) error
}

// option is a key=value argument of a command.
type option struct{ name, value, help string } // value is the default

// values are a command's options as given, or their defaults.
type values map[string]string

func commands() []command {
	return []command{demoCommand(), downloadCommand(), reproduceCommand(), trainCommand()}
}

// run finds the command that args start with and runs it with the rest of them.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if len(args) == 0 || args[0] == "help" {
		usage(stdout)
		return nil
	}
	var names []string
	for _, c := range commands() {
		if c.name == args[0] {
			v, err := c.parse(args[1:])
			if err != nil {
				return err
			}
			return c.run(ctx, v, stdout, stderr)
		}
		names = append(names, c.name)
	}
	return fmt.Errorf("repl: no command %q; choose one of %s, or help", args[0], strings.Join(names, ", "))
}

// usage lists the commands with their options.
func usage(w io.Writer) {
	for _, c := range commands() {
		fmt.Fprintf(w, "%s: %s\n", c.name, c.help)
		for _, o := range c.options {
			fmt.Fprintf(w, "  %-18s %s\n", o.name+"="+o.value, o.help)
		}
	}
}

// parse reads key=value arguments. Unknown keys and repeated ones are errors.
func (c command) parse(args []string) (values, error) {
	v, given := values{}, map[string]bool{}
	var known []string
	for _, o := range c.options {
		v[o.name] = o.value
		known = append(known, o.name)
	}
	for _, a := range args {
		key, value, ok := strings.Cut(a, "=")
		if !ok || !slices.Contains(known, key) {
			return nil, fmt.Errorf("repl: %s has no option %q; its options are %s, given as key=value", c.name, a, strings.Join(known, ", "))
		}
		if given[key] {
			return nil, fmt.Errorf("repl: option %s is given twice", key)
		}
		given[key], v[key] = true, value
	}
	return v, nil
}

// line is the command as typed, with every option that has a value, defaults among them.
func (c command) line(v values) string {
	words := []string{"go run ./repl", c.name}
	for _, o := range c.options {
		if v[o.name] != "" {
			words = append(words, o.name+"="+v[o.name])
		}
	}
	return strings.Join(words, " ")
}

// number returns option key as an integer from lo to hi.
func (v values) number(key string, lo, hi int) (int, error) {
	n, err := strconv.Atoi(v[key])
	if err != nil || n < lo || n > hi {
		return 0, fmt.Errorf("repl: %s=%s; give a whole number from %d to %d", key, v[key], lo, hi)
	}
	return n, nil
}

// override sets *to to option key, an integer from lo to hi, unless it is empty.
func (v values) override(key string, lo, hi int, to *int) error {
	if v[key] == "" {
		return nil
	}
	n, err := v.number(key, lo, hi)
	if err == nil {
		*to = n
	}
	return err
}

// list returns option key as integers from lo to hi, which commas separate.
func (v values) list(key string, lo, hi int) ([]int, error) {
	var list []int
	for part := range strings.SplitSeq(v[key], ",") {
		n, err := strconv.Atoi(part)
		if err != nil || n < lo || n > hi || slices.Contains(list, n) {
			return nil, fmt.Errorf("repl: %s=%s; give different whole numbers from %d to %d, as 1,3", key, v[key], lo, hi)
		}
		list = append(list, n)
	}
	return list, nil
}
