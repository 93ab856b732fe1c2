package shell

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// toy is a shell over a sum, and what it prints.
func toy(t testing.TB) (*Shell[int], *bytes.Buffer) {
	t.Helper()
	var out bytes.Buffer
	sh := New(Language[int]{
		Commands: []Command[int]{
			{Name: "add", Group: "Sums", Help: "add to the sum", Changes: true, Run: add,
				Args: []Argument{{Name: "n", Help: "what to add", Need: true}}, Options: []Option{{"times", "1", "how often"}}},
			{Name: "print", Group: "Sums", Help: "print the sum",
				Run: func(c *Call[int]) (int, error) { c.Print("sum %d", c.State); return c.State, nil }},
			{Name: "table", Group: "Sums", Help: "print the sum as a table", Run: func(c *Call[int]) (int, error) {
				c.Show(Table{[]string{"sum", "text"}, [][]any{{Number{float64(c.State) / 3, "%.1f"}, "a, \"b\"\tc"}}})
				return c.State, nil
			}},
			{Name: "wait", Group: "Sums", Help: "add 1, and wait until interrupted", Changes: true, Run: wait},
			{Name: "read", Group: "Sums", Help: "read a file", Args: []Argument{{Name: "file", Help: "which"}}, Run: read},
		},
		Aliases: map[string]string{"plus": "add"}, Files: []string{"file"},
		Same: func(a, b int) bool { return a == b }, Prompt: func(s int) string { return fmt.Sprintf("%d> ", s) },
		Kept: func(was, is int) []string { return []string{fmt.Sprintf("add %d", is-was)} },
		Choices: func(_ int, _, key, _ string) []string {
			return map[string][]string{"n": {"Big.One", "two"}}[key]
		},
		Fold: func(name string) bool { return name == "Big.One" },
		Words: []Word[int]{{"sum", func(int) []string { return []string{"total"} }, func(s int, word string) Value {
			if word != "total" {
				return nil
			}
			return Text(fmt.Sprintf("the total is %d", s))
		}}},
	}, NewTerminal(&out, &out), 0)
	t.Cleanup(func() {
		if err := sh.Close(); err != nil {
			t.Error(err)
		}
	})
	return sh, &out
}

func add(c *Call[int]) (int, error) {
	n, err := c.Values.Number("n", -100, 100)
	if err != nil {
		return c.State, err
	}
	times, err := c.Values.Number("times", 0, 10)
	return c.State + n*times, err
}

func wait(c *Call[int]) (int, error) {
	<-c.Context.Done()
	return c.State + 1, c.Context.Err()
}

func read(c *Call[int]) (int, error) {
	_, err := os.ReadFile(c.Values["file"])
	return c.State, err
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestLine(t *testing.T) {
	sh, out := toy(t)
	if err := sh.Line(t.Context(), "add 1; plus 2 times=2; ad n=3 # a comment"); err != nil || sh.State != 8 {
		t.Errorf("sum %d, error %v", sh.State, err)
	}
	if err := sh.Line(t.Context(), "add 0; undo 2; pri; history"); err != nil || sh.State != 1 {
		t.Errorf("undone to %d, error %v", sh.State, err)
	}
	want := "undone: ad n=3\nundone: plus 2 times=2\nsum 1\nadd 1\nplus 2 times=2\nad n=3\nadd 0\nundo 2\npri\n"
	if got := out.String(); got != want {
		t.Errorf("printed %q, want %q", got, want)
	}
	for line, want := range map[string]string{
		"dad":          `repl: no command "dad"; did you mean add?`,
		"add":          "repl: add needs N, what to add; its form is: add N [times=1]",
		"add 1 tiems=": `repl: add has no option "tiems="; did you mean times?`,
		"add 1 n=2":    "repl: option n is given twice",
		"add x":        "repl: n=x; give a whole number from -100 to 100",
		"print 1":      `repl: print takes no arguments, but "1" is given`,
		"undo 9":       "repl: there are 1 commands to undo, not 9",
		"format xml":   `repl: no format "xml"; choose one of text, html, tsv, json`,
	} {
		if err := sh.Line(t.Context(), line); err == nil || !strings.Contains(err.Error(), want) || sh.State != 1 {
			t.Errorf("%s: error %v, want %s; sum %d", line, err, want, sh.State)
		}
	}
}

// TestScript: the first error ends a script with its line; source takes back what came before, and is one command.
func TestScript(t *testing.T) {
	sh, _ := toy(t)
	dir := t.TempDir()
	good, bad, loop := filepath.Join(dir, "good"), filepath.Join(dir, "bad"), filepath.Join(dir, "loop")
	write(t, good, "\ufeffadd 1\nadd 2\nquit\nadd 100\n")
	write(t, bad, "add 50\n\nadd\n")
	write(t, loop, "source "+loop)
	err := sh.Script(t.Context(), "x", strings.NewReader("source "+good+"\nsource "+bad+"\n"))
	if err == nil || !strings.HasPrefix(err.Error(), "x:2: "+bad+":3: repl: add needs N") || sh.State != 3 {
		t.Errorf("error %v, sum %d", err, sh.State)
	}
	if err := sh.Line(t.Context(), "source "+loop); err == nil || !strings.Contains(err.Error(), "16 deep") {
		t.Errorf("error %v", err)
	}
	if err := sh.Line(t.Context(), "undo"); err != nil || sh.State != 0 {
		t.Errorf("undone to %d, error %v", sh.State, err)
	}
	write(t, bad, "add 5\nundo\nadd\n") // what it undoes isn't for redo
	if err := sh.Line(t.Context(), "source "+bad); err == nil || sh.State != 0 {
		t.Errorf("sum %d, error %v", sh.State, err)
	}
	if err := sh.Line(t.Context(), "redo"); err != nil || sh.State != 3 {
		t.Errorf("done again to %d, error %v", sh.State, err)
	}
}

// TestInvokeFile: a script given as a command is told how to run.
func TestInvokeFile(t *testing.T) {
	sh, _ := toy(t)
	script := filepath.Join(t.TempDir(), "sums")
	if err := os.WriteFile(script, []byte("add 2\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	err := sh.Invoke(t.Context(), Invocation{Words: []string{script}}, nil)
	if err == nil || !strings.Contains(err.Error(), "-f "+script) || sh.State != 0 {
		t.Errorf("a script as a command: error %v, sum %d", err, sh.State)
	}
	if err := sh.Invoke(t.Context(), Invocation{Script: script}, nil); err != nil || sh.State != 2 {
		t.Errorf("error %v, sum %d", err, sh.State)
	}
}

// TestLog: a log replays to the same state, after a failure and an interruption too.
func TestLog(t *testing.T) {
	sh, _ := toy(t)
	path := filepath.Join(t.TempDir(), "log")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := sh.Line(t.Context(), "log "+path+"; add 2"); err != nil {
		t.Fatal(err)
	}
	if err := sh.Line(t.Context(), "add x"); err == nil {
		t.Error("no error")
	}
	if err := sh.Line(ctx, "wait"); !errors.Is(err, context.Canceled) || sh.State != 3 {
		t.Errorf("error %v, sum %d", err, sh.State)
	}
	if err := sh.Line(t.Context(), "log off; add 7"); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	const want = "add 2\n# failed: add x\n# interrupted: wait\nadd 1\n"
	if err != nil || string(text) != want {
		t.Errorf("the log is %q, want %q; error %v", text, want, err)
	}
}

func TestLookUp(t *testing.T) {
	sh, _ := toy(t)
	for words, want := range map[string]string{"a x": "add", ".quit": "quit", "%his": "history", "? add": "help",
		"add?": "help", "?add": "help", "plus --help": "help", "print()": "print"} {
		c, _, err := sh.LookUp(strings.Fields(words))
		if err != nil && words != "? add" || err == nil && c.Name != want {
			t.Errorf("%s: %s, error %v", words, c.Name, err)
		}
	}
}

// TestSystem: what a command of the system prints is shown, and its failure is an error.
func TestSystem(t *testing.T) {
	sh, out := toy(t)
	if err := sh.Line(t.Context(), `!printf 'a\nb'; echo c >&2`); err != nil ||
		!slices.Contains(strings.Split(out.String(), "\n"), "b") {
		t.Errorf("printed %q, error %v", out, err)
	}
	if err := sh.Line(t.Context(), "!exit 3"); err == nil || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("error %v", err)
	}
}

// TestFormats: a value in each format.
func TestFormats(t *testing.T) {
	table := Table{Columns: []string{"layer", "top-1 %", "n"}, Rows: [][]any{{"a<b", Number{12.345, "%.1f"}, Count(1234)}}}
	record := Record{"12.3 %", []Field{{"percent", Number{12.345, "%.1f"}}}}
	for _, c := range []struct {
		format string
		value  Value
		want   string
	}{
		{"text", table, "│ layer │ top-1 % │ n     │\n├───────┼─────────┼───────┤\n│ a<b   │    12.3 │ 1,234 │"},
		{"html", table, `<td style="text-align:left">a&lt;b</td>` +
			`<td style="text-align:right">12.3</td><td style="text-align:right">1,234</td>`},
		{"tsv", table, "layer\ttop-1 %\tn\na<b\t12.345\t1234\n"},
		{"json", table, `{"kind":"table","value":{"columns":["layer","top-1 %","n"],"rows":[["a\u003cb",12.345,1234]]}}`},
		{"text", record, "12.3 %\n"}, {"tsv", record, "percent\t12.345\n"},
		{"json", record, `{"kind":"record","value":{"percent":12.345,"text":"12.3 %"}}`},
		{"html", Text("a<b"), "<pre>a&lt;b</pre>"}, {"tsv", Text("a\nb"), "# a\n# b\n"},
		{"json", Text("a"), `{"kind":"text","value":"a"}`},
	} {
		var out bytes.Buffer
		d := NewTerminal(&out, io.Discard)
		var err error
		if d.Format, err = FindFormat(c.format); err != nil {
			t.Fatal(err)
		}
		if err := d.Show(c.value); err != nil || !strings.Contains(out.String(), c.want) {
			t.Errorf("%s: %s, want %s; error %v", c.format, &out, c.want, err)
		}
	}
}

// TestFullDisk: what can't be written is an error that stays.
func TestFullDisk(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skipf("there is no /dev/full here: %v", err)
	}
	defer full.Close()
	sh, _ := toy(t)
	sh.display = NewTerminal(full, io.Discard)
	if err := sh.Line(t.Context(), "print; add 1"); err != nil || sh.State != 1 {
		t.Errorf("sum %d, error %v", sh.State, err)
	}
	if err := sh.Failed(); err == nil || !strings.Contains(err.Error(), "can't be written") {
		t.Errorf("error %v", err)
	}
}

// TestCompleteLines: what is typed and completed is a line that means the name.
func TestCompleteLines(t *testing.T) {
	sh, _ := toy(t)
	t.Chdir(t.TempDir())
	write(t, "it's a file;1.pdq", "")
	for typed, want := range map[string]string{
		"read it":                  "it's a file;1.pdq",
		`read "it's a f`:           "it's a file;1.pdq",
		`read it"'"s" "a" "f`:      "it's a file;1.pdq",
		"add bIG":                  "bIG.One",
		"print; add 1 ti":          "times=",
		"help; format j":           "json",
		"help pr":                  "print",
		"hi":                       "history",
		"add 1 times=2; add Two":   "",
		`read "it's a file;1.pdqx`: "",
	} {
		tails, _ := completer[int]{sh}.Do([]rune(typed), len([]rune(typed)))
		if want == "" {
			if len(tails) > 0 {
				t.Errorf("%s: completed by %q", typed, string(tails[0]))
			}
			continue
		}
		if len(tails) != 1 {
			t.Errorf("%s: %d completions", typed, len(tails))
			continue
		}
		line := typed + string(tails[0])
		if strings.HasPrefix(typed, `read "`) {
			continue // the quote that is open stays for who typed it to close
		}
		statements, err := Split(line)
		if err != nil {
			t.Errorf("%s: %v", line, err)
			continue
		}
		if words := statements[len(statements)-1]; words[len(words)-1] != want {
			t.Errorf("%s: %s is %q, want %s", typed, line, statements, want)
		}
	}
}

func TestProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		p := newProgress(&out)
		p.show(Step{Name: "scales", Done: 3, Total: 3}) // takes no time
		p.show(Step{Name: "rounding of conv1", Total: 8})
		time.Sleep(2 * time.Second)
		p.show(Step{"rounding of conv1", 5, 8, "loss 6"})
		p.done()
		p.done()
		const want = "rounding of conv1 2.0 s 2.5 steps/s loss 6"
		if got := strings.Join(strings.Fields(out.String()), " "); got != want {
			t.Errorf("printed %q, want %q", got, want)
		}
	})
}

// TestProgressOfLongSteps: in a log, a step that takes minutes has a line for each. What was done of it before doesn't
// count.
func TestProgressOfLongSteps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		p := newProgress(&out)
		for n := range 130 {
			p.show(Step{"fine-tuning", 20 + n, 1500, "loss 6"})
			time.Sleep(time.Second)
		}
		p.done()
		var lines []string
		for line := range strings.Lines(out.String()) {
			lines = append(lines, strings.Join(strings.Fields(line), " "))
		}
		want := []string{"fine-tuning 60.0 s 1.0 steps/s; 80 of 1500 loss 6",
			"fine-tuning 120.0 s 1.0 steps/s; 140 of 1500 loss 6", "fine-tuning 130.0 s 1.0 steps/s loss 6"}
		if !slices.Equal(lines, want) {
			t.Errorf("printed %q, want %q", lines, want)
		}
	})
}

// TestBesideBar: what is printed while a bar is shown has lines of its own.
func TestBesideBar(t *testing.T) {
	var screen bytes.Buffer
	d := NewTerminal(&screen, &screen)
	d.progress.terminal = true
	for n := 1; n < 4; n++ {
		d.Progress(Step{Name: "rounding of conv1", Done: n, Total: 8})
		if err := d.Show(Text(fmt.Sprintf("row %d", n))); err != nil {
			t.Fatal(err)
		}
	}
	lines := strings.Split(screen.String(), "\n")
	for i, line := range lines[:3] {
		if at := strings.LastIndexByte(line, '\r'); line[at+1:] != fmt.Sprintf("row %d", i+1) {
			t.Errorf("line %d is %q", i+1, line)
		}
	}
	if !strings.Contains(screen.String(), "rounding of conv1") {
		t.Errorf("no bar in %q", screen.String())
	}
}

// TestSystemInterrupted: the end of the context ends what the command started, too.
func TestSystemInterrupted(t *testing.T) {
	sh, _ := toy(t)
	for _, line := range []string{"!sleep 20; echo", "!trap '' INT; sleep 20; echo", "!sleep 20 & wait"} {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		began := time.Now()
		if err := sh.Line(ctx, line); err == nil {
			t.Errorf("%s: no error", line)
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("%s ends after %v", line, took)
		}
		cancel()
	}
	if err := sh.Line(t.Context(), "!sleep 3 &"); err != nil {
		t.Errorf("a command in the background: %v", err)
	}
}
