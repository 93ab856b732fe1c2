// Package export writes quantised students for other programs: as ONNX files, as weights for PyTorch,
// and as tables of scales and zero points.
//
// ONNX writes the folded network and the quantisers of a student as a model in one of three forms, see Form. Compare
// runs such a file against the student's own forward pass. The input of every model is "image" [N,C,H,W], normalised as
// the teacher's images, its output "logits" [N,Classes].
//
// docs/formats.md describes the files.
package export
