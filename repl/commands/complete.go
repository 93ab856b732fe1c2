package commands

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/pdquant/pdquant/models/arch"
	"github.com/pdquant/pdquant/pdq"
	"github.com/pdquant/pdquant/pdq/backend"
)

// completer completes the word before the cursor.
type completer struct{ sh *shell }

// Do returns what may follow the cursor, and how long the word before it is.
func (c completer) Do(line []rune, pos int) (tails [][]rune, length int) {
	word, candidates := c.sh.state.complete(string(line[:pos]))
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
	statements, err := split(text + cursor)
	for _, quote := range []string{`"`, "'"} {
		if err != nil { // within a quote
			statements, err = split(text + cursor + quote)
		}
	}
	if err != nil || len(statements) == 0 {
		return nil, ""
	}
	words = statements[len(statements)-1]
	word = strings.TrimSuffix(words[len(words)-1], cursor)
	return words[:len(words)-1], word
}

// complete returns the beginning of a word that text ends with, and what words may begin so.
func (s session) complete(text string) (word string, candidates []string) {
	words, word := wordsBefore(text)
	if len(words) == 0 {
		return word, begunBy(word, commandNames())
	}
	c, rest, err := lookUp(words)
	if err != nil {
		return word, nil
	}
	if c.name == "plot" && len(rest) > 0 {
		if inner, _, err := lookUp(rest); err == nil {
			c, rest = inner, rest[1:]
		}
	}
	if key, value, isPair := strings.Cut(word, "="); isPair {
		return value, begunBy(value, s.choices(c, key, value))
	}
	for _, key := range c.keys() {
		if c.isOption(key) && !slices.ContainsFunc(rest, func(w string) bool { return strings.HasPrefix(w, key+"=") }) {
			candidates = append(candidates, key+"=")
		}
	}
	if at := len(slices.DeleteFunc(slices.Clone(rest), func(w string) bool { return strings.Contains(w, "=") })); len(c.args) > 0 {
		if a := c.args[min(at, len(c.args)-1)]; at < len(c.args) || a.many {
			candidates = append(s.choices(c, a.name, word), candidates...)
		}
	}
	return word, begunBy(word, candidates)
}

func (c command) isOption(key string) bool {
	return slices.ContainsFunc(c.options, func(o option) bool { return o.name == key })
}

func commandNames() []string {
	var names []string
	for _, c := range commands() {
		names = append(names, c.name)
	}
	return names
}

func begunBy(word string, names []string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(n string) bool {
		same := strings.HasPrefix(n, word) || isField(n) && len(n) >= len(word) && strings.EqualFold(n[:len(word)], word)
		return !same
	})
}

// isField says whether name is that of a configuration field, in which case doesn't matter: only theirs
// begin with a capital and have a point.
func isField(name string) bool { return name >= "A" && name < "[" && strings.Contains(name, ".") }

// choices lists the values that an argument or option may have, if there is a list: by its name,
// which means the same in all commands.
func (s session) choices(c command, key, begun string) []string {
	switch key {
	case "teacher":
		return arch.TeacherNames()
	case "network":
		return registryNames()
	case "set":
		return []string{"fashion-mnist", "cifar10"}
	case "crop":
		return []string{"random", "centre"}
	case "unit", "units":
		return s.unitNames()
	case "layer":
		return s.layerNames()
	case "what":
		return map[string][]string{"scales": {"weights", "acts"}, "plot": plotNames()}[c.name]
	case "metric":
		return []string{"mse", "lp", "cosine", "pd"}
	case "loss":
		return []string{"mse", "pd"}
	case "of":
		return []string{"weight", "output"}
	case "rule":
		return []string{"qdrop", "brecq", "all-low"}
	case "preset":
		return pdq.PresetNames()
	case "backend":
		return append([]string{"auto"}, backend.Available()...)
	case "command":
		return commandNames()
	case "field":
		fields, _ := pdq.Fields() // no field to complete if the table fails
		names := fieldNames(fields)
		if c.name == "set" {
			for i := range names {
				names[i] += "="
			}
		}
		return names
	}
	if slices.Contains(folderKeys(), key) {
		return files(begun, true)
	}
	if slices.Contains(pathKeys(), key) {
		return files(begun, false)
	}
	return nil
}

func registryNames() []string {
	var names []string
	for _, t := range arch.Registry() {
		names = append(names, t.Name)
	}
	return names
}

func (s session) unitNames() []string {
	if s.teacher == nil {
		return nil
	}
	var names []string
	for _, u := range s.teacher.Network.Units {
		names = append(names, u.Name)
	}
	return names
}

// layerNames lists the layers with something to quantise, in the network's order.
func (s session) layerNames() []string {
	if s.teacher == nil {
		return nil
	}
	var names []string
	for _, lb := range s.plan() {
		names = append(names, lb.Layer)
	}
	return names
}

// files lists what lies in the folder of a path that is begun, folders with a slash behind. Hidden
// ones must be begun.
func files(begun string, foldersOnly bool) []string {
	folder, name := filepath.Split(begun)
	entries, _ := os.ReadDir(filepath.Clean(atHome(folder))) // what can't be read has nothing to complete
	var names []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") && !strings.HasPrefix(name, ".") {
			continue
		}
		info, err := os.Stat(filepath.Join(atHome(folder), e.Name()))
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
