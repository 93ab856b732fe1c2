// Package shell is a command language: words, a table of commands with arguments and options, scripts, a prompt with
// completion and history, undo, and the display of what commands return.
//
// A program gives a Language: its Commands, over a state S that is a value. A command takes a Call with the state
// before it and returns the state after it; a Shell keeps the states that undo can return to. Commands show Values
// (Text, Table, or the program's own) and tell notes and progress; a Display decides how these look. Terminal is the
// Display of a terminal, which also writes HTML, TSV and JSON.
//
// What a command computes doesn't belong here: the package knows nothing of pdq.
package shell
