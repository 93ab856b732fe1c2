// Package commands has the commands of pdquant's shell. Each is one or two calls of pdq, and returns what it found as
// values, which the shell displays. Steps of the method don't belong here, nor parsing, prompts and flags.
package commands

import (
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/pdquant/pdquant/datasets"
	"github.com/pdquant/pdquant/models/arch"
	"github.com/pdquant/pdquant/pdq"
	"github.com/pdquant/pdquant/pdq/backend"
	"github.com/pdquant/pdquant/pdq/experiment"
	"github.com/pdquant/pdquant/pdq/export"
	"github.com/pdquant/pdquant/repl/shell"
)

// command is a row of the table of commands.
type command = shell.Command[session]

// Shell is pdquant's shell.
type Shell = shell.Shell[session]

// New returns a shell whose session has nothing yet.
func New(d shell.Display) (*Shell, error) {
	sh, _, err := newShell(d)
	return sh, err
}

func newShell(d shell.Display) (*Shell, *engine, error) {
	e := &engine{progress: newProgress(d)}
	begin, err := newSession()
	return shell.New(e.language(), d, begin), e, err
}

// commands is the table. The groups' order is that of help.
func (e *engine) commands() []command {
	return slices.Concat(e.setupCommands(), e.stepCommands(), e.insideCommands(), []command{e.dumpCommand()},
		e.runCommands(), e.exportCommands(), []command{e.costCommand()}, e.nameCommands(), []command{e.reportCommand()},
		[]command{e.demoCommand(), e.quantiseCommand(), e.modelsCommand(), e.downloadCommand(), e.reproduceCommand(),
			e.gridCommand(), e.trainCommand()})
}

func (e *engine) language() shell.Language[session] {
	return shell.Language[session]{
		Commands: e.commands(), Words: words(), Aliases: aliases(), Info: "info", Repeats: "step",
		Files: []string{"file", "data", "checkpoint", "out", "indices", "baseline", "labels", "model", "export", "into",
			"calibration", "evaluation"},
		Folders: []string{"dir", "run", "other"},
		Choices: choices, Fold: isField, Prompt: session.prompt, Kept: kept, Lost: lost, Rescue: rescue, Live: e.freeBut,
		Same:    func(a, b session) bool { return reflect.DeepEqual(a, b) },
		Welcome: "pdquant: PD-Quant step by step. help lists the commands, Tab completes, Ctrl-D leaves.",
		RC:      ".pdqrc", History: ".pdq_history",
	}
}

// aliases are what fingers type that know IPython, gdb or sqlite3.
func aliases() map[string]string {
	return map[string]string{"q": "quit", "exit": "quit", "read": "source", "h": "help", "?": "help", "hist": "history",
		"s": "step", "n": "step", "next": "step", "c": "run", "continue": "run", "r": "run", "info": "units",
		"shell": "system", "evaluate": "eval", "u": "undo", "p": "show", "print": "show", "quantize": "quantise"}
}

// lost says so if the session before was in the middle of rounding a unit, and the next one isn't.
func lost(was, is session) string {
	unit, steps := was.underWay()
	if steps == 0 || is.rounding != nil && is.rounding.start.data == was.rounding.start.data {
		return ""
	}
	if u := was.rounding.start.data.Unit; u < len(is.units) && is.units[u].finished {
		return ""
	}
	return fmt.Sprintf("the rounding of %s, at step %d, is given up; undo takes this back", unit, steps)
}

// rescue is the command that saves what the shell's end would lose.
func rescue(s session, folder string) []string {
	if len(s.student.Weights) == 0 && len(s.names) == 0 {
		return nil
	}
	if folder == "" {
		folder = time.Now().Format("runs/ended-20060102-150405")
	}
	return []string{"save", folder}
}

// kept returns the commands that lead from one session to another, in which an interrupted command left off.
func kept(from, to session) []string {
	var lines []string
	add := func(done bool, line string) {
		if done {
			lines = append(lines, line)
		}
	}
	add(from.logits == nil && to.logits != nil, "logits")
	add(len(from.student.Weights) == 0 && len(to.student.Weights) > 0, "scales weights")
	for u, st := range to.units {
		name, was := to.unitName(u), from.units[u]
		if st.finished {
			add(!was.finished, "run "+name)
			continue
		}
		add(st.corrected && !was.corrected, "dc "+name)
		add(to.scaled(u) && !from.scaled(u), "scales acts "+name)
		if to.rounding == nil || to.rounding.start.data.Unit != u {
			continue
		}
		steps := to.rounding.state.Done
		if from.rounding != nil && from.rounding.start.data == to.rounding.start.data {
			steps -= from.rounding.state.Done
		}
		add(steps > 0, fmt.Sprintf("step %s n=%d", name, steps))
	}
	return lines
}

// isField says whether name is that of a configuration field, in which case doesn't matter: only theirs begin with a
// capital and have a point.
func isField(name string) bool { return name >= "A" && name < "[" && strings.Contains(name, ".") }

// choices lists the values that an argument or option may have, if there is a list: by its name, which means the same
// in all commands.
func choices(s session, command, key, begun string) []string {
	if command == "set" {
		if field, err := findField(key); err == nil && strings.Contains(key, ".") {
			return field.Choices
		}
	}
	switch key {
	case "dir", "run", "other":
		folders := runFolders(command, begun)
		if command == "compare" || command == "report" {
			folders = slices.Concat(s.studentNames(), []string{now}, folders)
		}
		return folders
	case "student", "name":
		return s.studentNames()
	case "unit", "units":
		return s.unitNames()
	case "layer":
		return s.layerNames()
	case "what":
		return map[string][]string{"scales": {"weights", "acts"}, "plot": plotNames()}[command]
	case "field":
		names := allFields()
		if command == "set" {
			for i := range names {
				names[i] += "="
			}
		}
		return names
	}
	list := map[string]func() []string{
		"teacher":       registryNames,
		"network":       registryNames,
		"set":           setNames,
		"crop":          func() []string { return []string{"random", "centre"} },
		"interpolation": func() []string { return []string{"bilinear", "bicubic"} },
		"metric":        func() []string { return []string{"mse", "lp", "cosine", "pd"} },
		"loss":          func() []string { return []string{"mse", "pd"} },
		"form":          export.Form(0).Choices,
		"of":            func() []string { return []string{"weight", "output"} },
		"rule":          func() []string { return []string{"qdrop", "brecq", "all-low"} },
		"preset":        pdq.PresetNames,
		"backend":       func() []string { return append([]string{"auto"}, backend.Available()...) },
	}[key]
	if list == nil {
		return nil
	}
	return list()
}

// runFolders lists the folders of runs that begin so, and those that lead to some; nil for commands that take others.
func runFolders(command, begun string) []string {
	if !slices.Contains([]string{"resume", "compare", "report"}, command) {
		return nil
	}
	names := []string{} // not nil: no other files either
	for _, path := range shell.Paths(begun, true) {
		if exists(filepath.Join(path, experiment.RecordFile)) {
			names = append(names, strings.TrimSuffix(path, "/"))
		} else if found, err := filepath.Glob(filepath.Join(path, "*", experiment.RecordFile)); err == nil && len(found) > 0 {
			names = append(names, path)
		}
	}
	return names
}

func setNames() []string {
	var names []string
	for _, s := range datasets.Sets() {
		names = append(names, s.Name)
	}
	return names
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

// Introduction begins the manual page, MANUAL.md.
const Introduction = `# The shell's commands

This page is made from the table of commands (` + "`go test ./repl/commands -run TestManual -update`" + `).

    go run ./repl                    # a prompt; ~/.pdqrc runs first, but for -norc
    go run ./repl NAME ...           # one command
    go run ./repl -e 'NAME ...; NAME ...'
    go run ./repl -f FILE            # a script; also on standard input

Words are separated by blanks, commands by semicolons or lines; # begins a comment, and quotes hold a word together.
Arguments in brackets may be left out. An option is key=value, shown with its default; so may be an argument. Names of
commands may be cut short. The first error ends a script, with its line and status 1; at the prompt it changes nothing.
Ctrl-C ends a command and keeps what it had finished, Ctrl-R searches the history (~/.pdq_history), Tab completes.
`
