"""Trains a network of torchvision on Fashion-MNIST on one CPU thread and exports it with its weights.

Needs what export.py needs, and Fashion-MNIST (Debian's package dataset-fashion-mnist).

    python train.py [-network shufflenet] [-data FOLDER] [-epochs N] [-seed N] TO

Networks are shufflenet (shufflenet_v2_x0_5) and mobilenetv3 (mobilenet_v3_small). It writes TO/NETWORK.onnx (form
old-plain of export.py) and TO/NETWORK.new.onnx (form new).
"""

import argparse
import gzip
import pathlib
import time

import numpy as np
import onnx
import onnxruntime
import torch
import torchvision.models as tv
from torch import nn
from torch.nn import functional as F

import export

MEAN, DEVIATION = 0.2860, 0.3530  # of the training images' pixels, in [0,1]


def load(folder, part):
    """Returns the standardised images [N,1,28,28] and the labels of part, which is train or t10k."""
    with gzip.open(folder / f"{part}-images-idx3-ubyte.gz") as f:
        x = np.frombuffer(f.read(), np.uint8, offset=16).reshape(-1, 1, 28, 28)
    with gzip.open(folder / f"{part}-labels-idx1-ubyte.gz") as f:
        y = np.frombuffer(f.read(), np.uint8, offset=8)
    return (torch.tensor(x).float() / 255 - MEAN) / DEVIATION, torch.tensor(y).long()


def shufflenet():
    """Returns shufflenet_v2_x0_5 for images [N,1,28,28]: its first convolution has one channel and stride 1."""
    m = tv.shufflenet_v2_x0_5(num_classes=10)
    m.conv1[0] = nn.Conv2d(1, 24, 3, 1, 1, bias=False)
    return m


def mobilenetv3():
    """Returns mobilenet_v3_small for images [N,1,28,28]: its first convolution has one channel and stride 1."""
    m = tv.mobilenet_v3_small(num_classes=10)
    m.features[0][0] = nn.Conv2d(1, 16, 3, 1, 1, bias=False)
    return m


NETWORKS = {"shufflenet": shufflenet, "mobilenetv3": mobilenetv3}


def train(m, x, y, epochs):
    """Trains m by SGD on batches of 128, mirrored at random, with one cycle of the learning rate."""
    batches = len(x) // 128
    step = torch.optim.SGD(m.parameters(), momentum=0.9, weight_decay=1e-4, nesterov=True)
    rate = torch.optim.lr_scheduler.OneCycleLR(step, 0.2, epochs=epochs, steps_per_epoch=batches, pct_start=0.2)
    start = time.time()
    for epoch in range(epochs):
        m.train()
        total = 0.0
        for i in torch.randperm(len(x))[:batches * 128].view(batches, 128):
            images = torch.where(torch.rand(128, 1, 1, 1) < 0.5, x[i], x[i].flip(3))
            loss = F.cross_entropy(m(images), y[i])
            step.zero_grad()
            loss.backward()
            step.step()
            rate.step()
            total += loss.item()
        print(f"epoch {epoch + 1}: loss {total / batches:.4f}, {time.time() - start:.0f} s", flush=True)


def accuracy(path, x, y):
    """Returns the part of images that the ONNX file at path classifies as y."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    guess = [session.run(None, {"image": b.numpy()})[0].argmax(1) for b in x.split(500)]
    return float((np.concatenate(guess) == y.numpy()).mean())


def main():
    p = argparse.ArgumentParser()
    p.add_argument("-network", choices=list(NETWORKS), default="shufflenet")
    p.add_argument("-data", type=pathlib.Path, default="/usr/share/datasets/fashion-mnist")
    p.add_argument("-epochs", type=int, default=2)
    p.add_argument("-seed", type=int, default=1)
    p.add_argument("to", type=pathlib.Path)
    args = p.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(args.seed)
    m = NETWORKS[args.network]().to(memory_format=torch.channels_last)
    train(m, *load(args.data, "train"), args.epochs)
    m.eval().to(memory_format=torch.contiguous_format)
    args.to.mkdir(parents=True, exist_ok=True)
    x, y = load(args.data, "t10k")
    for form, opset, file in [("old-plain", 17, f"{args.network}.onnx"), ("new", 20, f"{args.network}.new.onnx")]:
        onnx.save(export.exported(m, x[:2], form, opset), args.to / file)
        print(f"{file}: test accuracy {accuracy(args.to / file, x, y):.4f}", flush=True)


if __name__ == "__main__":
    main()
