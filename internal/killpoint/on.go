//go:build killpoint && unix

package killpoint

import (
	"fmt"
	"os"
	"strconv"
	"syscall"
)

// Here does something at the call whose number is in $PDQUANT_KILL_AT; the first is 1. It kills the process, without
// any clean-up, or, if $PDQUANT_KILL_FULL isn't empty, returns the error of a full disk. The file $PDQUANT_KILL_COUNT
// gets a byte for each call.
func Here() error {
	f, err := os.OpenFile(os.Getenv("PDQUANT_KILL_COUNT"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil // not the process that is to be killed
	}
	defer f.Close()
	if _, err := f.Write([]byte(".")); err != nil {
		return fmt.Errorf("killpoint: %w", err)
	}
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("killpoint: %w", err)
	}
	if strconv.FormatInt(info.Size(), 10) != os.Getenv("PDQUANT_KILL_AT") {
		return nil
	}
	if os.Getenv("PDQUANT_KILL_FULL") != "" {
		return syscall.ENOSPC
	}
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {} // until the signal comes
}
