package pdq

import (
	"bufio"
	"fmt"
	"os"
	"runtime/debug"
	"strings"
)

// resetPeakMemory starts a new measurement of peakMemory, after giving free memory back to the
// system: what ran before doesn't count. Where the kernel doesn't allow it, the peak stays that
// of the whole process so far.
func resetPeakMemory() {
	debug.FreeOSMemory()
	_ = os.WriteFile("/proc/self/clear_refs", []byte("5"), 0) // see proc(5)
}

// peakMemory returns the largest resident size of the process since resetPeakMemory, in bytes.
func peakMemory() int64 {
	f, err := os.Open("/proc/self/status")
	if err != nil {
		return 0
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if v, ok := strings.CutPrefix(s.Text(), "VmHWM:"); ok {
			var kib int64
			if _, err := fmt.Sscan(v, &kib); err != nil {
				return 0
			}
			return kib << 10
		}
	}
	return 0
}
