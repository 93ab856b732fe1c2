package commands

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/pdquant/pdquant/pdq"
	"github.com/pdquant/pdquant/repl/shell"
)

// condition is what ends step before its n steps: a part of the loss below or above a value. The zero condition never
// does.
type condition struct {
	of    func(pdq.Loss) float64
	above bool
	value float64
}

func (k condition) holds(l pdq.Loss) bool {
	if k.of == nil {
		return false
	}
	if k.above {
		return k.of(l) > k.value
	}
	return k.of(l) < k.value
}

// lossParts are the columns of step's table, and what conditions name.
func lossParts() []struct {
	name string
	of   func(pdq.Loss) float64
} {
	return []struct {
		name string
		of   func(pdq.Loss) float64
	}{{"loss", pdq.Loss.Total}, {"reconstruction", func(l pdq.Loss) float64 { return l.Reconstruction }},
		{"PD", func(l pdq.Loss) float64 { return l.PD }}, {"rounding", func(l pdq.Loss) float64 { return l.Round }}}
}

// stepWords splits step's words into the unit's name and the condition behind "until".
func stepWords(v shell.Values) (unit string, k condition, err error) {
	words := append(strings.Fields(v["unit"]), strings.Fields(v["condition"])...)
	at := slices.Index(words, "until")
	if at < 0 && len(words) > 1 {
		return "", k, fmt.Errorf("repl: step %s; give one unit, or a condition behind until", strings.Join(words, " "))
	}
	if at < 0 {
		return v["unit"], k, nil
	}
	if at > 1 {
		return "", k, fmt.Errorf("repl: step %s; give one unit", strings.Join(words[:at], " "))
	}
	k, err = parseCondition(strings.Join(words[at+1:], ""))
	return strings.Join(words[:at], ""), k, err
}

// parseCondition reads "loss<2".
func parseCondition(text string) (k condition, err error) {
	i := strings.IndexAny(text, "<>")
	if i > 0 {
		k.above = text[i] == '>'
		k.value, err = strconv.ParseFloat(text[i+1:], 64)
		for _, part := range lossParts() {
			if strings.EqualFold(part.name, text[:i]) {
				k.of = part.of
			}
		}
	}
	if i <= 0 || err != nil || k.of == nil {
		var names []string
		for _, part := range lossParts() {
			names = append(names, part.name)
		}
		return condition{}, fmt.Errorf("repl: until %s; give a part of the loss and its bound, as until loss<2; the parts "+
			"are %s",
			text, strings.Join(names, ", "))
	}
	return k, nil
}

// thinned returns at most n of the rows, the last among them.
func thinned[T any](rows []T, n int) []T {
	if len(rows) <= n {
		return rows
	}
	every := (len(rows) + n - 1) / n
	var some []T
	for i, row := range rows {
		if (len(rows)-1-i)%every == 0 {
			some = append(some, row)
		}
	}
	return some
}
