package commands

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/charmbracelet/x/ansi"
	"github.com/creack/pty"
	"golang.org/x/sys/unix"
)

// terminal is the program at a pseudo-terminal.
type terminal struct {
	t    *testing.T
	tty  *os.File
	cmd  *exec.Cmd
	home string
	left atomic.Bool   // nobody reads from it any more
	deaf chan struct{} // closed when nobody does

	mu   sync.Mutex
	seen bytes.Buffer // all that it wrote
	from int          // what was waited for ends here
}

// open starts the program in a home folder of its own.
func open(t *testing.T, home string) *terminal {
	t.Helper()
	return openSized(t, home, 200)
}

// openSized starts it at a terminal of that many columns, with further variables of the environment.
func openSized(t *testing.T, home string, columns uint16, env ...string) *terminal {
	t.Helper()
	cmd := exec.Command("pdq")
	cmd.Dir = home
	cmd.Env = append(os.Environ(), "HOME="+home, "TERM=xterm", "GOMLX_BACKEND=go")
	cmd.Env = append(cmd.Env, env...)
	tty, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 50, Cols: columns})
	if err != nil {
		t.Skipf("no pseudo-terminal: %v", err)
	}
	x := &terminal{t: t, tty: tty, cmd: cmd, home: home, deaf: make(chan struct{})}
	go x.listen()
	t.Cleanup(func() { _ = x.leave(); _ = cmd.Process.Kill() })
	return x
}

// leave closes the terminal.
func (x *terminal) leave() error {
	x.left.Store(true)
	<-x.deaf
	return x.tty.Close()
}

// listen keeps what the program writes.
func (x *terminal) listen() {
	defer close(x.deaf)
	part := make([]byte, 4096)
	for !x.left.Load() {
		ready := []unix.PollFd{{Fd: int32(x.tty.Fd()), Events: unix.POLLIN}}
		if n, err := unix.Poll(ready, 50); n == 0 || errors.Is(err, unix.EINTR) {
			continue // a blocked read would keep the terminal there for the program
		}
		n, err := x.tty.Read(part)
		x.mu.Lock()
		x.seen.Write(part[:n])
		x.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func (x *terminal) typeKeys(keys string) {
	x.t.Helper()
	if _, err := io.WriteString(x.tty, keys); err != nil {
		x.t.Fatal(err)
	}
}

// patience is how long a test waits for what doesn't come: the race detector on a busy machine takes some twenty times
// as long.
const patience = 2 * time.Minute

// wait waits until the program has written what the pattern matches, after what was waited for
// before.
func (x *terminal) wait(pattern string) {
	x.t.Helper()
	re := regexp.MustCompile(pattern)
	escapes := regexp.MustCompile("\x1b\\[[0-9;?]*[A-Za-z]")
	for began := time.Now(); time.Since(began) < patience; time.Sleep(10 * time.Millisecond) {
		x.mu.Lock()
		rest := x.seen.Bytes()[x.from:]
		if at := re.FindIndex(escapes.ReplaceAllFunc(rest,
			func(e []byte) []byte { return bytes.Repeat([]byte{0}, len(e)) })); at != nil {
			x.from += at[1]
			x.mu.Unlock()
			return
		}
		x.mu.Unlock()
	}
	x.t.Fatalf("waited for %q in vain; printed %q", pattern, x.printed())
}

// printed is all that the program wrote.
func (x *terminal) printed() string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.seen.String()
}

// end waits for the program's end.
func (x *terminal) end() {
	x.t.Helper()
	if err := x.ended(); err != nil {
		x.t.Errorf("the shell ended with %v, having printed\n%s", err, x.printed())
	}
}

// ended returns how the program ended; one that doesn't is killed.
func (x *terminal) ended() error {
	late := time.AfterFunc(patience, func() { _ = x.cmd.Process.Kill() })
	defer late.Stop()
	return x.cmd.Wait()
}

// gap matches what readline writes between the characters of a line it redraws.
const gap = "[\x00\r ]*"

func TestPrompt(t *testing.T) {
	home := t.TempDir()
	if err := os.WriteFile(filepath.Join(home, ".pdqrc"), []byte("set seed=42\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	x := open(t, home)
	x.wait("Seed = 42") // ~/.pdqrc
	x.wait("pdq> ")
	x.typeKeys("tea\tresnet8\r") // Tab completes a command
	x.wait("resnet8: 5 units")
	x.wait("resnet8 W2A2 no scales> ")
	x.typeKeys("ruond\r")
	x.wait("did you mean round\\?")
	x.wait("> ")
	x.typeKeys("calib 16; logits; scales wei\t\r") // and an argument
	x.wait("scales of 10 weights")
	x.wait("resnet8 W2A2 0/5> ")
	x.typeKeys("dc l\t\t") // and a unit: what is common first, then the list
	x.wait("layer1.0" + gap + "layer2.0")
	x.typeKeys("\x03\x03") // Ctrl-C leaves the list, and drops the line
	x.wait("\\^C")
	x.typeKeys("show seed\r")
	x.wait("Seed = 42")
	x.wait("0/5> ")         // between prompts the terminal itself takes control characters
	x.typeKeys("\x12calib") // Ctrl-R searches
	x.wait("calib 16; logits")
	x.typeKeys("\x07") // Ctrl-G leaves the search
	x.typeKeys("\x15")
	x.typeKeys("round?\r")
	x.wait("round UNIT")
	x.wait("0/5> ")
	x.typeKeys("\x15\x04") // Ctrl-D
	x.wait("unsaved work")
	x.typeKeys("n\r")
	x.end()

	history, err := os.ReadFile(filepath.Join(home, ".pdq_history"))
	if err != nil || !strings.Contains(string(history), "teacher resnet8\n") ||
		!strings.Contains(string(history), "show seed\n") {
		t.Errorf("history holds %q, error %v", history, err)
	}
	x = open(t, home) // history persists
	x.wait("pdq> ")
	x.typeKeys("\x1b[A")
	x.wait("round\\?")
	x.typeKeys("\x15quit\r")
	x.end()
}

// TestInterrupt: Ctrl-C ends a long command, and the steps it took are kept.
func TestInterrupt(t *testing.T) {
	x := open(t, t.TempDir())
	x.wait("pdq> ")
	x.typeKeys("teacher resnet8; calib 16; set scales.images 4; set rounding.steps=1000000; logits; scales weights; " +
		"scales acts conv1\r")
	x.wait("activation scales by lp")
	x.wait("0/5> ")
	x.typeKeys("round conv1\r")
	x.wait("steps/s|it/s|loss")
	x.typeKeys("\x03")
	x.wait("interrupted; what was finished is kept")
	x.wait(`conv1 [0-9]+/1000000> `)
	x.typeKeys("step n=2\r")
	x.wait("reconstruction")
	x.wait("> ")
	x.typeKeys("\r") // an empty line repeats a step
	x.wait("reconstruction")
	x.wait("> ")
	x.typeKeys("undo 3\r")
	x.wait("W2A2 0/5> ")
	x.typeKeys("quit\r")
	x.wait("unsaved work")
	x.typeKeys("n\r")
	x.end()
}

// TestStartUp: the prompt is there within half a second.
func TestStartUp(t *testing.T) {
	open(t, t.TempDir()).wait("pdq> ") // the program's file is in memory then
	best := time.Hour
	for range 3 {
		began := time.Now()
		open(t, t.TempDir()).wait("pdq> ")
		best = min(best, time.Since(began))
	}
	t.Logf("prompt after %v", best)
	if best > 500*time.Millisecond {
		t.Errorf("the prompt took %v", best)
	}
}

// TestTerminated: a shell that is asked to end, or whose terminal goes away, keeps its session.
func TestTerminated(t *testing.T) {
	for signal, status := range map[syscall.Signal]int{syscall.SIGTERM: 143, syscall.SIGHUP: 129} {
		x := open(t, t.TempDir())
		x.wait(`pdq> `)
		x.typeKeys("teacher resnet8; calib 8; logits; set rounding.steps=1000000; set correction.steps=2; set " +
			"scales.candidates=10; scales weights; run conv1\r")
		x.wait(`rounding of conv1`)
		if err := x.cmd.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
		x.wait(`saved in runs/ended-`)
		_ = x.ended() // the status says it
		if got := x.cmd.ProcessState.ExitCode(); got != status {
			t.Errorf("%v: status %d, want %d", signal, got, status)
		}
		saved, err := filepath.Glob(filepath.Join(x.home, "runs", "ended-*", "rounding.state"))
		if err != nil || len(saved) != 1 {
			t.Errorf("%v: the rounding under way is in %q, error %v; printed %q", signal, saved, err, x.printed())
		}
	}
	x := open(t, t.TempDir())
	x.wait(`pdq> `)
	if err := x.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	_ = x.ended()
	if got := x.cmd.ProcessState.ExitCode(); got != 143 {
		t.Errorf("at the prompt: status %d", got)
	}
}

// TestHangUp: a terminal that goes away at the prompt, as a window that is closed, loses nothing.
func TestHangUp(t *testing.T) {
	for range 3 {
		x := open(t, t.TempDir())
		x.wait(`pdq> `)
		x.typeKeys("teacher resnet8; calib 8; set scales.candidates=10; scales weights\r")
		x.wait(`resnet8 W2A2 0/5> `)
		if err := x.leave(); err != nil {
			t.Fatal(err)
		}
		_ = x.ended() // by the signal, or because there is nobody to ask
		saved, err := filepath.Glob(filepath.Join(x.home, "runs", "ended-*", "run.json"))
		if err != nil || len(saved) != 1 {
			t.Errorf("the session is in %q, error %v; printed %q", saved, err, x.printed())
		}
	}
}

// TestUnsaved: leaving asks what to do with work that unsaved work, and saving it is one answer.
func TestUnsaved(t *testing.T) {
	x := open(t, t.TempDir())
	x.wait(`pdq> `)
	x.typeKeys("teacher resnet8; calib 8; set scales.candidates=10; scales weights\r")
	x.wait(`resnet8 W2A2 0/5> `)
	x.typeKeys("quit\r")
	x.wait(`unsaved work`)
	x.typeKeys("c\r")
	x.wait(`resnet8 W2A2 0/5> `)
	x.typeKeys("set seed=5; undo; redo\r")
	x.wait(`done again: set seed=5`)
	x.wait(`resnet8 W2A2 0/5> `)
	write(t, filepath.Join(x.home, "runs"), "not a folder")
	for _, answer := range []string{"y\r", "\x04"} { // what can't be saved isn't lost
		x.typeKeys("quit\r")
		x.wait(`unsaved work`)
		x.typeKeys(answer)
		x.wait(`run folder: .*not a directory`)
		x.wait(`resnet8 W2A2 0/5> `)
	}
	if err := os.Remove(filepath.Join(x.home, "runs")); err != nil {
		t.Fatal(err)
	}
	x.typeKeys("\x04")
	x.wait(`unsaved work`)
	x.typeKeys("y\r")
	x.wait(`saved in runs/ended-`)
	x.end()
}

// TestNarrow: at 60 and 80 columns no line is longer than the terminal, and the progress of a step stays in one line.
func TestNarrow(t *testing.T) {
	for _, columns := range []uint16{60, 80} {
		x := openSized(t, t.TempDir(), columns, "PAGER=cat", "NO_COLOR=1")
		x.wait(`pdq> `)
		for _, line := range []string{"help", "models", "show", "help grid", "teacher resnet8; calib 8; units", "bits"} {
			x.typeKeys(line + "; system printf 'e%s' nded\r")
			x.wait(`ended\r`)
		}
		x.typeKeys("set scales.candidates=10; set rounding.steps=300; set correction.steps=2; run conv1\r")
		x.wait(`W2A2 1/5> `)
		x.typeKeys("quit\r")
		x.wait(`unsaved work`)
		x.typeKeys("n\r")
		x.end()
		for line := range strings.SplitSeq(ansi.Strip(x.printed()), "\n") {
			for part := range strings.SplitSeq(strings.TrimRight(line, "\r "), "\r") { // a bar is drawn over itself
				if n := ansi.StringWidth(strings.TrimRight(part, " ")); n > int(columns) && !strings.Contains(part, "> ") {
					t.Errorf("%d columns: %q has %d", columns, part, n)
				}
			}
		}
	}
}
