"""Keyed randomness: a draw is a function of what it is for, never of what was drawn before it.

Two tools. `Philox` draws for many cells at once, each keyed by (seed, cell, count, purpose): the
same commands give the same chip whatever was read in between. `normal` fills a whole tensor from
one key, for read noise.
"""

import hashlib
import math
from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

# Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC11: Philox-4x32 with 10 rounds.
_ROUNDS = 10
_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)
_WORD = 0xFFFFFFFF

# A NumPy array or a tensor.
_Words: TypeAlias = Any


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
        return torch.from_numpy(_philox_rounds(np, counters.numpy(), np.array, key))
    tensor = partial(torch.tensor, device=counters.device)
    words: Tensor = _philox_rounds(torch, counters, tensor, key)
    return words


def _philox_rounds(
    library: Any, counters: _Words, array: Callable[..., _Words], key: int
) -> _Words:
    """The rounds on words (4, n), with NumPy or torch; two words are multiplied at a time."""
    multipliers = array([[_MULTIPLIERS[0]], [_MULTIPLIERS[1]]])
    even, odd = counters[::2], counters[1::2]
    low, high = key & _WORD, key >> 32 & _WORD
    for _ in range(_ROUNDS):
        # int64 products wrap around, but their 64 bits are the right ones: mask after each shift.
        product = library.flip(even * multipliers, (0,))
        even, odd = (product >> 32 & _WORD) ^ odd ^ array([[low], [high]]), product & _WORD
        low, high = (low + _WEYL[0]) & _WORD, (high + _WEYL[1]) & _WORD
    return library.stack([even, odd], 1).reshape(4, -1)


def cell_words(cells: Tensor, counts: Tensor | int, *, seed: int, purpose: int) -> Tensor:
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


def generator(key: int, device: torch.device | str = "cpu") -> torch.Generator:
    """A fresh torch generator that starts at `key`."""
    return torch.Generator(device=device).manual_seed(key)


def normal(shape: tuple[int, ...] | torch.Size, *, key: int, device: torch.device) -> Tensor:
    """A float32 tensor of standard normals that depends on `key` (and the kind of device) alone."""
    return torch.randn(shape, generator=generator(key, device), device=device)
