"""Writes batches of two images in CIFAR-10's Python form, by pickle's protocols 2, 4 and 5 (numpy 1.24): python3 make.py"""
import pickle

import numpy

pixels = ((numpy.arange(2 * 3072) * 7) % 256).astype(numpy.uint8).reshape(2, 3072)
for protocol in 2, 4, 5:
    with open("protocol%d" % protocol, "wb") as f:
        pickle.dump({"batch_label": "testing", "labels": [9, 0], "data": pixels.copy(), "filenames": ["a.png", "b.png"]}, f, protocol)
