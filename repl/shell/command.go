package shell

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
)

// Command is a row of the table that makes parsing, help, completion and the manual.
type Command[S any] struct {
	Name    string
	Group   string // heading in help and manual
	Help    string // one line
	More    string // the manual's further sentences; may be empty
	Args    []Argument
	Options []Option
	Free    bool // takes key=value of any key
	Wraps   bool // its words are another command's
	Changes bool // what it changes of the state, undo takes back
	Saves   bool // the state that follows lies in a file
	Run     func(c *Call[S]) (S, error)

	around func(sh *Shell[S], run func() error) error // runs the command that c's words are; nil: c isn't a prefix
}

// Argument is a word of a command by its place; key=value sets it too.
type Argument struct {
	Name, Help string
	Need       bool // must be given
	Many       bool // takes all the words that follow
}

// Option is a key=value argument of a command.
type Option struct{ Name, Value, Help string } // Value is the default

// Values are a command's arguments and options as given, or their defaults.
type Values map[string]string

// Call is one command being run. The state that it returns follows; after an error the one before stays, unless the
// command was interrupted.
type Call[S any] struct {
	Context context.Context
	State   S        // before
	Words   []string // as typed, without the command's name
	Values  Values
	Display Display
	command Command[S]
	shell   *Shell[S]
}

// Show shows values.
func (c *Call[S]) Show(values ...Value) {
	for _, v := range values {
		c.shell.show(c.Display, v)
	}
}

// Print shows text as fmt.Sprintf makes it.
func (c *Call[S]) Print(format string, args ...any) { c.Show(Text(fmt.Sprintf(format, args...))) }

// Note tells a note as fmt.Sprintf makes it.
func (c *Call[S]) Note(format string, args ...any) { c.shell.note(fmt.Sprintf(format, args...)) }

// Typed returns the commands that ran, in their order.
func (c *Call[S]) Typed() []string { return slices.Clone(c.shell.typed) }

// Evaluate runs another command on the call's state, and returns the state that follows.
func (c *Call[S]) Evaluate(words []string) (S, error) {
	inner, rest, err := c.shell.LookUp(words)
	if err != nil {
		return c.State, err
	}
	return c.shell.evaluate(c.Context, inner, rest, c.State)
}

// Line returns the command as typed, with every option that has a value, defaults among them.
func (c *Call[S]) Line() string {
	words := []string{c.command.Name}
	for _, a := range c.command.Args {
		words = append(words, c.Values[a.Name])
	}
	for _, o := range c.command.Options {
		if c.Values[o.Name] != "" {
			words = append(words, o.Name+"="+c.Values[o.Name])
		}
	}
	return Join(words)
}

// parse reads a command's words. Unknown keys and repeated ones are errors.
func (c Command[S]) parse(words []string) (Values, error) {
	v, given, at := Values{}, map[string]bool{}, 0
	for _, o := range c.Options {
		v[o.Name] = o.Value
	}
	for _, word := range words {
		key, value, isPair := strings.Cut(word, "=")
		switch {
		case isPair && (slices.Contains(c.Keys(), key) || c.Free):
			if given[key] {
				return nil, fmt.Errorf("repl: option %s is given twice", key)
			}
		case isPair || at == len(c.Args):
			return nil, c.unknown(word)
		default:
			key, value = c.Args[at].Name, word
			if c.Args[at].Many && given[key] {
				value = v[key] + " " + word
			} else if given[key] {
				return nil, fmt.Errorf("repl: option %s is given twice", key)
			}
			if !c.Args[at].Many {
				at++
			}
		}
		given[key], v[key] = true, value
	}
	for _, a := range c.Args {
		if a.Need && v[a.Name] == "" {
			return nil, fmt.Errorf("repl: %s needs %s, %s; its form is: %s",
				c.Name, strings.ToUpper(a.Name), a.Help, c.usage())
		}
	}
	return v, nil
}

// AtHome is path with the home folder in place of ~.
func AtHome(path string) string {
	rest, ok := strings.CutPrefix(path, "~")
	home, err := os.UserHomeDir()
	if !ok || err != nil || rest != "" && rest[0] != '/' {
		return path
	}
	return home + rest
}

// Keys lists the names of c's arguments and options.
func (c Command[S]) Keys() []string {
	var names []string
	for _, a := range c.Args {
		names = append(names, a.Name)
	}
	for _, o := range c.Options {
		names = append(names, o.Name)
	}
	return names
}

// unknown is the error for a word that c doesn't take.
func (c Command[S]) unknown(word string) error {
	known := c.Keys()
	if len(known) == 0 {
		return fmt.Errorf("repl: %s takes no arguments, but %q is given", c.Name, word)
	}
	if key, _, isPair := strings.Cut(word, "="); isPair && len(closest(key, known)) > 0 {
		return fmt.Errorf("repl: %s has no option %q%s", c.Name, word, Suggestion(key, known, ""))
	}
	if len(c.Options) == 0 {
		return fmt.Errorf("repl: %s doesn't take %q; its form is: %s", c.Name, word, c.usage())
	}
	return fmt.Errorf("repl: %s has no option %q; its options are %s, given as key=value",
		c.Name, word, strings.Join(known, ", "))
}

// usage is the command's form: name, arguments and options.
func (c Command[S]) usage() string {
	words := []string{c.Name}
	for _, a := range c.Args {
		word := strings.ToUpper(a.Name)
		if a.Many {
			word += ".."
		}
		if !a.Need {
			word = "[" + word + "]"
		}
		words = append(words, word)
	}
	for _, o := range c.Options {
		words = append(words, "["+o.Name+"="+o.Value+"]")
	}
	return strings.Join(words, " ")
}

// Number returns option key as an integer from lo to hi.
func (v Values) Number(key string, lo, hi int) (int, error) {
	n, err := strconv.Atoi(v[key])
	if err != nil || n < lo || n > hi {
		return 0, fmt.Errorf("repl: %s=%s; give a whole number from %d to %d", key, v[key], lo, hi)
	}
	return n, nil
}

// Override sets *to to option key, an integer from lo to hi, unless it is empty.
func (v Values) Override(key string, lo, hi int, to *int) error {
	if v[key] == "" {
		return nil
	}
	n, err := v.Number(key, lo, hi)
	if err == nil {
		*to = n
	}
	return err
}

// OneOf is an error unless option key is one of those.
func (v Values) OneOf(key string, those ...string) error {
	if slices.Contains(those, v[key]) {
		return nil
	}
	return fmt.Errorf("repl: %s=%s; choose %s", key, v[key], strings.Join(those, " or "))
}

// Bool returns option key, true or false.
func (v Values) Bool(key string) (bool, error) {
	return v[key] == "true", v.OneOf(key, "true", "false")
}

// List returns option key as integers from lo to hi, which commas separate.
func (v Values) List(key string, lo, hi int) ([]int, error) {
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
