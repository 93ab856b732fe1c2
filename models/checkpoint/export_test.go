package checkpoint

import "github.com/pdquant/pdquant/models"

// TorchvisionMobileNetV2 is what torchvision calls a layer of n.
func TorchvisionMobileNetV2(n *models.Network, layer string) string {
	return torchvisionMobileNetV2(n, layer)
}

// Alias is what a tensor of others' networks is called in ours.
func Alias(name string) string { return alias(name) }

// TorchMagic begins a file of torch.save before PyTorch 1.6.
const TorchMagic = torchMagic

// TorchGrowth bounds the memory that a file takes, times its size.
const TorchGrowth = torchGrowth
