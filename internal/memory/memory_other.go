//go:build !linux

package memory

// ResetPeak does nothing on this system.
func ResetPeak() {}

// Peak is unknown on this system.
func Peak() int64 { return 0 }

// InUse is unknown on this system.
func InUse() int64 { return 0 }

// Total returns the memory of the machine in bytes, 0 if unknown, as here.
func Total() int64 { return 0 }

// FreeDisk returns how many bytes can be written to files in dir, -1 if unknown, as here.
func FreeDisk(string) int64 { return -1 }
