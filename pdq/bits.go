package pdq

import "github.com/pdquant/pdquant/models"

// LayerBits are the widths of one layer of a folded network: of its weight, and of its
// output as the next layers read it. 0: not quantised.
type LayerBits struct {
	Layer  string
	Weight int
	Output int
}

// Map returns the widths of every layer that has any, in the network's order. n is folded.
//
// Outputs are quantised after a layer's activation function, after an addition and
// its activation function, and not between a convolution and the addition that
// follows it. Logits aren't quantised.
func (b Bits) Map(n *models.Network) []LayerBits {
	var out []LayerBits
	var weights, outputs []int // indices into out
	for i, l := range n.Layers {
		lb := LayerBits{Layer: l.Name}
		if l.HasWeight() {
			lb.Weight = b.W
		}
		if quantisesOutput(n, i) {
			lb.Output = b.A
		}
		if lb.Weight > 0 {
			weights = append(weights, len(out))
		}
		if lb.Output > 0 {
			outputs = append(outputs, len(out))
		}
		if lb.Weight+lb.Output > 0 {
			out = append(out, lb)
		}
	}
	if b.Rule == AllLow {
		return out
	}
	if len(weights) > 0 {
		out[weights[0]].Weight, out[weights[len(weights)-1]].Weight = 8, 8
	}
	if len(outputs) > 0 {
		out[outputs[len(outputs)-1]].Output = 8
		if b.Rule == BRECQ {
			out[outputs[0]].Output = 8
		}
	}
	return out
}

// quantisesOutput says whether the output of layer i of a folded network is quantised.
func quantisesOutput(n *models.Network, i int) bool {
	consumers := n.Consumers(i)
	if len(consumers) == 0 {
		return false // logits
	}
	next := n.Layers[consumers[0]].Kind
	activated := len(consumers) == 1 && (next == models.KindReLU || next == models.KindReLU6)
	switch n.Layers[i].Kind {
	case models.KindReLU, models.KindReLU6:
		return true
	case models.KindAdd:
		return !activated
	case models.KindConv, models.KindLinear:
		return !activated && !(len(consumers) == 1 && next == models.KindAdd)
	}
	return false
}
