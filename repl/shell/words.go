package shell

import (
	"fmt"
	"strings"
)

// Split cuts a line into statements, which semicolons end, and these into words. Quotes, single
// or double, hold a word together; within double ones a backslash takes the next character as it
// is. A # where a word could begin starts a comment. Statements without words are left out.
func Split(line string) ([][]string, error) {
	var statements [][]string
	var words []string
	var word strings.Builder
	inWord := false
	endWord := func() {
		if inWord {
			words = append(words, word.String())
			word.Reset()
			inWord = false
		}
	}
	endStatement := func() {
		endWord()
		if len(words) > 0 {
			statements = append(statements, words)
			words = nil
		}
	}
	for i := 0; i < len(line); i++ {
		switch c := line[i]; c {
		case ' ', '\t', '\r', '\n':
			endWord()
		case ';':
			endStatement()
		case '#':
			if !inWord {
				endStatement()
				return statements, nil
			}
			word.WriteByte(c)
		case '\'', '"':
			text, n, ok := quoted(line[i:])
			if !ok {
				open, _, _ := strings.Cut(line[i:], "\n")
				return nil, fmt.Errorf("repl: the quote %s isn't closed", open)
			}
			word.WriteString(text)
			inWord = true
			i += n - 1
		default:
			word.WriteByte(c)
			inWord = true
		}
	}
	endStatement()
	return statements, nil
}

// Incomplete says whether a line goes on with the next one: a quote is open, or the last character is a backslash.
func Incomplete(line string) bool {
	if strings.HasPrefix(strings.TrimSpace(line), "!") {
		return false
	}
	_, err := Split(line)
	return err != nil || strings.HasSuffix(line, `\`)
}

// quoted returns the text of the quote that s begins with, and how many bytes it takes. ok is
// false if it doesn't end.
func quoted(s string) (text string, n int, ok bool) {
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == s[0]:
			return b.String(), i + 1, true
		case s[i] == '\\' && s[0] == '"' && i+1 < len(s):
			i++
		}
		b.WriteByte(s[i])
	}
	return "", 0, false
}

// Join returns a line that Split cuts into words.
func Join(words []string) string {
	out := make([]string, len(words))
	for i, w := range words {
		out[i] = w
		if w == "" || strings.ContainsAny(w, " \t\r\n;#'\"") {
			out[i] = `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(w) + `"`
		}
	}
	return strings.Join(out, " ")
}
