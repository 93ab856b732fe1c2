#!/usr/bin/env bash
# Records screens of the shell at 80 columns, for a person to read: docs/terminal.txt. It needs tmux and bin/pdquant.
# From the project's root:
#
#	make build && internal/recording/record.sh > docs/terminal.txt
set -euo pipefail
bin=$PWD/bin/pdquant
home=$(mktemp -d)
tmux() { command tmux -L pdquant-recording -f /dev/null "$@"; }
trap 'tmux kill-server 2>/dev/null || true; rm -rf "$home"' EXIT

begin() { # a window with a shell of Bash, in which pdquant is a command
	tmux new-session -d -x 80 -y 24 -c "$home" -e HOME="$home" -e PDQUANT="$bin" \
		-e GOMLX_BACKEND=go "bash --norc --noprofile"
	keys 'PS1="$ "; pdquant() { "$PDQUANT" "$@"; }; clear' Enter
	sleep 1
}

keys() { tmux send-keys "$@"; }

say() { # what follows on the page
	printf '\n======== %s\n' "$*"
}

await() { # waits until the screen has a line that a regular expression matches
	for _ in $(seq 600); do
		tmux capture-pane -p | grep -qE -- "$1" && return
		sleep 0.1
	done
	echo "the screen never had: $1" >&2
	tmux capture-pane -p >&2
	exit 1
}

screen() { # the screen without the empty lines at its end
	sleep 0.5
	tmux capture-pane -p | sed -e :a -e '/^\n*$/{$d;N;ba' -e '}'
}

prompt() { await '(pdq|/[0-9]+)> *$'; }

begin
say "a session; a long step shows a line that is refreshed in place"
keys 'pdquant' Enter; prompt
keys 'teacher resnet8; calib 64; bits w=2 a=2; scales weights; logits' Enter; await "logits of 64 images"
keys 'run conv1 layer1.0' Enter; sleep 6
screen
say "Ctrl-C: what was finished is kept"
keys C-c; await "interrupted"; screen

say "tables fit; the pager has what is higher than the screen, and q leaves it"
fresh() { keys 'clear' Enter; sleep 0.5; }
fresh; keys 'models' Enter; await '^:$'; screen; keys q; sleep 0.5
fresh; keys 'help' Enter; await '^:$'; screen; keys q; sleep 0.5
fresh; keys 'units' Enter; sleep 1; screen

say "Tab: values of set, paths after !"
fresh; keys 'set bits.rule=' Tab Tab; sleep 1; screen
say "Ctrl-C with the list of completions open drops the line"
keys C-c; sleep 0.5; screen
touch "$home/notes.txt"
keys '!ls no' Tab; sleep 0.5; keys Enter; sleep 0.5; screen

say "step until a condition; undo and redo"
fresh; keys 'step conv1 until loss<0.4 n=40' Enter; sleep 15
keys 'undo' Enter; sleep 0.5; keys 'redo' Enter; sleep 0.5; screen

say "eval only measures: undo doesn't take it back"
fresh; keys 'eval n=100' Enter; await "%"; sleep 1; keys 'undo' Enter; sleep 0.5; screen

say "Ctrl-C in ablate: the message says what is kept"
fresh; keys 'ablate seeds=1 out=ablation' Enter; sleep 12
keys C-c; prompt; sleep 1; screen

say "a question before unsaved work is left; the program ends with status 0"
fresh; keys 'exit' Enter; sleep 1; keys y; keys Enter; sleep 2; keys 'echo status $?' Enter
sleep 0.5; screen

say "the terminal was closed at the prompt: that session is saved, too"
keys 'clear' Enter; keys 'pdquant' Enter; prompt
keys 'teacher resnet8; calib 32; bits w=4 a=4; scales weights' Enter; await '^scales of'
tmux kill-window; sleep 2
begin
keys 'ls runs' Enter; keys 'pdquant' Enter; prompt; keys 'resume runs/' Tab Tab; sleep 1; screen
