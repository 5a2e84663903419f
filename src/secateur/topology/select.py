"""Keep the best: the exact top-k of |score| as a mask, in O(n)."""

import math
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from secateur.errors import DivergedError, SettingError

# A NumPy array for what is on a CPU, a tensor for what is elsewhere: both index and compare alike.
Values: TypeAlias = Any


def keep_count(keep_fraction: float, edges: int) -> int:
    """How many of `edges` a keep fraction keeps: the nearest whole number.

    Raises:
        SettingError: unless 0 < keep_fraction <= 1, or where nothing would be kept.
    """
    try:
        is_share = bool(0.0 < keep_fraction <= 1.0)
    except (TypeError, ValueError, RuntimeError):
        # A word, None, or more than one number.
        is_share = False
    if not is_share:
        raise SettingError(
            f"keep_fraction is {keep_fraction!r}, but a share above 0 and up to 1 was expected",
            cause="it is the share of edges that stay, not the share that goes",
            remedy="Give a number such as 0.5",
        )
    count = round(keep_fraction * edges)
    if count == 0:
        raise SettingError(
            f"keep_fraction {keep_fraction} keeps none of {edges} edges",
            remedy=f"Give at least {1 / max(edges, 1):.3g}",
        )
    return count


def magnitudes(scores: Tensor) -> Values:
    """|score| of every edge, flat; of a tensor on a CPU a NumPy array.

    What follows, comparing and finding places, takes torch several times as long there.
    """
    # A model in channels-last has strided scores: masks are contiguous whatever the scores are.
    flat = scores.detach().reshape(-1)
    if flat.device.type != "cpu":
        return flat.abs()
    return np.abs((flat.float() if flat.dtype == torch.bfloat16 else flat).numpy())


def flat_mask(mask: Tensor) -> Values:
    """A mask as what compares with `magnitudes`: the same memory, flat."""
    flat = mask.reshape(-1)
    return flat.numpy() if flat.device.type == "cpu" else flat


def places(mask: Values) -> Values:
    """Where a flat mask is True, ascending."""
    return mask.nonzero()[0] if isinstance(mask, np.ndarray) else mask.nonzero().squeeze(1)


def number(mask: Values) -> int:
    """How many of a flat mask are True."""
    return int(np.count_nonzero(mask) if isinstance(mask, np.ndarray) else mask.sum())


def kth_largest(magnitude: Values, rank: int) -> float:
    """The `rank`-th largest (1 is the largest) of values that are 0 or more.

    A selection, not a sort: NumPy's vectorised partition on a CPU, `torch.kthvalue` elsewhere.
    """
    if isinstance(magnitude, Tensor) and magnitude.device.type == "cpu":
        magnitude = magnitude.detach().numpy()
    place = math.prod(magnitude.shape) - rank
    if not isinstance(magnitude, np.ndarray):
        return float(torch.kthvalue(magnitude.reshape(-1), place + 1).values)
    # Floats without a sign are ordered as their bits are, and integers are partitioned faster.
    bits = magnitude.reshape(-1).view(f"i{magnitude.itemsize}")
    return float(np.partition(bits, place)[place].view(magnitude.dtype))


def top_k(scores: Tensor, count: int) -> Tensor:
    """Mask of the `count` edges with the largest |score|: exactly that many, also on ties.

    Among equal scores at the threshold the edges with the lowest index are kept.

    Args:
        scores: any shape.
        count: number of edges to keep, 0 to scores.numel().

    Returns:
        Boolean mask of the same shape.

    Raises:
        DivergedError: for scores that are not numbers, where they leave no such mask.
    """
    if count == 0:
        return torch.zeros(scores.shape, dtype=torch.bool, device=scores.device)
    magnitude = magnitudes(scores)
    threshold = kth_largest(magnitude, count)
    mask = magnitude >= threshold
    surplus = number(mask) - count
    if surplus < 0:
        raise DivergedError(
            "Scores are not a number, so no edge can be called better than another",
            cause="the training has diverged",
            remedy="Lower the learning rate of the scores",
        )
    if surplus:
        mask[places(magnitude == threshold)[-surplus:]] = False
    return torch.as_tensor(mask).view(scores.shape)


def flipped_edges(before: Tensor, after: Tensor) -> Tensor:
    """Flat places, ascending, where two masks on one device differ."""
    return torch.as_tensor(places(flat_mask(before) ^ flat_mask(after)))


def split_like(flat: Tensor, parts: Sequence[Tensor]) -> list[Tensor]:
    """Cuts one flat tensor into views with the shapes of `parts`."""
    pieces = torch.split(flat, [part.numel() for part in parts])
    return [piece.view(part.shape) for piece, part in zip(pieces, parts, strict=True)]
