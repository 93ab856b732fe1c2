package models

import (
	. "github.com/gomlx/gomlx/core/graph"
)

// WithGradient returns y, computed from inputs, with gradients of its own: grads[i] returns the gradient for inputs[i]
// (in its shape), given the gradient v that arrives at y (in y's shape). grads[i] is called only if that gradient is
// needed.
//
// GoMLX has custom gradients for identities only. So an identity after y takes y's gradient and hands it to identities
// before it. Autodiff itself carries a zero between them, which nothing uses and every backend removes as dead code.
func WithGradient(y *Node, inputs []*Node, grads []func(v *Node) *Node) *Node {
	var arrived, zero *Node
	for i, x := range inputs {
		x = IdentityWithCustomGradient(x, func(_, _ *Node) *Node { return grads[i](arrived) })
		if s := ReduceAllSum(x); zero == nil {
			zero = s
		} else {
			zero = Add(zero, s)
		}
	}
	carrier := func() *Node {
		return Add(StopGradient(y), BroadcastToDims(MulScalar(zero, 0), y.Shape().Dimensions...))
	}
	y, _ = InternalFusedOpCaller(func() *Node { return Identity(y) }, carrier, true)
	return IdentityWithCustomGradient(y, func(_, v *Node) *Node {
		arrived = v
		return v
	})
}
