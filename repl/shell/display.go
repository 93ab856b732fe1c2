package shell

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/charmbracelet/lipgloss"
)

// Display is where commands' values, notes and progress go.
type Display interface {
	Show(v Value) error // an error is kept: the program ends with it
	Note(text string)   // what a person should know, and a program needn't
	Stderr(text string) // what a program that a command ran wrote to its standard error
	Fail(err error)     // why a line ended
	Progress(s Step)    // how far a step has come
	Done()              // the step has ended
	Clear()             // what was shown may go
}

// Step is how far something has come that takes time.
type Step struct {
	Name        string // the same for all of the step
	Done, Total int
	Text        string // what changes, as a loss and the time left
}

// Format is a form in which values are written.
type Format struct {
	Name, About string
	write       func(v Value, width int) (string, error)
}

// Formats lists the forms, the usual one first.
func Formats() []Format {
	return []Format{
		{"text", "for people", func(v Value, width int) (string, error) { return v.Text(width), nil }},
		{"html", "a fragment of a page", func(v Value, _ int) (string, error) { return v.HTML(), nil }},
		{"tsv", "cells between tabs, texts as # comments", func(v Value, _ int) (string, error) { return v.TSV(), nil }},
		{"json", "a line of JSON for each value", func(v Value, _ int) (string, error) {
			line, err := json.Marshal(map[string]any{"kind": v.Kind(), "value": v})
			return Visible(string(line)), err
		}},
	}
}

// FindFormat returns the format called name. The error lists them.
func FindFormat(name string) (Format, error) {
	var names []string
	for _, f := range Formats() {
		if f.Name == name {
			return f, nil
		}
		names = append(names, f.Name)
	}
	return Format{}, fmt.Errorf("repl: no format %q; choose one of %s", name, strings.Join(names, ", "))
}

// Terminal is the Display of a terminal, a pipe or a file.
type Terminal struct {
	Out, Err io.Writer
	Format   Format
	Width    int  // columns; 0: those of the terminal that Out is, if it is one
	Pager    bool // what is higher than the terminal is shown by $PAGER, or by less
	progress *progress
	failed   error // of the first write that failed
}

// NewTerminal returns a Display that writes values to out as text, and notes and progress to errors: a bar where
// that is a terminal, else a line for each step that took over a second.
func NewTerminal(out, errors io.Writer) *Terminal {
	return &Terminal{Out: out, Err: errors, Format: Formats()[0], progress: newProgress(errors)}
}

// Show writes v. It returns the error of the first write that failed, whichever that was.
func (t *Terminal) Show(v Value) error {
	width := t.Width
	if width == 0 {
		width, _ = screen(t.Out)
	}
	text, err := t.Format.write(v, width)
	if err != nil {
		return err
	}
	if t.Pager && page(t.Out, text) {
		return t.failed
	}
	if _, err := fmt.Fprintln(besideBar{t.progress, t.Out}, text); err != nil && t.failed == nil {
		t.failed = fmt.Errorf("repl: what the command printed can't be written: %w", err)
	}
	return t.failed
}

// Note writes text, wrapped to the terminal's width.
func (t *Terminal) Note(text string) {
	width, _ := screen(t.Err)
	fmt.Fprintln(besideBar{t.progress, t.Err}, Text(text).Text(width))
}

// Stderr writes text as it is.
func (t *Terminal) Stderr(text string) { fmt.Fprintln(besideBar{t.progress, t.Err}, Visible(text)) }

// Fail writes err as Note does a text, in red on a terminal.
func (t *Terminal) Fail(err error) {
	width, _ := screen(t.Err)
	text := lipgloss.NewStyle().Foreground(lipgloss.Color("1")).Render(Text(err.Error()).Text(width))
	fmt.Fprintln(besideBar{t.progress, t.Err}, text)
}

// Progress shows s.
func (t *Terminal) Progress(s Step) { t.progress.show(s) }

// Done ends the step under way.
func (t *Terminal) Done() { t.progress.done() }

// Clear clears the screen of a terminal, and leaves what scrolled off.
func (t *Terminal) Clear() {
	if columns, _ := screen(t.Out); columns > 0 {
		fmt.Fprint(t.Out, "\x1b[H\x1b[2J")
	}
}
