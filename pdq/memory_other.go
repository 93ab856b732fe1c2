//go:build !linux

package pdq

func resetPeakMemory() {}

// peakMemory is unknown on this system.
func peakMemory() int64 { return 0 }
