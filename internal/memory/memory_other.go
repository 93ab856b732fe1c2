//go:build !linux

package memory

// ResetPeak does nothing on this system.
func ResetPeak() {}

// Peak is unknown on this system.
func Peak() int64 { return 0 }

// Total returns the memory of the machine in bytes, 0 if unknown, as here.
func Total() int64 { return 0 }
