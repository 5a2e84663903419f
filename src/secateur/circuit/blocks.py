"""Large tensors in pieces that fit a processor's cache: several passes then cost little more."""

from collections.abc import Iterator

import torch
from torch import Tensor

# Numbers treated at a time: so many, and what is derived from them, fit the cache.
_BLOCK = 1 << 16


def blocks(values: Tensor) -> Iterator[Tensor]:
    """`values` in pieces along the first axis, views; whole where small or not on a CPU.

    Tensors of the same shape are cut alike.
    """
    if values.dim() < 2 or values.device.type != "cpu" or values.numel() <= _BLOCK:
        return iter((values,))
    return iter(torch.split(values, max(_BLOCK * len(values) // values.numel(), 1)))


def equal_parts(values: Tensor, count: int) -> tuple[Tensor, ...]:
    """So many equal parts along the first axis, views; one is the tensor itself."""
    return (values,) if count == 1 else values.view(count, -1, *values.shape[1:]).unbind()


def flat(values: Tensor) -> Tensor:
    """`values` without axes, in the order of memory: a view where there are no gaps."""
    last = values.dim() == 4 and values.is_contiguous(memory_format=torch.channels_last)
    # Reductions over all of it would copy a tensor whose channels are last.
    return values.permute(0, 2, 3, 1).reshape(-1) if last else values.reshape(-1)
