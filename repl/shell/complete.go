package shell

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// completer completes the word before the cursor, for readline.
type completer[S any] struct{ sh *Shell[S] }

// Do returns what may follow the cursor, and how long the word before it is.
func (c completer[S]) Do(line []rune, pos int) (tails [][]rune, length int) {
	word, candidates := c.sh.Complete(string(line[:pos]))
	for _, name := range candidates {
		rest := quoteSpecial(name[len(word):])
		if !strings.HasSuffix(name, "=") && !strings.HasSuffix(name, "/") {
			rest += " "
		}
		tails = append(tails, []rune(rest))
	}
	return tails, min(len([]rune(word)), pos)
}

// quoteSpecial puts each character in quotes that would otherwise end a word.
func quoteSpecial(text string) string {
	return strings.NewReplacer(" ", `" "`, ";", `";"`, "'", `"'"`, `"`, `'"'`).Replace(text)
}

// wordsBefore splits what is typed up to the cursor into whole words and the one that is being typed.
func wordsBefore(text string) (words []string, word string) {
	const cursor = "x" // makes the last word one, also after a blank
	statements, err := Split(text + cursor)
	for _, quote := range []string{`"`, "'"} {
		if err != nil { // within a quote
			statements, err = Split(text + cursor + quote)
		}
	}
	if err != nil || len(statements) == 0 {
		return nil, ""
	}
	words = statements[len(statements)-1]
	word = strings.TrimSuffix(words[len(words)-1], cursor)
	return words[:len(words)-1], word
}

// Insertions returns Complete's candidates, in quotes where they need them, and where in text what they replace begins.
func (sh *Shell[S]) Insertions(text string) (start int, candidates []string) {
	word, names := sh.Complete(text)
	start = lastWord(text)
	_, whole := wordsBefore(text)
	words, typed := wordsBefore(text[start:])
	before := len(whole) - len(word) // as of an option's name
	if len(words) > 0 || typed != whole || before < 0 || !strings.HasPrefix(text[start:], whole[:before]) {
		return len(text), nil // as in a comment
	}
	for _, name := range names {
		candidates = append(candidates, quoteSpecial(name))
	}
	return start + before, candidates
}

// lastWord returns where the last word of text begins, with its quotes.
func lastWord(text string) (start int) {
	for i := 0; i < len(text); i++ {
		switch c := text[i]; c {
		case ' ', '\t', '\r', '\n', ';':
			start = i + 1
		case '\'', '"':
			_, n, ok := quoted(text[i:])
			if !ok {
				return start
			}
			i += n - 1
		}
	}
	return start
}

// Complete returns the beginning of a word that text ends with, and what words may begin so.
func (sh *Shell[S]) Complete(text string) (word string, candidates []string) {
	if rest, ok := strings.CutPrefix(strings.TrimLeft(text, " "), "!"); ok { // a command of the system
		word = rest[strings.LastIndex(rest, " ")+1:]
		return word, sh.begunBy(word, Paths(word, false))
	}
	words, word := wordsBefore(text)
	if len(words) == 0 {
		return word, sh.begunBy(word, sh.names())
	}
	c, rest, err := sh.innermost(words)
	if err != nil {
		return word, nil
	}
	if key, value, isPair := strings.Cut(word, "="); isPair {
		return value, sh.begunBy(value, sh.choices(c, key, value))
	}
	given := func(key string) bool {
		return slices.ContainsFunc(rest, func(w string) bool { return strings.HasPrefix(w, key+"=") })
	}
	for _, o := range c.Options {
		if !given(o.Name) {
			candidates = append(candidates, o.Name+"=")
		}
	}
	placed := slices.DeleteFunc(slices.Clone(rest), func(w string) bool { return strings.Contains(w, "=") })
	if at := len(placed); len(c.Args) > 0 {
		if a := c.Args[min(at, len(c.Args)-1)]; at < len(c.Args) || a.Many {
			candidates = append(sh.choices(c, a.Name, word), candidates...)
		}
	}
	return word, sh.begunBy(word, candidates)
}

// innermost finds the command that words are arguments of, where one may wrap another.
func (sh *Shell[S]) innermost(words []string) (Command[S], []string, error) {
	c, rest, err := sh.LookUp(words)
	if err == nil && c.Wraps && len(rest) > 0 {
		if inner, innerRest, err := sh.innermost(rest); err == nil {
			return inner, innerRest, nil
		}
	}
	return c, rest, err
}

// begunBy returns the names that begin with word.
func (sh *Shell[S]) begunBy(word string, names []string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(n string) bool {
		folds := sh.language.Fold != nil && sh.language.Fold(n)
		same := strings.HasPrefix(n, word) || folds && len(n) >= len(word) && strings.EqualFold(n[:len(word)], word)
		return !same
	})
}

// choices lists the values that an argument or option may have, if there is a list.
func (sh *Shell[S]) choices(c Command[S], key, begun string) []string {
	if key == "command" {
		return sh.names()
	}
	if key == "word" {
		return slices.Concat(sh.names(), sh.words(sh.State))
	}
	if key == "format" {
		var names []string
		for _, f := range Formats() {
			names = append(names, f.Name)
		}
		return names
	}
	if sh.language.Choices != nil {
		if list := sh.language.Choices(sh.State, c.Name, key, begun); list != nil {
			return list
		}
	}
	if slices.Contains(sh.language.Folders, key) {
		return Paths(begun, true)
	}
	if slices.Contains(sh.language.Files, key) {
		return Paths(begun, false)
	}
	return nil
}

// Paths lists what lies in the folder of a path that is begun, folders with a slash behind. Hidden ones must be begun.
func Paths(begun string, foldersOnly bool) []string {
	folder, name := filepath.Split(begun)
	entries, _ := os.ReadDir(filepath.Clean(AtHome(folder))) // what can't be read has nothing to complete
	var names []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") && !strings.HasPrefix(name, ".") {
			continue
		}
		info, err := os.Stat(filepath.Join(AtHome(folder), e.Name()))
		switch {
		case err != nil:
		case info.IsDir():
			names = append(names, folder+e.Name()+"/")
		case !foldersOnly:
			names = append(names, folder+e.Name())
		}
	}
	return names
}
