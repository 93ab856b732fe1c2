package onnx

import (
	"errors"
	"fmt"
	"slices"

	"github.com/pdquant/pdquant/models"
)

// cut is part of an axis: start, start+step, … before stop.
type cut struct{ axis, start, stop, step int }

// count returns how many positions the cut has.
func (c cut) count() int {
	if c.step > 0 {
		return max(0, (c.stop-c.start+c.step-1)/c.step)
	}
	return max(0, (c.start-c.stop-c.step-1)/-c.step)
}

// cuts returns what a Slice with these sizes of its input keeps. ONNX's negative positions count from the end, and
// positions beyond the ends are moved to them.
func (n *node) cuts(dims []int) ([]cut, error) {
	starts, err1 := n.axes("starts", 1)
	ends, err2 := n.axes("ends", 2)
	axes, err3 := n.axes("axes", 3)
	steps, err4 := n.axes("", 4)
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return nil, err
	}
	if axes == nil {
		for i := range starts {
			axes = append(axes, i)
		}
	}
	if steps == nil {
		steps = slices.Repeat([]int{1}, len(starts))
	}
	if len(ends) != len(starts) || len(axes) != len(starts) || len(steps) != len(starts) {
		return nil, fmt.Errorf("has %d starts, %d ends, %d axes and %d steps", len(starts), len(ends), len(axes), len(steps))
	}
	var all []cut
	for i, a := range axes {
		a, err := within(a, len(dims))
		if err != nil {
			return nil, err
		}
		if steps[i] == 0 {
			return nil, errors.New("has a step of 0")
		}
		size := dims[a]
		at := func(p, low, high int) int {
			if p < 0 {
				p += size
			}
			return min(max(p, low), high)
		}
		c := cut{axis: a, step: steps[i]}
		if c.step > 0 {
			c.start, c.stop = at(starts[i], 0, size), at(ends[i], 0, size)
		} else {
			c.start, c.stop = at(starts[i], 0, size-1), at(max(ends[i], -size-1), -1, size-1)
		}
		all = append(all, c)
	}
	return all, nil
}

// anyImages is a size of the images' axis that no part of them reaches. Files have ends of 2³¹-1 for all of it.
const anyImages = 1 << 30

// importSlice imports Slice.
func importSlice(im *importer, n *node) error {
	x, err := n.layer(0)
	if err != nil {
		return err
	}
	sizes := make([]int, len(x.dims))
	for i, s := range x.numbers(im.batch) {
		if sizes[i] = int(s.n); s.images {
			sizes[i] = anyImages
		}
	}
	cuts, err := n.cuts(sizes)
	if err != nil {
		return err
	}
	for _, c := range cuts {
		if c == (cut{c.axis, 0, sizes[c.axis], 1}) {
			continue // all of it
		}
		if x, err = im.cut(n, x, c); err != nil {
			return err
		}
	}
	im.set(n, 0, x)
	return nil
}

// cut returns the part of x.
func (im *importer) cut(n *node, x value, c cut) (value, error) {
	if c == (cut{c.axis, 0, x.dims[c.axis], 1}) && c.axis != x.axis {
		return x, nil // all of it
	}
	own, err := x.own(c.axis)
	if err != nil {
		return x, err
	}
	if c.count() < 1 {
		return x, fmt.Errorf("keeps nothing of axis %d of shape %v", c.axis, x.dims)
	}
	x.layer = im.add(n, n.name(nil), models.Slicing{Axis: own, Start: c.start, Stop: c.stop, Step: c.step}, x.layer)
	x.dims = slices.Clone(x.dims)
	x.dims[c.axis] = c.count()
	return x, nil
}

// importSplit imports Split.
func importSplit(im *importer, n *node) error {
	x, err := n.layer(0)
	if err != nil {
		return err
	}
	axis, err := within(n.integer("axis", 0), len(x.dims))
	if err != nil {
		return err
	}
	sizes, err := n.axes("split", 1)
	if err != nil {
		return err
	}
	if sizes == nil {
		count := n.integer("num_outputs", len(n.GetOutput()))
		if count < 1 {
			return fmt.Errorf("makes %d parts", count)
		}
		each := (x.dims[axis] + count - 1) / count
		for left := x.dims[axis]; left > 0; left -= each {
			sizes = append(sizes, min(each, left))
		}
	}
	if axis == x.axis {
		_, err := x.own(axis)
		return err
	}
	if len(sizes) < len(n.GetOutput()) {
		return fmt.Errorf("makes %d parts for %d outputs", len(sizes), len(n.GetOutput()))
	}
	at := 0
	for i, s := range sizes {
		if s < 0 || at+s > x.dims[axis] {
			return fmt.Errorf("splits axis %d of shape %v into %v", axis, x.dims, sizes)
		}
		if i < len(n.GetOutput()) && n.GetOutput()[i] != "" {
			part, err := im.cut(n, x, cut{axis, at, at + s, 1})
			if err != nil {
				return err
			}
			im.set(n, i, part)
		}
		at += s
	}
	return nil
}

// importGather imports Gather with constant indices.
func importGather(im *importer, n *node) error {
	x, err := n.layer(0)
	if err != nil {
		return err
	}
	c, err := n.needed(1)
	if err != nil {
		return err
	}
	axis, err := within(n.integer("axis", 0), len(x.dims))
	if err != nil {
		return err
	}
	own, err := x.own(axis)
	if err != nil {
		return err
	}
	indices, err := c.positions(axis, x.dims)
	if err != nil {
		return err
	}
	out := value{dims: slices.Replace(slices.Clone(x.dims), axis, axis+1, c.dims...), axis: x.axis, outer: x.outer}
	if axis < x.axis {
		out.axis += len(c.dims) - 1
	}
	op := models.Gathering{Axis: own, Indices: indices, Drop: len(c.dims) == 0}
	out.layer = im.add(n, n.name(nil), op, x.layer)
	have := slices.Clone(x.shape())
	if have[own] = len(indices); op.Drop {
		have = slices.Delete(have, own, own+1)
	}
	im.set(n, 0, im.relaid(n, out, have))
	return nil
}

// importPad imports Pad.
func importPad(im *importer, n *node) error {
	x, err := n.layer(0)
	if err != nil {
		return err
	}
	name := "pads"
	if n.has("paddings") { // before opset 2
		name = "paddings"
	}
	pads, err := n.axes(name, 1)
	if err != nil {
		return err
	}
	axes, err := n.axes("", 3)
	if err != nil {
		return err
	}
	if axes == nil {
		for i := range x.dims {
			axes = append(axes, i)
		}
	}
	fill, err := n.scalar("value", 2, 0)
	if err != nil {
		return err
	}
	modes := map[string]models.PadMode{"constant": models.PadConstant, "reflect": models.PadReflect,
		"edge": models.PadEdge, "wrap": models.PadWrap}
	mode, ok := modes[n.text("mode", "constant")]
	if !ok || len(pads) != 2*len(axes) {
		return fmt.Errorf("has mode %q and %d pads for %d axes", n.text("mode", "constant"), len(pads), len(axes))
	}
	op := models.PadAxes{Before: make([]int, len(x.shape())), After: make([]int, len(x.shape())), Mode: mode, Value: fill}
	out := value{dims: slices.Clone(x.dims), axis: x.axis, outer: x.outer}
	for i, a := range axes {
		before, after := pads[i], pads[len(axes)+i]
		if before == 0 && after == 0 {
			continue
		}
		own, err := x.own(a)
		if err != nil {
			return err
		}
		a, _ = within(a, len(x.dims)) // own has checked it
		op.Before[own], op.After[own] = before, after
		out.dims[a] += before + after
	}
	if out.layer = x.layer; !slices.Equal(out.dims, x.dims) {
		out.layer = im.add(n, n.name(nil), op, x.layer)
	}
	im.set(n, 0, out)
	return nil
}

// importTile imports Tile.
func importTile(im *importer, n *node) error {
	x, err := n.layer(0)
	if err != nil {
		return err
	}
	c, err := n.needed(1)
	if err != nil {
		return err
	}
	repeats, err := c.plain()
	if err != nil {
		return err
	}
	if len(repeats) != len(x.dims) || repeats[x.axis] != 1 {
		return fmt.Errorf("repeats shape %v by %v; images aren't repeated here", x.dims, repeats)
	}
	out := value{dims: slices.Clone(x.dims), axis: x.axis, outer: x.outer}
	own := slices.Clone(repeats)
	if x.leads() {
		own = own[1:]
	}
	for i, r := range repeats {
		out.dims[i] *= r
	}
	out.layer = im.add(n, n.name(nil), models.Tile{Repeats: own}, x.layer)
	im.set(n, 0, out)
	return nil
}

// importDepthToSpace imports DepthToSpace: blocks of channels become blocks of pixels.
func importDepthToSpace(im *importer, n *node) error {
	x, err := n.layer(0)
	if err != nil {
		return err
	}
	b := n.integer("blocksize", 0)
	if len(x.dims) != 4 || !x.leads() || b < 1 || b > 1<<15 || x.dims[1]%(b*b) != 0 {
		return fmt.Errorf("takes blocks of %d from shape %v", b, x.dims)
	}
	c, h, w := x.dims[1]/(b*b), x.dims[2], x.dims[3]
	split, perm := []int{b, b, c, h, w}, []int{2, 3, 0, 4, 1}
	if n.text("mode", "DCR") == "CRD" {
		split, perm = []int{c, b, b, h, w}, []int{0, 3, 1, 4, 2}
	}
	return im.shuffle(n, x, split, perm, []int{1, c, h * b, w * b})
}

// importSpaceToDepth imports SpaceToDepth: blocks of pixels become blocks of channels.
func importSpaceToDepth(im *importer, n *node) error {
	x, err := n.layer(0)
	if err != nil {
		return err
	}
	b := n.integer("blocksize", 0)
	if len(x.dims) != 4 || !x.leads() || b < 1 || b > 1<<15 || x.dims[2]%b != 0 || x.dims[3]%b != 0 {
		return fmt.Errorf("takes blocks of %d from shape %v", b, x.dims)
	}
	c, h, w := x.dims[1], x.dims[2]/b, x.dims[3]/b
	return im.shuffle(n, x, []int{c, h, b, w, b}, []int{2, 4, 0, 1, 3}, []int{1, c * b * b, h, w})
}

// shuffle sets output 0 to x in sizes split, reordered by perm, in sizes to.
func (im *importer) shuffle(n *node, x value, split, perm, to []int) error {
	layer := im.add(n, n.name(nil)+".split", models.Reshaping{To: split}, x.layer)
	layer = im.add(n, n.name(nil), models.Transposing{Perm: perm}, layer)
	layer = im.add(n, n.name(nil)+".join", models.Reshaping{To: to[1:]}, layer)
	im.set(n, 0, value{layer: layer, dims: to})
	return nil
}
