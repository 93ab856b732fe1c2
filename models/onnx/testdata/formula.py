"""Values by the formula of the Go package internal/formula: offset + scale*u(t,i) for element t of tensor number i."""

import math

import numpy as np


def hashed(i, offset, scale, *dims):
    """Returns a float32 array of sizes dims: u is in [-1,1), by a 32-bit hash of t + i*0x9E3779B1."""
    x = np.arange(math.prod(dims), dtype=np.uint32) + np.uint32(i * 0x9E3779B1 & 0xFFFFFFFF)
    x = (x ^ x >> np.uint32(16)) * np.uint32(0x7FEB352D)
    x = (x ^ x >> np.uint32(15)) * np.uint32(0x846CA68B)
    x ^= x >> np.uint32(16)
    return (offset + scale * (x.astype(np.float64) / (1 << 31) - 1)).astype(np.float32).reshape(dims)


def described(text, *dims):
    """Returns the values that text describes: "uniform MEAN DEVIATION SEED", and " positive" for at least MEAN/10."""
    word, mean, deviation, seed, *rest = text.split()
    if word != "uniform" or rest not in ([], ["positive"]):
        raise ValueError(f"{text!r} isn't uniform MEAN DEVIATION SEED [positive]")
    mean = float(mean)
    v = hashed(int(seed), mean, float(deviation) * math.sqrt(3), *dims)
    return np.maximum(v, np.float32(mean / 10)) if rest else v


def images(n, *shape):
    """Returns n images of sizes shape, with elements between -1.7 and 1.7."""
    return hashed(1000, 0, 1.7, n, *shape)
