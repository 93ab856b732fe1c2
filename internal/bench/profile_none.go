//go:build !cgo || !(linux || darwin)

package main

import (
	"context"
	"errors"
)

func (settings) profileCases(context.Context) error {
	return errors.New("a profile needs a build with cgo")
}
