package shell

import (
	"strings"
	"testing"
)

// TestInspect: the cursor is where | is.
func TestInspect(t *testing.T) {
	sh, _ := toy(t)
	if err := sh.Line(t.Context(), "add 7"); err != nil {
		t.Fatal(err)
	}
	for code, want := range map[string]string{
		"ad|d 3":                 "add N [times=1]",
		"add |":                  "add N [times=1]",
		"add 3 ti|mes=2":         "times=1            how often",
		"add 3 times=2|":         "times=1            how often",
		"print; pl|us 3":         "add N [times=1]",
		"print\nadd 3\nto|tal":   "the total is 7",
		"total?|":                "the total is 7",
		"?to|tal":                "the total is 7",
		"help tot|al":            "the total is 7",
		"help pri|nt":            "print the sum",
		"add tot|al":             "the total is 7",
		"time add 3 |":           "add N [times=1]",
		"time pri|nt":            "print the sum",
		`read "a b" to|tal; add`: "the total is 7",
	} {
		at := strings.Index(code, "|")
		v := sh.Inspect(code[:at]+code[at+1:], at)
		if v == nil || !strings.Contains(v.Text(0), want) {
			t.Errorf("%s: %v, want %s", code, v, want)
		}
	}
	for _, code := range []string{"", "nothing", "nothing x", "help nothing", "add 'x"} {
		if v := sh.Inspect(code, len(code)); v != nil && code != "add 'x" {
			t.Errorf("%s: %v", code, v)
		}
		sh.Inspect(code, -1)
		sh.Inspect(code, 99)
	}
}

func TestHelpOfWords(t *testing.T) {
	sh, out := toy(t)
	if err := sh.Line(t.Context(), "total?; ?total; help total"); err != nil ||
		strings.Count(out.String(), "the total is 0") != 3 {
		t.Errorf("error %v, printed %s", err, out)
	}
	for line, want := range map[string]string{
		"totel?":    `repl: no command or sum "totel"; did you mean total?`,
		"help zzzz": `repl: no command or sum "zzzz"; help lists the commands`,
	} {
		if err := sh.Line(t.Context(), line); err == nil || err.Error() != want {
			t.Errorf("%s: error %v, want %s", line, err, want)
		}
	}
	if _, names := sh.Complete("help tot"); len(names) != 1 || names[0] != "total" {
		t.Errorf("completed to %q", names)
	}
}

func TestTime(t *testing.T) {
	sh, out := toy(t)
	if err := sh.Line(t.Context(), "time add 3; %%time add 4; time print"); err != nil || sh.State != 7 {
		t.Fatalf("sum %d, error %v", sh.State, err)
	}
	if n := strings.Count(out.String(), "wall 0."); n != 3 || !strings.Contains(out.String(), "processor") {
		t.Errorf("printed %s", out)
	}
	if err := sh.Line(t.Context(), "undo; undo"); err != nil || sh.State != 0 {
		t.Errorf("undone to %d, error %v", sh.State, err)
	}
	out.Reset()
	if err := sh.Script(t.Context(), "cell", strings.NewReader("%%time\nadd 1\nadd 2\n")); err != nil || sh.State != 3 ||
		strings.Count(out.String(), "wall") != 1 {
		t.Errorf("sum %d, error %v, printed %s", sh.State, err, out)
	}
	out.Reset()
	err := sh.Script(t.Context(), "cell", strings.NewReader("%%time\nadd 1\nadd x\nadd 5"))
	if err == nil || !strings.HasPrefix(err.Error(), "cell:3: repl: n=x") || !strings.Contains(out.String(), "wall") {
		t.Errorf("error %v, printed %s", err, out)
	}
	if err := sh.Line(t.Context(), "time"); err == nil || !strings.Contains(err.Error(), "time needs COMMAND") {
		t.Errorf("time of nothing: error %v", err)
	}
}
