//go:build !goexperiment.simd

package backend

const simd = false // the Go backend computes number by number
