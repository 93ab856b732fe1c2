// Package checkpoint reads and writes files of weights: those of torch.save, and safetensors, with the names of other
// projects' networks turned into ours (Load, Read).
//
// It knows networks only by their lists of tensors. Which networks there are belongs in package arch.
package checkpoint
