"""Makes the images of this folder, and golden.npz: the pixels that Pillow 9.4 (libjpeg-turbo 2.1.5) makes of them.

Debian's python3-pil, python3-numpy, libjpeg-turbo-progs, libjpeg-dev and gcc: /usr/bin/python3 make.py
"""
import io
import os
import struct
import subprocess
import zlib

import numpy as np
from PIL import Image


def scene(w, h):
    y, x = np.mgrid[0:h, 0:w].astype(float)
    im = np.stack([128 + 110 * np.sin(x / w * a + b) * np.cos(y / h * c) for a, b, c in ((9, 0, 4), (5, 2, 7), (7, 1, 3))], 2)
    im[h // 3:h // 2, w // 4:w // 2] = (250, 30, 60)
    return np.clip(im, 0, 255).astype(np.uint8)


def put(name, content):
    open(name, "wb").write(content)


def jpeg(name, pixels, *options):
    ppm = b"P6 %d %d 255\n" % (pixels.shape[1], pixels.shape[0]) + pixels.tobytes()
    put(name, subprocess.run(["cjpeg", *options], input=ppm, stdout=subprocess.PIPE, check=True).stdout)


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


pixels = scene(37, 29)
im = Image.fromarray(pixels)
for sampling in ("1x2", "4x1", "2x2,1x1,1x2", "1x1,2x1,1x1"):
    jpeg(sampling.replace(",", "_") + ".jpg", pixels, "-sample", sampling)
jpeg("tiny.jpg", scene(3, 3), "-sample", "2x2")
jpeg("rgb.jpg", pixels, "-rgb")
jpeg("3x1.jpg", pixels, "-sample", "3x1")  # can't be read
jpeg("arithmetic.jpg", pixels, "-arithmetic")  # nor this
subprocess.run(["gcc", "-w", "inks.c", "-ljpeg", "-o", "inks"], check=True)
for kind in "ycck", "cmyk":
    subprocess.run(["./inks", kind + ".jpg", kind], check=True)
os.remove("inks")
file = open("cmyk.jpg", "rb").read()
at = file.index(b"\xff\xee")
put("noadobe.jpg", file[:at] + file[at + 2 + struct.unpack(">H", file[at + 2:at + 4])[0]:])

im.save("lossy.webp", quality=80)
Image.fromarray(scene(36, 30)).save("even.webp", quality=80)
im.save("lossless.webp", lossless=True)
alpha = im.copy()
alpha.putalpha(im.convert("L"))
alpha.save("alpha.webp", quality=80)
im.save("animated.webp", save_all=True, append_images=[im.rotate(90)])  # can't be read

small = im.convert("P", palette=Image.ADAPTIVE, colors=8)
im.save("bmp.jpg", "BMP")
small.save("palette.bmp")
im.save("tiff.jpg", "TIFF", compression="tiff_lzw")
im.convert("1").save("fax.tiff", compression="group4")  # can't be read
small.save("transparent.gif", transparency=3)
file = io.BytesIO()
small.crop((0, 0, 20, 15)).save(file, "GIF")
file = bytearray(file.getvalue())
at = file.index(b"\x2c", 13 + 3 * 8)
file[6:10] = struct.pack("<HH", 33, 21)  # the screen
file[at + 1:at + 5] = struct.pack("<HH", 5, 4)  # where the image is on it
put("gif.jpg", bytes(file))

grey = (np.asarray(im.convert("L")).astype(np.uint32) * 2).astype(">u2")
rows = zlib.compress(b"".join(b"\0" + r.tobytes() for r in grey))
put("grey16.png", b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 37, 29, 16, 0, 0, 0, 0))
    + chunk(b"tRNS", struct.pack(">H", 5)) + chunk(b"IDAT", rows) + chunk(b"IEND", b""))
small.save("noend.png")
file = open("noend.png", "rb").read()
put("noend.png", file[:-12])

unread = "3x1.jpg", "arithmetic.jpg", "animated.webp", "fax.tiff", "inks.c", "make.py", "golden.npz"
golden = {name: np.asarray(Image.open(name).convert("RGB")) for name in sorted(os.listdir(".")) if name not in unread}
np.savez_compressed("golden.npz", **golden)
