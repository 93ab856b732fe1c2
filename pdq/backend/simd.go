//go:build goexperiment.simd

package backend

const simd = true // the Go backend computes with vector instructions
