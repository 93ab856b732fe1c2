package shell

import (
	"fmt"
	"slices"
	"strings"
)

// Language is a program's commands over its state S, and what the shell must know of that state.
type Language[S any] struct {
	Commands []Command[S] // the groups' order is that of help
	Aliases  map[string]string
	Info     string // name under which gdb's users ask for other commands: "info units"; "": none
	Repeats  string // command that an empty line at the prompt repeats; "": none

	Words []Word[S] // kinds of words that help explains beside commands; the first kind that knows a word does

	Files, Folders []string // names of arguments and options that are paths: ~ is the home folder, and they complete

	// Choices lists the values that an argument or option may have, if there is a list; nil: none.
	Choices func(s S, command, key, begun string) []string
	// Fold says whether completing a name disregards case; nil: never.
	Fold func(name string) bool

	Prompt func(s S) string         // shown before a line is read
	Same   func(a, b S) bool        // whether a command that may change the state didn't
	Lost   func(was, is S) string   // a note on what a command gives up; nil or "": nothing
	Kept   func(was, is S) []string // commands to where an interrupted one left off; nil: none
	Live   func(states []S)         // called after each command with the states that undo may return to; nil: not
	// Command that keeps s in a folder, "" one of its choice, before the shell ends; nil: nothing is lost
	Rescue  func(s S, folder string) (words []string)
	Welcome string // the prompt's first line
	RC      string // file in the home folder that a prompt runs first; "": none
	History string // file in the home folder that keeps the lines typed; "": none
}

// Word is a kind of words that help explains, as layers.
type Word[S any] struct {
	Name    string                       // of the kind: "layer"
	List    func(s S) []string           // the words there are, to complete and to suggest
	Explain func(s S, word string) Value // nil: word is of another kind
}

// LookUp finds the command that words begin with, and returns it with the rest of them. A name may be cut short where
// only one begins so, stand behind a point or a per cent sign, and before parentheses; "NAME?" and "NAME --help" ask
// for help.
func (sh *Shell[S]) LookUp(words []string) (Command[S], []string, error) {
	name, rest := words[0], words[1:]
	if strings.HasPrefix(name, ".") || strings.HasPrefix(name, "%") {
		name = strings.TrimPrefix(name[1:], "%")
	}
	name = strings.TrimSuffix(name, "()")
	asks := len(rest) == 1 && slices.Contains([]string{"?", "--help", "-help", "-h"}, rest[0])
	if asked := strings.Trim(name, "?"); asked != name || asks {
		name, rest = "help", slices.DeleteFunc([]string{asked}, func(s string) bool { return s == "" })
	}
	if name == sh.language.Info && name != "" && len(rest) > 0 {
		return sh.LookUp(rest)
	}
	if full, ok := sh.language.Aliases[name]; ok {
		name = full
	}
	var names []string
	var begun []Command[S]
	for _, c := range sh.commands {
		if c.Name == name {
			return c, rest, nil
		}
		if name != "" && strings.HasPrefix(c.Name, name) {
			begun = append(begun, c)
		}
		names = append(names, c.Name)
	}
	if len(begun) == 1 {
		return begun[0], rest, nil
	}
	return Command[S]{}, nil, fmt.Errorf("repl: no command %q%s", words[0], Suggestion(name, names, "help lists all"))
}

// Commands returns the table: the language's commands and the shell's own.
func (sh *Shell[S]) Commands() []Command[S] { return slices.Clone(sh.commands) }

func (sh *Shell[S]) names() []string {
	var names []string
	for _, c := range sh.commands {
		names = append(names, c.Name)
	}
	return names
}
