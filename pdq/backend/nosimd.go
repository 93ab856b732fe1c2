//go:build !goexperiment.simd

package backend

const simd = false // the Go backend computes one number at a time
