"""Writes packed.mat and plain.mat, as MATLAB's save writes structs. Needs SciPy."""

import numpy as np
import scipy.io

synsets = np.array(
    [(2, "n02119789", "kit fox, Vulpes macrotis", -1.5, "", np.zeros((1, 2))),
     (300, "n02100735", "é", 7.0, "x", np.zeros((0, 0)))],
    dtype=[(name, object) for name in ("ID", "WNID", "words", "height", "empty", "children")]).reshape(2, 1)
for name, packed in (("packed.mat", True), ("plain.mat", False)):
    scipy.io.savemat(name, {"before": np.arange(3.0), "synsets": synsets}, do_compression=packed)
