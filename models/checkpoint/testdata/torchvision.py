#!/usr/bin/env python3
"""Writes torchvision/NAME.tsv: the names and shapes of tensors in torchvision's state dicts, in order, of the
networks of the paper for which they differ from the published checkpoints' names (../../testdata/golden/state_dicts).

Made with torchvision 0.14.1 (Debian's python3-torchvision):  python3 models/checkpoint/testdata/torchvision.py
"""
import os

from torchvision import models

golden = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..', 'testdata', 'golden', 'state_dicts')
out = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'torchvision')
for name, ours, net in [
        ('resnet18', 'resnet18', models.resnet18()), ('resnet50', 'resnet50', models.resnet50()),
        ('mobilenet_v2', 'mobilenetv2', models.mobilenet_v2()), ('mnasnet2_0', 'mnasnet', models.MNASNet(2.0)),
        ('regnet_x_3_2gf', 'regnetx_3200m', models.regnet_x_3_2gf())]:
    text = ''.join(f"{k}\t{'x'.join(map(str, v.shape)) or 'scalar'}\n" for k, v in net.state_dict().items())
    with open(os.path.join(golden, ours + '.tsv')) as f:
        if f.read() == text:
            continue
    with open(os.path.join(out, name + '.tsv'), 'w') as f:
        f.write(text)
