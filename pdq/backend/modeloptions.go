package backend

// ModelOptions say how an ONNX model is loaded.
type ModelOptions struct {
	Output  string // name of the tensor of logits; "": the only one
	Threads int    // within an operator; 0: as many as ONNX Runtime takes, one a core
}
