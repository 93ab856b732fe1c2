package checkpoint

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/gomlx/gomlx/core/tensors"

	"github.com/pdquant/pdquant/models"
)

// prefixDepth is the largest number of parts that are dropped from names: "module.model." has two.
const prefixDepth = 16

// paramNames returns the names of n's parameters; none if n is nil.
func paramNames(n *models.Network) map[string]bool {
	known := map[string]bool{}
	if n != nil {
		for _, p := range n.Params() {
			known[p.Name] = true
		}
	}
	return known
}

// foreign says whether a name is that of a counter or buffer that no network has: a counter of batches, of averaged
// models (torch.optim.swa_utils, timm) or of operations (thop), or the class weights of a loss.
func foreign(name string) bool {
	parts := strings.Split(name, ".")
	switch parts[len(parts)-1] {
	case "num_batches_tracked", "n_averaged", "num_updates", "total_ops", "total_params":
		return true
	}
	return len(parts) == 2 && slices.Contains([]string{"criterion", "loss", "loss_fn"}, parts[0])
}

// sorted returns c without tensors that don't belong to the network whose names are known: counters and the like and,
// unless all tensors are, moving averages. averages says whether all are. ignored lists the names that were left out.
func (c checkpoint) sorted(known map[string]bool) (out checkpoint, averages bool, ignored []string) {
	isAverage := func(name string) bool {
		first, _, nested := strings.Cut(name, ".")
		return nested && averaged(first)
	}
	names := slices.DeleteFunc(c.tensorNames(), func(name string) bool { return !known[name] && foreign(name) })
	averages = slices.ContainsFunc(c.under, averaged)
	mixed := slices.ContainsFunc(names, func(name string) bool { return !isAverage(name) })
	if !mixed && len(names) > 0 {
		averages = true
	}
	drop := func(name string) bool {
		left := !known[name] && (foreign(name) || mixed && isAverage(name))
		if left {
			ignored = append(ignored, name)
		}
		return left
	}
	out = checkpoint{maps.Clone(c.weights), maps.Clone(c.others), maps.Clone(c.objects), c.under}
	for name := range c.weights {
		if drop(name) {
			delete(out.weights, name)
		}
	}
	for name := range c.others {
		if drop(name) {
			delete(out.others, name)
		}
	}
	return out, averages, ignored
}

// tensorNames returns the names of all tensors of c, of floats or not.
func (c checkpoint) tensorNames() []string {
	return slices.Concat(slices.Collect(maps.Keys(c.weights)), slices.Collect(maps.Keys(c.others)))
}

// renamed returns c with to(name) instead of each name. ok is false if two names would become the same.
func (c checkpoint) renamed(to func(name string) string) (out checkpoint, ok bool) {
	out = checkpoint{models.Weights{}, map[string]string{}, map[string]string{}, c.under}
	for name, t := range c.weights {
		out.weights[to(name)] = t
	}
	for name, kind := range c.others {
		out.others[to(name)] = kind
	}
	for name, what := range c.objects {
		out.objects[to(name)] = what
	}
	return out, len(out.weights) == len(c.weights) && len(out.others) == len(c.others) &&
		len(out.objects) == len(c.objects)
}

// prefix returns the first part of the names, with its dot, if it is the same for all tensors, else "".
func (c checkpoint) prefix() string {
	names := c.tensorNames()
	if len(names) == 0 {
		return ""
	}
	first, _, ok := strings.Cut(names[0], ".")
	if first += "."; !ok || slices.ContainsFunc(names, func(name string) bool { return !strings.HasPrefix(name, first) }) {
		return ""
	}
	return first
}

// without returns c with prefix removed from its names.
func (c checkpoint) without(prefix string) checkpoint {
	out, ok := c.renamed(func(name string) string { return strings.TrimPrefix(name, prefix) })
	if !ok {
		return c
	}
	return out
}

// unwrapped returns c with the prefixes of PyTorch's wrappers removed: DataParallel's and torch.compile's.
func (c checkpoint) unwrapped() checkpoint {
	for range prefixDepth {
		p := c.prefix()
		if p != "module." && p != "_orig_mod." {
			break
		}
		c = c.without(p)
	}
	return c
}

// named returns c with n's names. It drops as much of the common prefix, and translates from the dialect, as gives the
// most of n's tensors.
func (c checkpoint) named(n *models.Network, known map[string]bool) checkpoint {
	best, most := c, -1
	for range prefixDepth {
		for _, d := range dialects() {
			if t, found := c.translate(n, d); found > most {
				best, most = t, found
			}
		}
		p := c.prefix()
		if p == "" || most == len(known) {
			break
		}
		c = c.without(p)
	}
	return best
}

// translate returns c with n's names instead of the dialect's, and the number of n's tensors that it has, or -1 if two
// tensors would get the same name.
func (c checkpoint) translate(n *models.Network, d dialect) (t checkpoint, found int) {
	ours := map[string]string{}
	for _, l := range n.Layers {
		for _, p := range l.Params() {
			ours[d(n, l.Name)+strings.TrimPrefix(p.Name, l.Name)] = p.Name
		}
	}
	t, ok := c.renamed(func(name string) string {
		to, ok := ours[name]
		if other := alias(name); !ok && !c.has(other) {
			to, ok = ours[other]
		}
		if !ok {
			return name
		}
		found++
		return to
	})
	if !ok {
		return c, -1
	}
	return t, found
}

// has says whether c has a tensor called name.
func (c checkpoint) has(name string) bool {
	return c.weights[name] != nil || c.others[name] != "" || c.objects[name] != ""
}

// alias returns our name for the tensor called name in another project's network.
func alias(name string) string {
	parts := strings.Split(name, ".")
	for i, p := range parts {
		switch p {
		case "linear": // github.com/akamaster/pytorch_resnet_cifar10
			parts[i] = "fc"
		case "shortcut": // github.com/kuangliu/pytorch-cifar
			parts[i] = "downsample"
		}
	}
	return strings.Join(parts, ".")
}

// fit returns c's weights in n's shapes, or an error if they aren't n's.
func (c checkpoint) fit(n *models.Network, known map[string]bool) (models.Weights, error) {
	for _, all := range []map[string]string{c.others, c.objects} {
		for _, name := range slices.Sorted(maps.Keys(all)) {
			if known[name] {
				return nil, fmt.Errorf("tensor %q is %s, expected floats; write the file again, with %s's weights as floats",
					name, all[name], n.Name)
			}
		}
	}
	if len(c.others) > 0 {
		name := slices.Min(slices.Collect(maps.Keys(c.others)))
		return nil, fmt.Errorf("%s has no tensor %q (%s), but the file does; give the network that the file was made "+
			"for, or write the file without it", n.Name, name, c.others[name])
	}
	w := maps.Clone(c.weights)
	for _, p := range n.Params() {
		t := w[p.Name]
		if t == nil || slices.Equal(t.Shape().Dimensions, p.Shape) ||
			!slices.Equal(withoutOnes(t.Shape().Dimensions), withoutOnes(p.Shape)) {
			continue
		}
		flat, err := tensors.CopyFlatData[float32](t)
		if err != nil {
			return nil, fmt.Errorf("tensor %q: %w", p.Name, err)
		}
		w[p.Name] = tensors.FromFlatDataAndDimensions(flat, p.Shape...)
	}
	if err := w.Check(n); err != nil {
		return w, errors.Unwrap(err) // without the prefix of package models
	}
	return w, nil
}

// withoutOnes returns shape without the dimensions of 1 at its end.
func withoutOnes(shape []int) []int {
	for len(shape) > 0 && shape[len(shape)-1] == 1 {
		shape = shape[:len(shape)-1]
	}
	return shape
}
