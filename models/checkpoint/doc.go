// Package checkpoint reads and writes files of weights. Load and Read take those of torch.save and safetensors, and
// turn the names that other projects give to layers into ours. WriteWeights writes safetensors, ReadWeights reads them.
//
// It knows a network only by the list of its tensors. Package arch has the networks.
package checkpoint
