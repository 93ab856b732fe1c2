#!/usr/bin/env python3
"""Writes one value in each of pickle's protocols:  python3 internal/pickle/testdata/pickles.py

Made with Python 3.11. TestProtocols has the value.
"""
import collections
import os
import pickle

os.chdir(os.path.dirname(os.path.abspath(__file__)))
shared = 'shared \u00e9 \u20ac \U0001f40d \\u0041 \n'
value = [
    None, True, False, 0, -1, 255, 65535, 2**31, -2**40, 2**63 - 1, 2**63, -2**70, 0x1950A86A20F9469CFC6C, 0.5, -1e300,
    shared, shared, (), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4), {'a': 1}, {'a': 1, 'b': [2]},
    collections.OrderedDict([('x', 1), ('y', shared)]), [[]],
]
for protocol in range(6):
    with open(f'protocol{protocol}.pickle', 'wb') as f:
        pickle.dump(value, f, protocol)
