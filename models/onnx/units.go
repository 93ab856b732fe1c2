package onnx

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/pdquant/pdquant/models"
)

// units cuts n into units, and gives them names.
//
// Between two layers after which one tensor carries all that goes on, layers belong together: they are a region. A
// region with weights is a residual block, say, or a single convolution. Regions are joined as the paper's units are:
// activation functions and the like with the layer before them, and the layers of a block without a shortcut, which
// PyTorch's names or a depthwise convolution give away. If block isn't nil, it matches the names of blocks.
func units(n *models.Network, block *regexp.Regexp) ([]models.Unit, error) {
	regions := cutRegions(n)
	blocks := []*regexp.Regexp{block}
	if block == nil {
		blocks = blockNames(n, regions)
	}
	var us []models.Unit
	for i := 0; i < len(regions); i++ {
		if !weighted(n, regions[i]) {
			continue
		}
		first := regions[i].first
		for i < len(regions)-1 && len(heavy(n, regions[i])) == 0 { // such as a normalisation before its convolution
			i++
		}
		end := attached(n, regions, i+1)
		name := blockOf(n, regions[i], blocks)
		if name != "" {
			end = blockEnd(n, regions, i, blocks, block == nil)
		} else if len(blocks) == 0 {
			end = bottleneck(n, regions, i)
		}
		us = append(us, models.Unit{Name: name, First: first, Last: regions[end-1].last})
		i = end - 1
	}
	if len(us) == 0 {
		return nil, fmt.Errorf("has no convolution or linear layer with constant weights: there is nothing to quantise")
	}
	us[len(us)-1].Last = len(n.Layers) - 1
	named(n, us)
	return us, nil
}

// blockEnd returns the end of the unit that starts at region i: the first region that isn't in the same block. With
// halves, a second region with a shortcut is another unit: the other half of a transformer's block.
func blockEnd(n *models.Network, regions []region, i int, blocks []*regexp.Regexp, halves bool) int {
	name, shortcut := blockOf(n, regions[i], blocks), branches(n, regions[i])
	end := attached(n, regions, i+1)
	for {
		next := end
		for next < len(regions) && len(heavy(n, regions[next])) == 0 {
			next++
		}
		if next == len(regions) || blockOf(n, regions[next], blocks) != name {
			return end
		}
		if halves && shortcut && branches(n, regions[next]) {
			return end
		}
		shortcut = shortcut || branches(n, regions[next])
		end = attached(n, regions, next+1)
	}
}

// Cut sets the units of n. An empty how is the rule that networks from files are cut by. A pattern, such as
// `layer\d+\.\d+`, joins layers for which the beginning of the name matches it in the same way. The path of a file
// names the units one by one: a line for each, with its name, first and last layer, separated by tabs. Units that the
// network can't have are an error.
func Cut(n *models.Network, how string) error {
	var err error
	switch _, missing := os.Stat(how); {
	case how == "":
		n.Units, err = units(n, nil)
	case missing == nil:
		n.Units, err = readUnits(n, how)
	default:
		var block *regexp.Regexp
		if block, err = regexp.Compile("^(?:" + how + `)(\.|$)`); err != nil {
			return fmt.Errorf("units %q: %w; give a regular expression, or the path of a file", how, err)
		}
		n.Units, err = units(n, block)
		if err == nil && !slices.ContainsFunc(n.Layers, func(l models.Layer) bool { return block.MatchString(l.Name) }) {
			err = fmt.Errorf("units %q: no layer's name begins so, and no file has this path", how)
		}
	}
	return err
}

// readUnits reads a file of units.
func readUnits(n *models.Network, path string) ([]models.Unit, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var us []models.Unit
	for i, line := range strings.Split(strings.TrimSpace(string(text)), "\n") {
		fields := strings.Split(strings.TrimSuffix(line, "\r"), "\t")
		if len(fields) != 3 {
			return nil, fmt.Errorf("%s:%d: %q; give name, first and last layer, separated by tabs", path, i+1, line)
		}
		u := models.Unit{Name: fields[0], First: n.Index(fields[1]), Last: n.Index(fields[2])}
		for k, at := range []int{u.First, u.Last} {
			if at < 0 {
				return nil, fmt.Errorf("%s:%d: no layer is called %q", path, i+1, fields[k+1])
			}
		}
		us = append(us, u)
	}
	return us, nil
}

// region is a run of layers after which a single tensor carries all that goes on.
type region struct{ first, last int }

// cutRegions returns the smallest regions.
func cutRegions(n *models.Network) []region {
	at := map[string]int{models.Image: -1}
	lastRead := make([]int, len(n.Layers)) // of each layer's output
	imageRead := 0
	for i, l := range n.Layers {
		at[l.Name] = i
		lastRead[i] = i
		for _, in := range l.Inputs {
			if k := at[in]; k >= 0 {
				lastRead[k] = i
			} else {
				imageRead = i
			}
		}
	}
	var all []region
	first, open := 0, imageRead
	for i := range n.Layers {
		// open is the last layer that reads something from before layer i.
		if i > 0 {
			open = max(open, lastRead[i-1])
		}
		if open <= i {
			all = append(all, region{first, i})
			first = i + 1
		}
	}
	return all
}

// weighted says whether a layer of the region has a weight that is quantised, or other parameters.
func weighted(n *models.Network, r region) bool {
	for _, l := range n.Layers[r.first : r.last+1] {
		if len(l.Params()) > 0 || l.Op.Role().Product {
			return true
		}
	}
	return false
}

// sticks says whether a region without a weight to quantise belongs to the layers before it: what works on each number
// by itself does, and a normalisation of a convolution. Pooling and the like stand between units.
func sticks(n *models.Network, r region) bool {
	for _, l := range n.Layers[r.first : r.last+1] {
		if l.Op.Role().Passes {
			return false
		}
		if _, ok := l.Op.(models.BatchNorm); ok {
			if k := n.Index(l.Inputs[0]); k < 0 || !n.Layers[k].HasWeight() {
				return false
			}
		}
	}
	return true
}

// heavy returns the layers of the region with a weight that is quantised.
func heavy(n *models.Network, r region) []models.Layer {
	var all []models.Layer
	for _, l := range n.Layers[r.first : r.last+1] {
		if l.HasWeight() {
			all = append(all, l)
		}
	}
	return all
}

// bottleneck returns the end of the unit that starts at region i, in a network without names of blocks. It is that
// layer with what is attached to it, or a depthwise convolution with the 1x1 convolution before it and the one after
// it, which no activation function follows.
func bottleneck(n *models.Network, regions []region, i int) int {
	end := attached(n, regions, i+1)
	k := end
	if !depthwise(n, regions[i]) {
		if !pixelwise(n, regions[i]) || k == len(regions) || !depthwise(n, regions[k]) {
			return end
		}
		k = attached(n, regions, k+1)
	}
	if k == len(regions) || !pixelwise(n, regions[k]) {
		return end
	}
	if next := attached(n, regions, k+1); !activated(n, regions[k:next]) {
		return next
	}
	return end
}

// attached returns the first region from i on that doesn't belong to the layers before it. Pooling does if something
// without parameters that belongs to these follows it, such as an activation function: its output is quantised, too.
func attached(n *models.Network, regions []region, i int) int {
	end := i
	for ; i < len(regions) && len(heavy(n, regions[i])) == 0; i++ {
		pooled, own := i > end, weighted(n, regions[i])
		switch {
		case sticks(n, regions[i]) && !(pooled && own):
			end = i + 1
		case own:
			return end
		}
	}
	return end
}

// depthwise says whether the region is a depthwise convolution.
func depthwise(n *models.Network, r region) bool {
	c, ok := n.Layers[r.first].Op.(models.Conv)
	return ok && r.first == r.last && c.Groups > 1 && c.Groups == c.In
}

// pixelwise says whether the region is a 1x1 convolution.
func pixelwise(n *models.Network, r region) bool {
	c, ok := n.Layers[r.first].Op.(models.Conv)
	return ok && r.first == r.last && c.Groups == 1 && c.Kernel == [2]int{1, 1}
}

// activated says whether an activation function is among the regions.
func activated(n *models.Network, rs []region) bool {
	for _, r := range rs {
		for _, l := range n.Layers[r.first : r.last+1] {
			switch l.Op.(type) {
			case models.ReLU, models.ReLU6, models.Pointwise, models.PReLU:
				return true
			}
		}
	}
	return false
}

// branches says whether a region with weights ends in a sum: a residual block, or half of a transformer's.
func branches(n *models.Network, r region) bool {
	_, sum := n.Layers[r.last].Op.(models.Sum)
	return sum && len(heavy(n, r)) > 0
}

// blockNames returns, as patterns, the names of the blocks that have branches: "layer\d+\.\d+".
func blockNames(n *models.Network, regions []region) []*regexp.Regexp {
	var patterns []*regexp.Regexp
	seen := map[string]bool{}
	for _, end := range []string{"add", "concat"} { // squeeze and excitation end otherwise: they are part of blocks
		for _, r := range regions {
			h := heavy(n, r)
			if kind := n.Layers[r.last].Op.Kind(); len(h) < 2 || kind != end && !strings.HasSuffix(kind, "-"+end) {
				continue
			}
			prefix := commonModule(n.Layers[r.first : r.last+1])
			if prefix == "" {
				prefix = commonModule(h)
			}
			if prefix == "" {
				continue
			}
			text := "^" + regexp.MustCompile(`\d+`).ReplaceAllString(regexp.QuoteMeta(prefix), `\d+`) + `(\.|$)`
			if !seen[text] {
				seen[text] = true
				patterns = append(patterns, regexp.MustCompile(text))
			}
		}
		if len(patterns) > 0 {
			break
		}
	}
	return patterns
}

// blockOf returns the name of the block that all weighted layers of r are part of, or "".
func blockOf(n *models.Network, r region, blocks []*regexp.Regexp) string {
	h := heavy(n, r)
	if len(h) == 0 {
		return ""
	}
	name := ""
	for i, l := range h {
		found := ""
		for _, b := range blocks {
			if m := strings.TrimSuffix(b.FindString(l.Name), "."); len(m) > len(found) {
				found = m
			}
		}
		if i > 0 && found != name {
			return ""
		}
		name = found
	}
	return name
}

// commonModule returns the longest dotted name that all layers' names start with.
func commonModule(ls []models.Layer) string {
	common := strings.Split(ls[0].Name, ".")
	if len(ls) == 1 {
		return ls[0].Name
	}
	for _, l := range ls[1:] {
		parts := strings.Split(l.Name, ".")
		k := 0
		for k < min(len(common), len(parts)) && common[k] == parts[k] {
			k++
		}
		common = common[:k]
	}
	return strings.Join(common, ".")
}

// named names the units that aren't blocks: by the module that has their layers and no others; else by what the names
// of their layers with weights have in common; else by the first of these.
func named(n *models.Network, us []models.Unit) {
	var taken []string
	for i, u := range us {
		h := heavy(n, region{u.First, u.Last})
		if len(h) == 0 {
			h = n.Layers[u.First : u.Last+1]
		}
		var name string
		for _, candidate := range []string{u.Name, commonModule(n.Layers[u.First : u.Last+1]), commonModule(h), h[0].Name} {
			if name = candidate; name != "" && !slices.Contains(taken, name) && alone(n, u, name) {
				break
			}
		}
		us[i].Name = name
		taken = append(taken, name)
	}
}

// alone says whether all layers of the module are in u.
func alone(n *models.Network, u models.Unit, module string) bool {
	for i, l := range n.Layers {
		if (i < u.First || i > u.Last) && l.HasWeight() && strings.HasPrefix(l.Name, module+".") {
			return false
		}
	}
	return true
}
