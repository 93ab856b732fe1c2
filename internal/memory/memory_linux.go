// Package memory measures the memory of this process and of the machine.
package memory

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"

	"golang.org/x/sys/unix"
)

// ResetPeak gives free memory back to the system and starts a new measurement of Peak. If the kernel doesn't allow
// that, Peak stays that of the whole process so far.
func ResetPeak() {
	release()
	_ = os.WriteFile("/proc/self/clear_refs", []byte("5"), 0) // see proc(5)
}

// Peak returns the largest resident size of the process since ResetPeak, in bytes, or 0 if unknown.
func Peak() int64 { return status("VmHWM:") }

// InUse gives free memory back to the system, and returns the resident size of the process, with native libraries, in
// bytes, or 0 if unknown.
func InUse() int64 {
	runtime.GC() // in addition to that of release: finalizers free memory outside Go
	release()
	return status("VmRSS:")
}

// release gives free memory back to the system.
func release() {
	debug.FreeOSMemory()
	trim()
}

// status returns a size from the process's status in bytes, or 0 if unknown.
func status(name string) int64 {
	f, err := os.Open("/proc/self/status")
	if err != nil {
		return 0
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if v, ok := strings.CutPrefix(s.Text(), name); ok {
			var kib int64
			if _, err := fmt.Sscan(v, &kib); err != nil {
				return 0
			}
			return kib << 10
		}
	}
	return 0
}

// Total returns the memory of the machine, or a container's limit if that is lower, in bytes, or 0 if unknown.
func Total() int64 {
	total := int64(0)
	if f, err := os.ReadFile("/proc/meminfo"); err == nil {
		var kib int64
		if _, err := fmt.Sscanf(string(f), "MemTotal: %d kB", &kib); err == nil {
			total = kib << 10
		}
	}
	for _, file := range []string{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"} {
		var limit int64
		if f, err := os.ReadFile(file); err == nil {
			if _, err := fmt.Sscan(string(f), &limit); err == nil && limit > 0 && limit < total {
				total = limit
			}
		}
	}
	return total
}

// FreeDisk returns the number of bytes that can be written to files in dir, or -1 if unknown.
func FreeDisk(dir string) int64 {
	var s unix.Statfs_t
	if unix.Statfs(dir, &s) != nil {
		return -1
	}
	return int64(s.Bavail) * s.Bsize
}
