"""Large tensors in pieces that fit a processor's cache: several passes then cost little more."""

from collections.abc import Iterator

import torch
from torch import Tensor

from secateur.ranks import largest, ranks, summed

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


def extent(values: Tensor) -> tuple[float, float, float, int]:
    """Lowest and highest value, root of the sum of squares, and how many values there are.

    Of all ranks together where several train one model: every one of them must call.
    """
    norm = torch.linalg.vector_norm(values)
    if ranks() == 1:
        # One transfer for the three numbers.
        lowest, highest, norm = torch.stack([*flat(values).aminmax(), norm]).tolist()
        return lowest, highest, norm, values.numel()
    lowest, highest = flat(values).aminmax()
    low, high = largest(torch.stack([-lowest, highest])).tolist()
    count = torch.tensor(float(values.numel()), dtype=torch.float64, device=values.device)
    squares, total = summed(torch.stack([norm.double().square(), count])).tolist()
    return -low, high, float(squares**0.5), int(total)
