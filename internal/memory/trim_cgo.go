//go:build linux && cgo

package memory

/*
#include <malloc.h>

static void trim(void) {
#ifdef __GLIBC__
	malloc_trim(0);
#endif
}
*/
import "C"

// trim gives the free memory of C's allocator back to the system, also that between blocks in use.
func trim() { C.trim() }
