#!/usr/bin/env python3
"""Writes others/: the weights of nested.pth.tar as other tools, other Pythons and newer PyTorches write them.

Made with PyTorch 1.13.1 (Debian's python3-torch), CPU:  python3 models/checkpoint/testdata/others.py
"""
import argparse
import collections
import os
import pickle

import torch

os.chdir(os.path.dirname(os.path.abspath(__file__)))
weights = {name.removeprefix('module.'): tensor for name, tensor in torch.load('nested.pth.tar')['state_dict'].items()}


def write(name, value, **how):
    torch.save(value, 'others/' + name, **{'_use_new_zipfile_serialization': False, **how})


def under(prefix, **more):
    return collections.OrderedDict([(prefix + name, tensor) for name, tensor in weights.items()], **more)


class Made:
    """Is pickled as a call of a function that this PyTorch need not have."""

    def __init__(self, module, name, *args):
        def function(*_):
            pass
        function.__module__, function.__qualname__ = module.__name__, name
        setattr(module, name, function)
        self.call = function, args

    def __reduce__(self):
        return self.call


class Python2(pickle._Pickler):
    """Writes integers of 32 to 64 bits as Python 2 does: as text."""
    dispatch = dict(pickle._Pickler.dispatch)

    def save_int(self, n):
        if -2**31 <= n < 2**31 or not -2**63 <= n < 2**63:
            self.save_long(n)
        else:
            self.write(b'I%d\n' % n)
    dispatch[int] = save_int


class python2:
    """The functions of pickle that torch.save calls."""
    Pickler = Python2
    dump = staticmethod(lambda value, file, protocol: Python2(file, protocol).dump(value))


# Averages: swa_utils counts in a buffer; timm saves the averaged model beside the epoch.
write('swa.pth', {'model': under('module.', n_averaged=torch.tensor(3))})
write('ema.pth', {'epoch': 9, 'best_acc1': torch.tensor(71.5), 'model_ema': under('module.', n_averaged=torch.tensor(3))})
beside = under('model.', **{'criterion.weight': torch.ones(3)})
beside.update({'ema.' + name: torch.zeros_like(tensor) for name, tensor in weights.items()})
write('lightning.ckpt', {'epoch': 3, 'state_dict': beside, 'hyper_parameters': argparse.Namespace(lr=0.1), 'callbacks': {}})
write('averages_beside.pth', {'state_dict_ema': {name: torch.zeros_like(tensor) for name, tensor in weights.items()},
                              'weights': weights, 'optimizer': {'conv.weight': torch.zeros(2)}})

# What newer versions write: tensors in untyped storages, parameters with attributes, subclasses of Tensor.
untyped = torch.zeros(8, dtype=torch.uint8).storage()
untyped = getattr(untyped, '_storage', None) or untyped.untyped()
newer = Made(torch._utils, '_rebuild_tensor_v3', untyped, 0, (4,), (1,), False, collections.OrderedDict(), torch.int16)
write('newer_optimizer.pth', {'state_dict': weights, 'optimizer': {'state': {0: {'step': newer}}}})
parts = dict(weights)
parts['conv.weight'] = Made(torch._utils, '_rebuild_parameter_with_state', weights['conv.weight'], True,
                            collections.OrderedDict(), {'note': 1})
parts['bn.bias'] = Made(torch._tensor, '_rebuild_from_type_v2', torch._utils._rebuild_parameter, torch.nn.Parameter,
                        (weights['bn.bias'], True, collections.OrderedDict()), {})
parts['args'] = argparse.Namespace(lr=0.1)
write('parts.pth', parts)

for protocol in (0, 1):
    write(f'protocol{protocol}.pth', weights, pickle_protocol=protocol)
momenta = {140_000_000_000_000 + n: {'momentum_buffer': torch.zeros(2)} for n in range(2)}
write('python2.pth.tar', {'state_dict': under('module.'), 'optimizer': {'state': momenta}}, pickle_module=python2)
