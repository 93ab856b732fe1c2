"""The architectures of export.py: models of torchvision and timm with 10 classes, some of them thinned."""

import dataclasses
from typing import Callable, NamedTuple

import timm
import torchvision.models as tv
from timm.models import byobnet, mobilevit
from torch import nn
from torchvision.models.resnet import Bottleneck


class Architecture(NamedTuple):
    make: Callable[[], nn.Module]
    size: int  # height and width of an image
    kept: str  # form of the file that is committed, with spaces between several
    new: int = 20  # opset of the new exporter
    old: int = 17  # opset of the old exporter


def torchvision(name, **kw):
    return lambda: tv.get_model(name, weights=None, num_classes=10, **kw)


def of_timm(name, **kw):
    return lambda: timm.create_model(name, pretrained=False, num_classes=10, **kw)


def of_blocks(module, name, keep):
    """Makes a network of timm's module from the configuration name with the blocks that keep leaves of its own."""
    c = module.model_cfgs[name]
    return lambda: byobnet.ByobNet(dataclasses.replace(c, blocks=keep(c.blocks)), num_classes=10)


def vgg11_bn():
    m = tv.vgg11_bn(num_classes=10)
    m.classifier[0] = nn.Linear(512 * 7 * 7, 64)
    m.classifier[3] = nn.Linear(64, 64)
    m.classifier[6] = nn.Linear(64, 10)
    return m


ALL = {
    "resnet18": Architecture(torchvision("resnet18"), 64, "new new-plain old old-plain"),
    "mobilenet_v2": Architecture(torchvision("mobilenet_v2"), 64, "old old-open old-plain", old=13),
    "regnetx_006": Architecture(of_timm("regnetx_006"), 64, "new", new=18),
    "mnasnet0_5": Architecture(torchvision("mnasnet0_5"), 64, "new"),
    "mnasnet2_0": Architecture(lambda: tv.MNASNet(2.0, num_classes=10), 64, "old", old=11),
    "shufflenet_v2_x0_5": Architecture(
        lambda: tv.ShuffleNetV2([3, 3, 2], [24, 48, 96, 192, 1024], num_classes=10), 64, "new new-open old"),
    "vit_b_16": Architecture(
        lambda: tv.VisionTransformer(32, 8, num_layers=2, num_heads=4, hidden_dim=64, mlp_dim=128, num_classes=10),
        32, "new old"),
    "resnet50": Architecture(torchvision("resnet50"), 64, "old", old=9),
    "wide_resnet50_2": Architecture(
        lambda: tv.ResNet(Bottleneck, [1, 2, 1, 1], num_classes=10, width_per_group=128), 64, "new", new=18),
    "resnext50_32x4d": Architecture(torchvision("resnext50_32x4d"), 64, "old", old=13),
    "mobilenet_v3_small": Architecture(torchvision("mobilenet_v3_small"), 64, "new old"),
    "efficientnet_b0": Architecture(torchvision("efficientnet_b0"), 64, "new", new=18),
    "efficientnet_lite0": Architecture(of_timm("efficientnet_lite0"), 64, "old", old=11),
    "regnet_x_400mf": Architecture(torchvision("regnet_x_400mf"), 64, "old", old=9),
    "regnet_y_400mf": Architecture(torchvision("regnet_y_400mf"), 64, "new"),
    "squeezenet1_1": Architecture(torchvision("squeezenet1_1"), 64, "old", old=11),
    "densenet121": Architecture(
        lambda: tv.DenseNet(32, (3, 6, 8, 4), 64, num_classes=10), 64, "new"),
    "googlenet": Architecture(torchvision("googlenet", aux_logits=False, init_weights=False), 64, "new", new=18),
    "inception_v3": Architecture(torchvision("inception_v3", aux_logits=False, init_weights=False), 96, "old"),
    "vgg11_bn": Architecture(vgg11_bn, 224, "old", old=9),
    "convnext_atto": Architecture(of_timm("convnext_atto"), 64, "new"),
    "mobileone_s0": Architecture(
        of_blocks(byobnet, "mobileone_s0", lambda stages: [blocks[:3] for blocks in stages]), 64, "new"),
    "repvgg_a0": Architecture(of_timm("repvgg_a0"), 64, "old", old=13),
    "ghostnet_100": Architecture(of_timm("ghostnet_100"), 64, "new"),
    "deit_tiny_patch16_224": Architecture(of_timm("deit_tiny_patch16_224", img_size=64, depth=4), 64, "old"),
    "swin_t": Architecture(
        lambda: tv.SwinTransformer([4, 4], 48, [2, 2], [2, 4], [4, 4], num_classes=10), 64, "new"),
    "mobilevit_xxs": Architecture(
        of_blocks(mobilevit, "mobilevit_xxs", lambda blocks: blocks[:3]), 64, "new", new=18),
    "coatnet_nano_rw_224": Architecture(of_timm("coatnet_nano_rw_224", img_size=64, depths=(1, 2, 2, 1)), 64, "new"),
}
