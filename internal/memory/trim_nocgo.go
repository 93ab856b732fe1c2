//go:build linux && !cgo

package memory

// trim does nothing: without cgo there is no C allocator.
func trim() {}
