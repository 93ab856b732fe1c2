"""Makes the images of this folder, and golden.npz: what Pillow 9.4 and torchvision 0.14 make of them.

Run with Debian's python3-pil, python3-torchvision and python3-numpy: python3 make.py
"""
import numpy as np
from PIL import Image, ImageOps
from torchvision import transforms

SIZE, RESIZE = 56, 64
evaluate = transforms.Compose([transforms.Resize(RESIZE), transforms.CenterCrop(SIZE)])


def scene(w, h, seed):
    """A photo-like image: smooth light, coloured shapes with edges, and noise."""
    rng = np.random.RandomState(seed)
    y, x = np.mgrid[0:h, 0:w].astype(float)
    im = np.stack([128 + 90 * np.sin(x / w * a + b) * np.cos(y / h * c) for a, b, c in rng.rand(3, 3) * 6], 2)
    for _ in range(12):
        cx, cy, r = rng.rand() * w, rng.rand() * h, (0.05 + 0.15 * rng.rand()) * min(w, h)
        im[(x - cx) ** 2 + (y - cy) ** 2 < r * r] = rng.rand(3) * 255
    return Image.fromarray(np.clip(im + rng.randn(h, w, 1) * 6, 0, 255).astype(np.uint8))


images = {
    "420.jpg": (scene(201, 150, 0), dict(quality=90, subsampling=2)),
    "422.jpg": (scene(150, 203, 1), dict(quality=90, subsampling=1)),
    "444.jpg": (scene(120, 120, 2), dict(quality=95, subsampling=0)),
    "grey.jpg": (scene(130, 90, 3).convert("L"), dict(quality=90)),
    "cmyk.jpg": (scene(100, 140, 4).convert("CMYK"), dict(quality=95)),
    "rgb.png": (scene(111, 95, 5), {}),
    "small.png": (scene(40, 30, 6), {}),
    "palette.png": (scene(100, 80, 7).convert("P", palette=Image.ADAPTIVE), {}),
    "grey16.png": (Image.fromarray((np.asarray(scene(90, 90, 8).convert("L")).astype(np.int32) * 2).astype(np.uint16)), {}),
    "alpha.png": (scene(80, 100, 9).copy(), {}),
    "turned.jpg": (scene(140, 100, 10), dict(quality=95, subsampling=0)),
}
images["alpha.png"][0].putalpha(images["alpha.png"][0].convert("L"))
golden = {}
for name, (im, options) in images.items():
    if name == "turned.jpg":
        exif = Image.Exif()
        exif[0x0112] = 6
        options["exif"] = exif
    im.save(name, **options)
    im = Image.open(name)
    golden[name] = np.asarray(evaluate(im.convert("RGB")))
    golden[name + "/decoded"] = np.asarray(im.convert("RGB"))[:40, :40]
    if name == "turned.jpg":
        golden[name + "/oriented"] = np.asarray(evaluate(ImageOps.exif_transpose(im).convert("RGB")))
crop = Image.open("rgb.png").convert("RGB").crop((7, 11, 7 + 83, 11 + 61)).resize((SIZE, SIZE), Image.BILINEAR)
golden["rgb.png/crop"] = np.asarray(crop)
np.savez_compressed("golden.npz", **golden)
