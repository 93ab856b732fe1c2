package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/pdquant/pdquant/models"
	"github.com/pdquant/pdquant/pdq"
	"github.com/pdquant/pdquant/pdq/backend"
)

// completer completes the word before the cursor.
type completer struct{ sh *shell }

// Do returns what may follow the cursor, and how long the word before it is.
func (c completer) Do(line []rune, pos int) (tails [][]rune, length int) {
	word, candidates := c.sh.state.complete(string(line[:pos]))
	for _, name := range candidates {
		if rest, ok := strings.CutPrefix(name, word); ok {
			if !strings.HasSuffix(name, "=") && !strings.HasSuffix(name, "/") {
				rest += " "
			}
			tails = append(tails, []rune(rest))
		}
	}
	return tails, len([]rune(word))
}

// complete returns the beginning of a word that text ends with, and what words may begin so.
func (s session) complete(text string) (word string, candidates []string) {
	text = text[strings.LastIndexByte(text, ';')+1:]
	words := strings.Fields(text)
	if len(words) > 0 && !strings.HasSuffix(text, " ") {
		word, words = words[len(words)-1], words[:len(words)-1]
	}
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
	return slices.DeleteFunc(slices.Clone(names), func(n string) bool { return !strings.HasPrefix(n, word) })
}

// choices lists the values that an argument or option may have, if there is a list: by its name,
// which means the same in all commands.
func (s session) choices(c command, key, begun string) []string {
	switch key {
	case "teacher":
		return models.TeacherNames()
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
		return presets()
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
	case "run", "other", "dir":
		return files(begun, true)
	case "file", "data", "checkpoint", "out", "indices", "baseline":
		return files(begun, false)
	}
	return nil
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
	for _, lb := range s.config.Bits.Map(s.teacher.folded) {
		names = append(names, lb.Layer)
	}
	return names
}

// files lists those whose path begins so, folders with a slash behind.
func files(begun string, foldersOnly bool) []string {
	found, _ := filepath.Glob(strings.NewReplacer(`[`, `\[`, `*`, `\*`, `?`, `\?`).Replace(begun) + "*") // only a bad pattern fails
	var names []string
	for _, name := range found {
		info, err := os.Stat(name)
		switch {
		case err != nil:
		case info.IsDir():
			names = append(names, name+"/")
		case !foldersOnly:
			names = append(names, name)
		}
	}
	return names
}
