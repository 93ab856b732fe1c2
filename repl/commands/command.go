package commands

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
)

// command is a row of the table that makes parsing, help, completion and the manual.
type command struct {
	name    string
	group   string // heading in help and manual
	help    string // one line
	more    string // the manual's further sentences; may be empty
	args    []argument
	options []option
	free    bool // takes key=value of any key
	changes bool // what it changes of the session, undo takes back
	run     func(c *call) (session, error)
}

// argument is a word of a command by its place; key=value sets it too.
type argument struct {
	name, help string
	need       bool // must be given
	many       bool // takes all the words that follow
}

// option is a key=value argument of a command.
type option struct{ name, value, help string } // value is the default

// values are a command's arguments and options as given, or their defaults.
type values map[string]string

// call is one command being run. It returns the session that follows; after an error the one
// before stays, unless the command was interrupted.
type call struct {
	ctx    context.Context
	sh     *shell
	s      session  // before
	words  []string // as typed, without the command's name
	values values
	out    io.Writer
}

// commands is the table. The groups' order is that of help.
func commands() []command {
	return slices.Concat(setupCommands(), stepCommands(), insideCommands(), runCommands(), shellCommands(),
		[]command{demoCommand(), quantiseCommand(), modelsCommand(), downloadCommand(), reproduceCommand(), gridCommand(), trainCommand()})
}

// alone is a command that needs no session.
func alone(f func(ctx context.Context, v values, stdout, stderr io.Writer) error) func(c *call) (session, error) {
	return func(c *call) (session, error) { return c.s, f(c.ctx, c.values, c.out, c.sh.err) }
}

// aliases are what fingers type that know IPython, gdb or sqlite3.
func aliases() map[string]string {
	return map[string]string{"q": "quit", "exit": "quit", "read": "source", "h": "help", "?": "help", "hist": "history",
		"s": "step", "n": "step", "next": "step", "c": "run", "continue": "run", "r": "run", "info": "units", "shell": "system", "evaluate": "eval", "u": "undo", "p": "show", "print": "show", "quantize": "quantise"}
}

// lookUp finds the command that words begin with, and returns it with the rest of them. A name
// may be cut short where only one begins so, stand behind a point or a per cent sign, and before
// parentheses; "NAME?" and "NAME --help" ask for help.
func lookUp(words []string) (command, []string, error) {
	name, rest := words[0], words[1:]
	if strings.HasPrefix(name, ".") || strings.HasPrefix(name, "%") {
		name = name[1:]
	}
	name = strings.TrimSuffix(name, "()")
	if asked := strings.Trim(name, "?"); asked != name || len(rest) == 1 && slices.Contains([]string{"?", "--help", "-help", "-h"}, rest[0]) {
		name, rest = "help", slices.DeleteFunc([]string{asked}, func(s string) bool { return s == "" })
	}
	if name == "info" && len(rest) > 0 { // gdb's info of something
		return lookUp(rest)
	}
	if full, ok := aliases()[name]; ok {
		name = full
	}
	var names []string
	var begun []command
	for _, c := range commands() {
		if c.name == name {
			return c, rest, nil
		}
		if name != "" && strings.HasPrefix(c.name, name) {
			begun = append(begun, c)
		}
		names = append(names, c.name)
	}
	if len(begun) == 1 {
		return begun[0], rest, nil
	}
	return command{}, nil, fmt.Errorf("repl: no command %q%s", words[0], suggestion(name, names, "help lists all"))
}

// parse reads a command's words. Unknown keys and repeated ones are errors.
func (c command) parse(words []string) (values, error) {
	v, given, at := values{}, map[string]bool{}, 0
	for _, o := range c.options {
		v[o.name] = o.value
	}
	for _, word := range words {
		key, value, isPair := strings.Cut(word, "=")
		switch {
		case isPair && (c.takes(key) || c.free):
			if given[key] {
				return nil, fmt.Errorf("repl: option %s is given twice", key)
			}
		case isPair || at == len(c.args):
			return nil, c.unknown(word)
		default:
			key, value = c.args[at].name, word
			if c.args[at].many && given[key] {
				value = v[key] + " " + word
			} else if given[key] {
				return nil, fmt.Errorf("repl: option %s is given twice", key)
			}
			if !c.args[at].many {
				at++
			}
		}
		given[key], v[key] = true, value
	}
	for _, key := range slices.Concat(pathKeys(), folderKeys()) {
		if v[key] != "" {
			v[key] = atHome(v[key])
		}
	}
	for _, a := range c.args {
		if a.need && v[a.name] == "" {
			return nil, fmt.Errorf("repl: %s needs %s, %s; its form is: %s", c.name, strings.ToUpper(a.name), a.help, c.usage())
		}
	}
	return v, nil
}

// pathKeys and folderKeys are the arguments and options that name a file, or a folder.
func pathKeys() []string { return []string{"file", "data", "checkpoint", "out", "indices", "baseline"} }

func folderKeys() []string { return []string{"dir", "run", "other"} }

// atHome is path with the home folder in place of ~.
func atHome(path string) string {
	rest, ok := strings.CutPrefix(path, "~")
	home, err := os.UserHomeDir()
	if !ok || err != nil || rest != "" && rest[0] != '/' {
		return path
	}
	return home + rest
}

// takes says whether key=value is an option or argument of c.
func (c command) takes(key string) bool { return slices.Contains(c.keys(), key) }

// keys lists the names of c's arguments and options.
func (c command) keys() []string {
	var names []string
	for _, a := range c.args {
		names = append(names, a.name)
	}
	for _, o := range c.options {
		names = append(names, o.name)
	}
	return names
}

// unknown is the error for a word that c doesn't take.
func (c command) unknown(word string) error {
	known := c.keys()
	if len(known) == 0 {
		return fmt.Errorf("repl: %s takes no arguments, but %q is given", c.name, word)
	}
	if key, _, isPair := strings.Cut(word, "="); isPair && len(closest(key, known)) > 0 {
		return fmt.Errorf("repl: %s has no option %q%s", c.name, word, suggestion(key, known, ""))
	}
	if len(c.options) == 0 {
		return fmt.Errorf("repl: %s doesn't take %q; its form is: %s", c.name, word, c.usage())
	}
	return fmt.Errorf("repl: %s has no option %q; its options are %s, given as key=value", c.name, word, strings.Join(known, ", "))
}

// usage is the command's form: name, arguments and options.
func (c command) usage() string {
	words := []string{c.name}
	for _, a := range c.args {
		word := strings.ToUpper(a.name)
		if a.many {
			word += ".."
		}
		if !a.need {
			word = "[" + word + "]"
		}
		words = append(words, word)
	}
	for _, o := range c.options {
		words = append(words, "["+o.name+"="+o.value+"]")
	}
	return strings.Join(words, " ")
}

// line is the command as typed, with every option that has a value, defaults among them.
func (c command) line(v values) string {
	words := []string{c.name}
	for _, a := range c.args {
		words = append(words, v[a.name])
	}
	for _, o := range c.options {
		if v[o.name] != "" {
			words = append(words, o.name+"="+v[o.name])
		}
	}
	return "go run ./repl " + join(words)
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

// oneOf is an error unless option key is one of those.
func (v values) oneOf(key string, those ...string) error {
	if slices.Contains(those, v[key]) {
		return nil
	}
	return fmt.Errorf("repl: %s=%s; choose %s", key, v[key], strings.Join(those, " or "))
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
