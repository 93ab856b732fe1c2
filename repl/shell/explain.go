package shell

import (
	"errors"
	"fmt"
	"strings"
)

// Inspect explains the word at the cursor, a place in code in bytes: a command, an option of the command that it
// stands in, or a word of the language. Of any other word it explains that command. It is nil if nothing is known.
func (sh *Shell[S]) Inspect(code string, cursor int) Value {
	cursor = min(max(cursor, 0), len(code))
	begin := strings.LastIndexByte(code[:cursor], '\n') + 1
	end := cursor + strings.IndexAny(code[cursor:]+"\n", " \t\r\n;?")
	words, word := wordsBefore(strings.Trim(code[begin:end], "?"))
	if len(words) == 0 {
		v, _ := sh.explain(sh.State, word) // nil of a word that nothing is known of
		return v
	}
	c, _, err := sh.innermost(words)
	if err == nil && word != "" && (c.Wraps || c.Name == "help") {
		if v, err := sh.explain(sh.State, word); err == nil {
			return v
		}
	}
	key, _, isPair := strings.Cut(word, "=")
	for _, o := range c.Options {
		if isPair && o.Name == key {
			return Text(c.usage() + "\n" + o.explain())
		}
	}
	if v := sh.meaning(sh.State, key); v != nil {
		return v
	}
	if err != nil || c.Name == "help" {
		return nil
	}
	return c.explain()
}

// explain returns the help of a command, or what the language says of a word.
func (sh *Shell[S]) explain(s S, word string) (Value, error) {
	if word == "" {
		return nil, errors.New("repl: explain what? help lists the commands")
	}
	command, _, err := sh.LookUp([]string{word})
	if err == nil {
		return command.explain(), nil
	}
	if v := sh.meaning(s, word); v != nil {
		return v, nil
	}
	kinds := "command"
	for i, w := range sh.language.Words {
		if kinds += ", "; i == len(sh.language.Words)-1 {
			kinds = strings.TrimSuffix(kinds, ", ") + " or "
		}
		kinds += w.Name
	}
	return nil, fmt.Errorf("repl: no %s %q%s", kinds, word,
		Suggestion(word, append(sh.names(), sh.words(s)...), "help lists the commands"))
}

// meaning returns what the language says of a word; nil: nothing.
func (sh *Shell[S]) meaning(s S, word string) Value {
	for _, kind := range sh.language.Words {
		if word == "" {
			break
		}
		if v := kind.Explain(s, word); v != nil {
			return v
		}
	}
	return nil
}

// words lists the words that the language explains.
func (sh *Shell[S]) words(s S) []string {
	var all []string
	for _, kind := range sh.language.Words {
		all = append(all, kind.List(s)...)
	}
	return all
}
