"""Makes golden.npz: what Pillow 9.4 makes of two images with each interpolation, smaller, larger and squashed.

Run with Debian's python3-pil and python3-numpy, in this folder: python3 make.py
"""
import numpy as np
from PIL import Image

golden = {}
for name in ("rgb.png", "small.png"):
    im = Image.open("../images/" + name).convert("RGB")
    for filter in (Image.Resampling.BILINEAR, Image.Resampling.BICUBIC):
        for w, h in ((37, 31), (131, 60), (24, 97)):
            golden[f"{name}/{filter.name.lower()}/{w}x{h}"] = np.asarray(im.resize((w, h), filter))
# Edges beyond which the cubic filter would leave the range of a byte.
edges = np.zeros((23, 29, 3), np.uint8)
edges[5:14, 3:20] = 255
golden["edges"] = edges
for w, h in ((47, 60), (11, 9)):
    golden[f"edges/bicubic/{w}x{h}"] = np.asarray(Image.fromarray(edges).resize((w, h), Image.BICUBIC))
np.savez_compressed("golden.npz", **golden)
