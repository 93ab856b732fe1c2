// Package exec runs GoMLX graphs over many images: in chunks, on several workers, with results in caches in memory or
// in files, and with a check for values that aren't finite. It knows nothing of quantisation.
package exec
