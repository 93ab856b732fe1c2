# The PyTorch models of TestWeights that torchvision lacks.
import torch
from torch.nn import AdaptiveAvgPool2d, BatchNorm2d, Conv2d, Flatten, Linear, Module, ReLU, Sequential
from torch.nn.functional import pad, relu


class Block(Module):
    def __init__(self, inner, out, stride):
        super().__init__()
        self.conv1 = Conv2d(inner, out, 3, stride, 1, bias=False)
        self.bn1 = BatchNorm2d(out)
        self.conv2 = Conv2d(out, out, 3, 1, 1, bias=False)
        self.bn2 = BatchNorm2d(out)
        self.stride, self.more = stride, out - inner

    def forward(self, x):
        y = self.bn2(self.conv2(relu(self.bn1(self.conv1(x)))))
        shortcut = pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.more // 2, self.more - self.more // 2))
        return relu(y + shortcut)


class NormAct(BatchNorm2d):
    """Has its activation function within, as those of timm."""

    def __init__(self, channels):
        super().__init__(channels)
        self.act = ReLU()

    def forward(self, x):
        return self.act(super().forward(x))


class ResNet20(Module):
    def __init__(self):
        super().__init__()
        self.conv1 = Conv2d(1, 16, 3, 1, 1, bias=False)
        self.bn1 = NormAct(16)
        for i in range(3):
            out, stride = 16 << i, 1 if i == 0 else 2
            first = Block(out // stride, out, stride)
            setattr(self, f"layer{i+1}", Sequential(first, Block(out, out, 1), Block(out, out, 1)))
        self.fc = Linear(64, 10)

    def forward(self, x):
        x = self.layer3(self.layer2(self.layer1(self.bn1(self.conv1(x)))))
        return self.fc(x.mean((2, 3)))


class NormAfterSum(Module):
    """Has a normalisation that can't be folded."""

    def __init__(self):
        super().__init__()
        self.conv1 = Conv2d(3, 4, 3, 1, 1)
        self.conv2 = Conv2d(4, 4, 3, 1, 1, bias=False)
        self.bn = BatchNorm2d(4, eps=1e-3)
        self.fc = Sequential(AdaptiveAvgPool2d(1), Flatten(), Linear(4, 10))

    def forward(self, x):
        x = self.conv1(x)
        return self.fc(self.bn(x + self.conv2(x)))
