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
	tmux new-session -d -x 80 -y 24 -c "$home" -e HOME="$home" -e PDQUANT="$bin" -e PS1='$ ' -e PAGER= \
		-e TERM=screen -e GOMLX_BACKEND=go "bash --norc --noprofile"
	keys 'pdquant() { "$PDQUANT" "$@"; }; clear' Enter
	sleep 1
}

keys() { tmux send-keys "$@"; }

say() { # what follows on the page
	printf '\n======== %s\n' "$*"
}

shows() { # waits until the screen has a text
	for _ in $(seq 600); do
		tmux capture-pane -p | grep -qF -- "$1" && return
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

prompt() { shows "pdquant> "; }

begin
say "a session; a long step shows a line that is refreshed in place"
keys 'pdquant' Enter; prompt
keys 'teacher resnet8; calib 64; bits w=2 a=2; scales weights; logits' Enter; shows "logits of 64 images"
keys 'run conv1 layer1.0' Enter; sleep 6
screen
say "Ctrl-C: what was finished is kept"
keys C-c; shows "interrupted"; screen

say "tables fit into 80 columns"
keys 'clear' Enter; sleep 0.5; keys 'models' Enter; sleep 1; screen
keys 'clear' Enter; sleep 0.5; keys 'show' Enter; sleep 1; screen

say "the pager for what is higher than the screen (less -FRX, q leaves it)"
keys 'clear' Enter; sleep 0.5; keys 'help' Enter; sleep 1; screen; keys q; sleep 0.5

say "Tab: values of set, paths after !"
keys 'clear' Enter; sleep 0.5; keys 'set bits.rule=' Tab Tab; sleep 1; screen
say "Ctrl-C with the list of completions open drops the line"
keys C-c; sleep 0.5; screen
touch "$home/notes.txt"
keys '!ls no' Tab; sleep 0.5; keys Enter; sleep 0.5; screen

say "step until a condition; undo and redo"
keys 'clear' Enter; sleep 0.5
keys 'step layer1.0 until loss<5 n=100' Enter; shows "layer1.0"; sleep 3
keys 'undo' Enter; sleep 0.5; keys 'redo' Enter; sleep 0.5; screen

say "eval only measures: undo doesn't take it back"
keys 'clear' Enter; sleep 0.5; keys 'eval n=100' Enter; shows "%"; sleep 1; keys 'undo' Enter; sleep 0.5; screen

say "Ctrl-C in ablate: the message says what is kept"
keys 'clear' Enter; sleep 0.5; keys 'ablate rounding.weight=0,0.01 steps=300 out=ablation' Enter; sleep 6
keys C-c; prompt; sleep 1; screen

say "a question before unsaved work is left; the program ends with status 0"
keys 'clear' Enter; sleep 0.5; keys 'exit' Enter; sleep 1; keys y; keys Enter; sleep 2; keys 'echo status $?' Enter
sleep 0.5; screen

say "the terminal is closed at the prompt: the next session says what there is, and resume offers it"
keys 'clear' Enter; keys 'pdquant' Enter; prompt
keys 'teacher resnet8; calib 32; bits w=4 a=4' Enter; shows "W4A4"
tmux kill-window; sleep 2
begin
keys 'pdquant' Enter; prompt; keys 'resume ' Tab Tab; sleep 1; screen
