//go:build unix

package shell

import (
	"os"
	"os/exec"
	"syscall"
)

// endAll makes the end of cmd's context interrupt also what cmd starts, as Ctrl-C does at a terminal.
func endAll(cmd *exec.Cmd) {
	if tty, err := os.Open("/dev/tty"); err == nil {
		_ = tty.Close() // only read access was asked for
		return          // there is one; in a group of its own, cmd couldn't ask for passwords
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGINT) }
}
