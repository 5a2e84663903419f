"""Keep the best: the exact top-k of |score| as a mask, in O(n)."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from secateur.errors import DivergedError, SettingError


def keep_count(keep_fraction: float, edges: int) -> int:
    """How many of `edges` a keep fraction keeps: the nearest whole number.

    Raises:
        SettingError: unless 0 < keep_fraction <= 1, or where nothing would be kept.
    """
    if not 0.0 < keep_fraction <= 1.0:
        raise SettingError(
            f"keep_fraction is {keep_fraction}, but a share above 0 and up to 1 was expected",
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


def kth_largest(values: Tensor, rank: int) -> Tensor:
    """The `rank`-th largest value (1 is the largest) of a tensor, as a 0-dimensional tensor.

    A selection, not a sort: NumPy's vectorised partition on the tensor's own memory on a CPU,
    `torch.kthvalue` elsewhere.
    """
    flat = values.detach().reshape(-1)
    place = flat.numel() - rank
    if flat.device.type == "cpu" and flat.dtype != torch.bfloat16:
        return torch.as_tensor(np.partition(flat.numpy(), place)[place])
    return torch.kthvalue(flat, place + 1).values


def top_k(scores: Tensor, count: int) -> Tensor:
    """Mask of the `count` edges with the largest |score|: exactly that many, also on ties.

    Among equal scores at the threshold the edges with the lowest index are kept.

    Args:
        scores: any shape.
        count: number of edges to keep, 1 to scores.numel().

    Returns:
        Boolean mask of the same shape.

    Raises:
        DivergedError: for scores that are not numbers, where they leave no such mask.
    """
    # A model in channels-last has strided scores: masks are contiguous whatever the scores are.
    magnitude = scores.detach().abs().reshape(-1)
    threshold = kth_largest(magnitude, count)
    mask = magnitude > threshold
    missing = count - int(mask.sum())
    ties = (magnitude == threshold).nonzero().squeeze(1)
    if missing > ties.numel():
        raise DivergedError(
            "Scores are not a number, so no edge can be called better than another",
            cause="the training has diverged",
            remedy="Lower the learning rate of the scores",
        )
    mask[ties[:missing]] = True
    return mask.view(scores.shape)


def split_like(flat: Tensor, parts: Sequence[Tensor]) -> list[Tensor]:
    """Cuts one flat tensor into views with the shapes of `parts`."""
    pieces = torch.split(flat, [part.numel() for part in parts])
    return [piece.view(part.shape) for piece, part in zip(pieces, parts, strict=True)]
