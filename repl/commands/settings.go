package commands

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/pdquant/pdquant/pdq"
	"github.com/pdquant/pdquant/repl/shell"
)

// findFields returns the configuration fields that name may stand for: the one it names, else
// all whose last part it is, else all that it is a part of. Case doesn't matter.
func findFields(name string) ([]pdq.Field, error) {
	all, err := pdq.Fields()
	if err != nil {
		return nil, err
	}
	name = strings.ToLower(name)
	for _, same := range []func(field string) bool{
		func(field string) bool { return field == name },
		func(field string) bool { return strings.HasSuffix(field, "."+name) },
		func(field string) bool { return strings.Contains(field, name) },
	} {
		found := slices.DeleteFunc(slices.Clone(all), func(f pdq.Field) bool { return !same(strings.ToLower(f.Name)) })
		if len(found) > 0 {
			return found, nil
		}
	}
	return nil, fmt.Errorf("repl: no field %q%s", name, shell.Suggestion(name, fieldNames(all), "show lists them"))
}

func fieldNames(fields []pdq.Field) []string {
	var names []string
	for _, f := range fields {
		names = append(names, f.Name)
	}
	return names
}

// findField returns the one field that name stands for.
func findField(name string) (pdq.Field, error) {
	found, err := findFields(name)
	if err == nil && len(found) > 1 {
		err = fmt.Errorf("repl: %q may be %s; give more of the name", name, strings.Join(fieldNames(found), ", "))
	}
	if err != nil {
		return pdq.Field{}, err
	}
	return found[0], nil
}

// assignments returns what set's words say, in their order: "a=1 b=2", "a 1 b 2", "a = 1", "a= 1".
func assignments(words []string) ([][2]string, error) {
	text := strings.Join(words, " ")
	var pairs [][2]string
	if !strings.Contains(text, "=") && len(words)%2 == 0 {
		for pair := range slices.Chunk(words, 2) {
			pairs = append(pairs, [2]string(pair))
		}
		text = ""
	}
	for _, blank := range []string{" =", "= "} {
		text = strings.ReplaceAll(text, blank, "=")
	}
	for word := range strings.FieldsSeq(text) {
		key, value, ok := strings.Cut(word, "=")
		if !ok || key == "" || value == "" {
			return nil, fmt.Errorf("repl: set takes field=value, not %q", word)
		}
		pairs = append(pairs, [2]string{key, value})
	}
	if pairs == nil {
		return nil, errors.New("repl: set what? set Rounding.Steps=500; show lists the fields")
	}
	return pairs, nil
}

func setFields(c *call) (session, error) {
	s := c.s
	pairs, err := assignments(c.Words)
	if err != nil {
		return s, err
	}
	config := s.config
	var lines []string
	for _, p := range pairs {
		f, err := findField(p[0])
		if err != nil {
			return s, err
		}
		value := p[1]
		if value == "default" {
			if value, err = s.base.Get(f.Name); err != nil {
				return s, err
			}
		}
		if config, err = config.Set(f.Name, value); err != nil {
			return s, err
		}
		now, _ := config.Get(f.Name) // just set
		lines = append(lines, fmt.Sprintf("%s = %s", f.Name, now))
	}
	if err := config.Validate(); err != nil {
		return s, firstLine(err)
	}
	mirror, bits := config.Mirror != s.config.Mirror, config.Bits != s.config.Bits
	s.config = config
	if mirror {
		s = s.restart() // fitted to other images
		s.logits = nil
	}
	if bits {
		if s, err = s.restart().withPreset(s.preset); err != nil {
			return c.s, err
		}
	}
	c.Show(shell.Text(strings.Join(lines, "\n")))
	return s, nil
}

func showFields(c *call) (session, error) {
	fields, err := findFields(c.Values["field"])
	if err != nil {
		return c.s, err
	}
	v, err := c.s.fieldsView(fields)
	if err == nil {
		c.Show(v)
	}
	return c.s, err
}
