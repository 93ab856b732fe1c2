package onnx

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// foldUnary returns the fold of a function of one element. Integers are left as integers.
func foldUnary(f func(x float64) float64) fold {
	return func(_ *importer, n *node) (*constant, error) {
		in, err := n.arguments(1)
		if err != nil {
			return nil, err
		}
		c := in[0]
		out := &constant{dims: c.dims}
		if !c.isFloat() {
			v, err := c.plain()
			if err != nil {
				return nil, err
			}
			out.ints = make([]number, len(v))
			for i, x := range v {
				out.ints[i].n = int64(f(float64(x)))
			}
			return out, nil
		}
		out.floats = make([]float32, len(c.floats))
		for i, x := range c.floats {
			out.floats[i] = float32(f(float64(x)))
		}
		return out, nil
	}
}

// foldBinary returns the fold of a function of two elements: of floats, and of numbers.
func foldBinary(f func(x, y float64) float64, g func(x, y number) (number, error)) fold {
	return func(_ *importer, n *node) (*constant, error) {
		in, err := n.arguments(2)
		if err != nil {
			return nil, err
		}
		return combined(in[0], in[1], f, g)
	}
}

// combined returns f or g of the elements of x and y, broadcast.
func combined(x, y *constant, f func(x, y float64) float64, g func(x, y number) (number, error)) (*constant, error) {
	dims, err := broadcast(x.dims, y.dims)
	if err != nil {
		return nil, err
	}
	to := intsOf(dims...).ints
	if x, err = expanded(x, to); err != nil {
		return nil, err
	}
	if y, err = expanded(y, to); err != nil {
		return nil, err
	}
	out := &constant{dims: dims}
	switch {
	case x.isFloat() != y.isFloat():
		return nil, errors.New("combines floats and integers")
	case x.isFloat():
		out.floats = make([]float32, len(x.floats))
		for i := range out.floats {
			out.floats[i] = float32(f(float64(x.floats[i]), float64(y.floats[i])))
		}
	default:
		out.ints = make([]number, len(x.ints))
		for i := range out.ints {
			if out.ints[i], err = g(x.ints[i], y.ints[i]); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

// plainly is f for numbers that don't depend on the number of images.
func plainly(f func(x, y int64) int64) func(x, y number) (number, error) {
	return func(x, y number) (number, error) {
		if x.images || y.images {
			return number{}, errors.New("computes with the number of images what isn't read")
		}
		return number{n: f(x.n, y.n)}, nil
	}
}

// sum returns x+y, or x-y for a sign of -1.
func sum(sign int64) func(x, y number) (number, error) {
	return func(x, y number) (number, error) {
		switch {
		case x.images == y.images:
			return number{x.n + sign*y.n, x.images}, nil
		case x.n == 0:
			return number{sign * y.n, y.images}, nil
		case y.n == 0:
			return x, nil
		}
		return number{}, errors.New("adds to the number of images")
	}
}

// times returns x·y.
func times(x, y number) (number, error) {
	if x.images && y.images {
		return number{}, errors.New("squares the number of images")
	}
	return number{x.n * y.n, x.images || y.images}, nil
}

// over returns x/y, rounded to zero.
func over(x, y number) (number, error) {
	switch {
	case y.n == 0:
		return number{}, errors.New("divides by 0")
	case y.images && !x.images, x.images && x.n%y.n != 0:
		return number{}, errors.New("divides by the number of images, or what it isn't a multiple of")
	}
	return number{x.n / y.n, x.images && !y.images}, nil
}

// compared returns a comparison of numbers. The number of images is unlike any number.
func compared(f func(x, y int64) bool, unlike int64) func(x, y number) (number, error) {
	return func(x, y number) (number, error) {
		if x.images != y.images {
			return number{n: unlike}, nil
		}
		return number{n: truth(f(x.n, y.n))}, nil
	}
}

func truth(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// foldCompare returns the fold of a comparison.
func foldCompare(f func(x, y float64) bool, unlike int64) fold {
	return func(_ *importer, n *node) (*constant, error) {
		in, err := n.arguments(2)
		if err != nil {
			return nil, err
		}
		c, err := combined(in[0], in[1], func(x, y float64) float64 { return float64(truth(f(x, y))) },
			compared(func(x, y int64) bool { return f(float64(x), float64(y)) }, unlike))
		if err != nil {
			return nil, err
		}
		return cast(c, false)
	}
}

func foldWhere(_ *importer, n *node) (*constant, error) {
	in, err := n.arguments(3)
	if err != nil {
		return nil, err
	}
	dims, err := broadcast(in[0].dims, in[1].dims)
	if err == nil {
		dims, err = broadcast(dims, in[2].dims)
	}
	if err != nil {
		return nil, err
	}
	var all [3]*constant
	for i := range all {
		if all[i], err = expanded(in[i], intsOf(dims...).ints); err != nil {
			return nil, err
		}
	}
	if all[0].isFloat() || all[1].isFloat() != all[2].isFloat() {
		return nil, fmt.Errorf("chooses between %s and %s", in[1].title(), in[2].title())
	}
	out := picked(all[1], dims, func(i int) int { return i })
	for i, c := range all[0].ints {
		switch {
		case c.n != 0 || c.images:
		case out.isFloat():
			out.floats[i] = all[2].floats[i]
		default:
			out.ints[i] = all[2].ints[i]
		}
	}
	return out, nil
}

func foldReduceProd(_ *importer, n *node) (*constant, error) {
	in, err := n.arguments(1)
	if err != nil {
		return nil, err
	}
	if in[0].isFloat() || len(in[0].dims) != 1 {
		return nil, errors.New("multiplies what isn't a vector of integers")
	}
	p := number{n: 1}
	for _, x := range in[0].ints {
		if p, err = times(p, x); err != nil {
			return nil, err
		}
	}
	out := &constant{ints: []number{p}}
	if n.integer("keepdims", 1) != 0 {
		out.dims = []int{1}
	}
	return out, nil
}

// foldVariadic is foldBinary for any number of inputs.
func foldVariadic(f func(x, y float64) float64, g func(x, y number) (number, error)) fold {
	return func(_ *importer, n *node) (*constant, error) {
		in, err := n.arguments(max(1, len(n.in)))
		if err != nil {
			return nil, err
		}
		all := in[0]
		for _, c := range in[1:] {
			if all, err = combined(all, c, f, g); err != nil {
				return nil, err
			}
		}
		return all, nil
	}
}

// foldMod computes Mod of constants: C's with fmod, else Python's.
func foldMod(im *importer, n *node) (*constant, error) {
	f := floorMod
	if n.integer("fmod", 0) != 0 {
		f = func(x, y int64) int64 {
			if y == 0 {
				return 0
			}
			return x % y
		}
	}
	return foldBinary(math.Mod, plainly(f))(im, n)
}

// foldClip computes Clip of a constant.
func foldClip(_ *importer, n *node) (*constant, error) {
	low, high, err := n.bounds()
	if err != nil {
		return nil, err
	}
	in, err := n.arguments(1)
	if err != nil {
		return nil, err
	}
	one := *n
	one.in = []value{{known: in[0]}}
	return foldUnary(func(x float64) float64 { return min(max(x, low), high) })(nil, &one)
}

// floorMod is Python's % of integers.
func floorMod(x, y int64) int64 {
	if y == 0 {
		return 0
	}
	if m := x % y; m != 0 && (m < 0) != (y < 0) {
		return m + y
	} else {
		return m
	}
}

func foldNonZero(_ *importer, n *node) (*constant, error) {
	in, err := n.arguments(1)
	if err != nil {
		return nil, err
	}
	if in[0].isFloat() || len(in[0].dims) != 1 {
		return nil, errors.New("searches what isn't a vector of integers")
	}
	var at []int
	for i, x := range in[0].ints {
		if x.n != 0 {
			at = append(at, i)
		}
	}
	c := intsOf(at...)
	c.dims = slices.Concat([]int{1}, c.dims)
	return c, nil
}
