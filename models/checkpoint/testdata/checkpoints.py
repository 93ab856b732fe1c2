#!/usr/bin/env python3
"""Writes the checkpoints in this folder, and values.tsv with what PyTorch reads from them.

Made with PyTorch 1.13.1 (Debian's python3-torch), CPU:  python3 models/checkpoint/testdata/checkpoints.py
"""
import argparse
import collections
import os

import torch
from torch import nn

os.chdir(os.path.dirname(os.path.abspath(__file__)))
torch.manual_seed(0)
rows = []


def save(name, obj, state, **how):
    torch.save(obj, name, **how)
    for key, t in state.items():
        t = t.detach()
        values = ' '.join(repr(v) for v in t.float().contiguous().flatten().tolist())
        rows.append('\t'.join([name, key, str(t.dtype).removeprefix('torch.'), 'x'.join(map(str, t.shape)), values]))


class Net(nn.Module):
    """tiny of network_test.go, with akamaster's name for the classifier."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 3, bias=False)
        self.bn = nn.BatchNorm2d(2)
        self.linear = nn.Linear(2, 3)


class Pairs(dict):
    """Is pickled as Python 2 pickles an OrderedDict."""

    def __reduce__(self):
        return collections.OrderedDict, ([[k, v] for k, v in self.items()],)


class Call:
    """Would run a command when it is unpickled by Python."""

    def __reduce__(self):
        return os.system, ('touch was-run',)


base = torch.randn(12)
odd = collections.OrderedDict(
    plain=torch.randn(2, 3),
    transposed=torch.randn(2, 3, 4).permute(2, 0, 1),  # not contiguous
    shared_a=base[2:5], shared_b=base[5:11].view(2, 3), shared_c=base[1::3],  # one storage, offsets, a stride
    expanded=torch.randn(2, 1).expand(2, 3),  # stride 0
    flipped=torch.randn(3, 3).t()[1:, :2],
    scalar=torch.tensor(1.5),
    empty=torch.zeros(0, 3),
    half=torch.tensor([1 / 3, -65504, 6e-8, float('inf'), float('nan'), -0.0]).half(),
    bfloat16=torch.tensor([1 / 3, -3e38, 1e-40, -float('inf')]).bfloat16(),
    double=torch.tensor([1 / 3, 1e300, -1e-46, 5e-324], dtype=torch.float64),
    parameter=nn.Parameter(torch.randn(3)),
    num_batches_tracked=torch.tensor(7),
    mask=torch.tensor([True, False]),
)
save('legacy.pth', odd, odd, _use_new_zipfile_serialization=False)
save('zip.pth', odd, odd)
save('legacy4.pth', odd, odd, _use_new_zipfile_serialization=False, pickle_protocol=4)

net = nn.DataParallel(Net())
with torch.no_grad():
    net.module.bn.running_mean.normal_()
    net.module.bn.running_var.uniform_(0.5, 2)
optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
net.module.linear(torch.ones(1, 2)).sum().backward()
optimizer.step()
state = net.state_dict()
checkpoint = dict(epoch=3, arch='tiny', best_acc=torch.tensor(91.5), args=argparse.Namespace(lr=0.1, wd=None),
                  state_dict=state, optimizer=optimizer.state_dict())
save('nested.pth.tar', checkpoint, state, _use_new_zipfile_serialization=False)
save('nested.zip.pth', dict(model=state), state)
save('pairs.pth', Pairs(net.module.state_dict()), net.module.state_dict(), _use_new_zipfile_serialization=False, pickle_protocol=2)

save('module.pth', nn.ReLU(), {}, _use_new_zipfile_serialization=False)  # with its source code
save('call.pth', collections.OrderedDict([('plain', base), ('called', Call())]), {}, _use_new_zipfile_serialization=False)

with open('values.tsv', 'w') as f:
    f.write('file\ttensor\ttype\tshape\tvalues as float32\n' + '\n'.join(rows) + '\n')
