// Package onnx reads image classifiers from ONNX files into a models.Network and its weights.
//
// Open reads a file. An importer goes through the graph once, in topological order. Each operator is one entry of the
// table in operators.go: it computes a constant, such as a shape, or appends layers to the network. Layers have the
// images as their first axis, while ONNX may have them anywhere, and merged with another axis: value.go keeps track.
// simplify.go then makes one layer of several where that matters to quantisation, and units.go cuts the network into
// units.
//
// Names of layers are those of the PyTorch modules if the file has them.
package onnx
