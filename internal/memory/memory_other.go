//go:build !linux

package memory

// ResetPeak does nothing on this system.
func ResetPeak() {}

// Peak is unknown on this system.
func Peak() int64 { return 0 }

// InUse is unknown on this system.
func InUse() int64 { return 0 }

// Total is unknown on this system.
func Total() int64 { return 0 }

// FreeDisk is unknown on this system.
func FreeDisk(string) int64 { return -1 }
