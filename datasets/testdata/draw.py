"""Draw in Python, written apart from calibration.go: the numbers in TestDraw.

Sources: Go's math/rand/v2/pcg.go (PCG-DXSM), Lemire's bounded numbers.
"""

WORD = (1 << 64) - 1


def pcg(hi, lo):
    state = (hi << 64) | lo
    mul = (2549297995355413924 << 64) | 4865540595714422341
    inc = (6364136223846793005 << 64) | 1442695040888963407
    while True:
        state = (state * mul + inc) & ((1 << 128) - 1)
        hi, lo = state >> 64, state & WORD
        hi ^= hi >> 32
        hi = hi * 0xDA942042E4DD58B5 & WORD
        hi ^= hi >> 48
        yield hi * (lo | 1) & WORD


def draw(n, pool, seed):
    words, order = pcg(seed, 0x64726177), list(range(pool))
    for i in range(n):
        m = pool - i
        x = next(words) * m
        while (x & WORD) < ((1 << 64) - m) % m:
            x = next(words) * m
        k = i + (x >> 64)
        order[i], order[k] = order[k], order[i]
    return order[:n]


if __name__ == "__main__":
    print(draw(8, 10, 0))
    print(draw(8, 60000, 1))
    print(draw(2048, 60000, 1)[-3:])
    print(draw(5, 1281167, WORD))
