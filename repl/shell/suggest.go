package shell

import (
	"fmt"
	"slices"
	"strings"
)

// Suggestion is "; did you mean X?" for the names that word may be a slip of, or else "; " and
// what else can be done.
func Suggestion(word string, names []string, remedy string) string {
	if close := closest(word, names); len(close) > 0 {
		return fmt.Sprintf("; did you mean %s?", strings.Join(close, " or "))
	}
	return "; " + remedy
}

// closest returns up to three of names that word may be a slip of: those it begins or is part of,
// else the nearest by number of slips, if they are few for its length.
func closest(word string, names []string) []string {
	word = strings.ToLower(word)
	var found []string
	least := 1 + len(word)/3
	for _, name := range names {
		lower := strings.ToLower(name)
		n := slips(word, lower)
		if len(word) > 2 && strings.Contains(lower, word) {
			n = min(n, 1)
		}
		if n < least {
			found, least = nil, n
		}
		if n <= least {
			found = append(found, name)
		}
	}
	slices.Sort(found)
	found = slices.Compact(found)
	return found[:min(len(found), 3)]
}

// slips counts the letters to add, leave out, replace or swap with their neighbours to make b of
// a, no part of it twice. (Damerau's distance, optimal string alignment)
func slips(a, b string) int {
	x, y := []rune(a), []rune(b)
	d := make([][]int, len(x)+1)
	for i := range d {
		d[i] = make([]int, len(y)+1)
		d[i][0] = i
	}
	for j := range d[0] {
		d[0][j] = j
	}
	for i := 1; i <= len(x); i++ {
		for j := 1; j <= len(y); j++ {
			replace := d[i-1][j-1]
			if x[i-1] != y[j-1] {
				replace++
			}
			d[i][j] = min(replace, d[i-1][j]+1, d[i][j-1]+1)
			if i > 1 && j > 1 && x[i-1] == y[j-2] && x[i-2] == y[j-1] {
				d[i][j] = min(d[i][j], d[i-2][j-2]+1)
			}
		}
	}
	return d[len(x)][len(y)]
}
