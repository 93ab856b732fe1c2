package checkpoint

import "github.com/pdquant/pdquant/models"

// TorchvisionMobileNetV2 returns torchvision's name of a layer of n.
func TorchvisionMobileNetV2(n *models.Network, layer string) string {
	return torchvisionMobileNetV2(n, layer)
}

// Alias returns our name for a tensor of another project's network.
func Alias(name string) string { return alias(name) }

// TorchMagic begins a file of torch.save before PyTorch 1.6.
const TorchMagic = torchMagic

// TorchGrowth bounds the memory that a file takes, times its size.
const TorchGrowth = torchGrowth
