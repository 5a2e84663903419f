"""Keyed randomness: a draw is a function of what it is for, never of what was drawn before it.

Three tools. `philox` draws for many cells at once, each keyed by (seed, cell, count, purpose): the
same commands give the same chip whatever was read in between. `normal` fills a whole tensor from
one key, for one read of many cells. `NormalStream` gives as many as are asked for, for noise that
comes anew with every product.
"""

import functools
import hashlib
import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

# Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC11: Philox-4x32 with 10 rounds.
_ROUNDS = 10
_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)
_WORD = 0xFFFFFFFF
# Counters whose rounds fit the second cache of a processor.
_BLOCK = 1 << 13


def key_of(*path: int | str) -> int:
    """A 63-bit key from a path of numbers and words, for instance `key_of(seed, "read", step)`."""
    digest = hashlib.blake2b("/".join(map(repr, path)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def philox(counters: Tensor, *, key: int) -> Tensor:
    """Four random 32-bit words per counter: Philox-4x32-10.

    Args:
        counters: int64 tensor (4, n) of 32-bit words.
        key: 64-bit key.

    Returns:
        int64 tensor (4, n) of 32-bit words.
    """
    if counters.device.type == "cpu":
        # A step draws for a few hundred cells: NumPy's calls cost half of torch's.
        return torch.from_numpy(_philox_in_place(counters.numpy(), key))
    words: Tensor = _philox_rounds(counters, key)
    return words


def _philox_rounds(counters: Tensor, key: int) -> Tensor:
    """The rounds on words (4, n); two words are multiplied at a time."""
    device = counters.device
    multipliers = torch.tensor([[_MULTIPLIERS[0]], [_MULTIPLIERS[1]]], device=device)
    even, odd = counters[::2], counters[1::2]
    for pair in _round_keys(key):
        # int64 products wrap around, but their 64 bits are the right ones: mask after each shift.
        product = torch.flip(even * multipliers, (0,))
        both = torch.tensor(pair, device=device).unsqueeze(1)
        even, odd = (product >> 32 & _WORD) ^ odd ^ both, product & _WORD
    return torch.stack([even, odd], 1).reshape(4, -1)


def _philox_in_place(counters: NDArray[np.int64], key: int) -> NDArray[np.int64]:
    """The same on a processor: a block of counters at a time, which stays in its cache."""
    words, found = counters.view(np.uint64), np.empty(counters.shape, dtype=np.uint64)
    multipliers = np.array([[_MULTIPLIERS[0]], [_MULTIPLIERS[1]]], dtype=np.uint64)
    keys = np.array(_round_keys(key), dtype=np.uint64)[:, :, None]
    half, word = np.uint64(32), np.uint64(_WORD)
    room = np.empty((3, 2, min(_BLOCK, words.shape[1])), dtype=np.uint64)
    for start in range(0, words.shape[1], _BLOCK):
        block = slice(start, start + _BLOCK)
        even, odd, product = room[:, :, : words[0, block].size]
        crossed = product[::-1]
        even[:], odd[:] = words[::2, block], words[1::2, block]
        for pair in keys:
            np.multiply(even, multipliers, out=product)
            np.right_shift(crossed, half, out=even)
            np.bitwise_xor(even, odd, out=even)
            np.bitwise_xor(even, pair, out=even)
            np.bitwise_and(crossed, word, out=odd)
        found[::2, block], found[1::2, block] = even, odd
    return found.view(np.int64)


def _round_keys(key: int) -> list[tuple[int, int]]:
    low, high = key & _WORD, key >> 32 & _WORD
    steps = range(_ROUNDS)
    return [((low + n * _WEYL[0]) & _WORD, (high + n * _WEYL[1]) & _WORD) for n in steps]


def cell_words(cells: Tensor, counts: Tensor | int, *, seed: int, purpose: Tensor | int) -> Tensor:
    """Four random words (4, n) per cell address, for the given pulse count and purpose."""
    counters = torch.empty((4, cells.numel()), dtype=torch.int64, device=cells.device)
    counters[0] = cells & _WORD
    counters[1] = cells >> 32
    counters[2] = counts
    counters[3] = purpose
    return philox(counters, key=key_of(seed, "cell"))


def uniforms(words: Tensor) -> Tensor:
    """32-bit words to float32 uniforms strictly inside (0, 1)."""
    # 23 bits and the half step that keeps 0 and 1 out are what a float32 holds exactly.
    return (words >> 9).to(torch.float32).add_(0.5).mul_(2.0**-23)


def normals(words: Tensor) -> Tensor:
    """32-bit words (2m, n) to float32 standard normals (2m, n), by Box and Muller's transform."""
    radius_part, angle_part = uniforms(words).chunk(2)
    radius = radius_part.log_().mul_(-2.0).sqrt_()
    angle = angle_part.mul_(2.0 * math.pi)
    return torch.cat([radius * angle.cos(), radius * angle.sin()])


def first_normals(words: Tensor) -> Tensor:
    """The first row of `normals` (n,) of four rows of words, without the others."""
    radius = uniforms(words[0]).log_().mul_(-2.0).sqrt_()
    return radius * uniforms(words[2]).mul_(2.0 * math.pi).cos_()


def generator(key: int, device: torch.device | str = "cpu") -> torch.Generator:
    """A fresh torch generator that starts at `key`."""
    return torch.Generator(device=device).manual_seed(key)


def normal(shape: tuple[int, ...] | torch.Size, *, key: int, device: torch.device) -> Tensor:
    """A float32 tensor of standard normals that depends on `key` (and the kind of device) alone."""
    source = generator(key, device)
    return torch.randn(shape, generator=source, device=device, dtype=torch.float32)


class NormalStream:
    """Standard normals that follow from one key, for noise that is drawn by the million.

    On a processor a draw is one of 2^16 equally likely values, the means of a normal over as many
    slices of its probability: the distribution function is off by less than 2^-16, and no draw
    exceeds 4.4. It needs half the random bits of `normal` and a table instead of its logarithms.
    A call takes whole words of four values: the next one begins with a new word.

    Args:
        key: what the draws are for.
        device: where they are made.
    """

    def __init__(self, key: int, device: torch.device) -> None:
        self._source = generator(key, device)

    def draw(self, count: int) -> Tensor:
        """The next float32 values, (count,)."""
        source = self._source
        if source.device.type != "cpu":
            return torch.randn(count, generator=source, device=source.device, dtype=torch.float32)
        words = torch.empty(-(-count // 4), dtype=torch.int64, device=source.device)
        words.random_(-(1 << 63), None, generator=source)
        return _slice_means().index_select(0, words.view(torch.uint16)[:count].long())


@functools.cache
def _slice_means() -> Tensor:
    """Means of a standard normal over 2^16 slices of equal probability, scaled to variance 1."""
    steps = torch.linspace(0, 1, (1 << 16) + 1, dtype=torch.float64, device="cpu")
    edges = torch.special.ndtri(steps)
    density = torch.exp(-edges.square() / 2)
    means = density[:-1] - density[1:]
    return (means / means.square().mean().sqrt()).float()
