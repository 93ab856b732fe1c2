"""Writes meta.mat as ILSVRC's development kit has it, of three classes and a synset above them. Needs SciPy."""

import os

import numpy as np
import scipy.io

names = ("ILSVRC2012_ID", "WNID", "words", "gloss", "num_children", "children", "wordnet_height", "num_train_images")
synsets = np.array(
    [(1, "n02119789", "kit fox, Vulpes macrotis", "small grey fox", 0, np.zeros((1, 0)), 0, 1300),
     (2, "n02100735", "English setter", "an English breed", 0, np.zeros((1, 0)), 0, 1300),
     (3, "n01440764", "tench, Tinca tinca", "freshwater dace-like game fish", 0, np.zeros((1, 0)), 0, 1300),
     (4, "n00001740", "entity", "that which exists", 3, np.array([[1, 2, 3]]), 1, 0)],
    dtype=[(name, object) for name in names]).reshape(4, 1)
scipy.io.savemat(os.path.join(os.path.dirname(os.path.abspath(__file__)), "meta.mat"), {"synsets": synsets},
                 do_compression=True)
