"""What scores are before anything is learned, and what one score a weight asks of its cells."""

import math
from typing import Literal, get_args

import torch
from torch import Tensor

from secateur.errors import SettingError, nearest

ScoreStart = Literal["uniform", "constant", "weight"]
# What has a score of its own: an edge, or a weight, whose sign then chooses the cell of each pair.
ScorePer = Literal["edge", "weight"]
# Below any score that moves, above that of an edge there is not.
_FAINT = 1e-30


def initial_scores(
    start: ScoreStart, *, kept_weight: Tensor, fan_in: int, generator: torch.Generator
) -> Tensor:
    """Positive scores of one weight's edges, in the scale of a Kaiming-uniform layer.

    Args:
        start: "uniform" draws in (0, 1) of the scale, "constant" sets nearly equal scores (within
            1 %, so that the first mask is random), "weight" ranks edges by their own |weight|.
        kept_weight: the weight each edge contributes when kept, any shape.
        fan_in: inputs of one output, for the scale sqrt(3 / fan_in).
        generator: on the CPU.

    Raises:
        SettingError: for another start.
    """
    if start not in get_args(ScoreStart):
        raise SettingError(
            f"There is no score start {start!r}", remedy=nearest(start, get_args(ScoreStart))
        )
    scale = math.sqrt(3.0 / fan_in)
    draw = torch.rand(kept_weight.shape, generator=generator)
    # One draw in 2^24 is 0, and a score of 0 has no gradient: such an edge could never learn.
    draw = draw.clamp_min_(2.0**-25).to(kept_weight.device)
    if start == "uniform":
        return scale * draw
    if start == "constant":
        return scale * (0.5 + 0.01 * (draw - 0.5))
    magnitude = kept_weight.abs()
    return scale * magnitude / magnitude.max().clamp_min(1e-30)


def signed_scores(
    start: ScoreStart, *, weight: Tensor, fan_in: int, generator: torch.Generator
) -> Tensor:
    """Scores of either sign, one for each weight, in the scale of a Kaiming-uniform layer.

    Args:
        start: sizes as `initial_scores` has them; signs are random, or with "weight" its own.
        weight: what a weight comes to with all of its cells kept, any shape.
        fan_in: as there.
        generator: on the CPU.

    Raises:
        SettingError: for another start.
    """
    sizes = initial_scores(start, kept_weight=weight, fan_in=fan_in, generator=generator)
    if start == "weight":
        return sizes * weight.sign()
    signs = torch.randint(0, 2, weight.shape, generator=generator).to(weight.device)
    return sizes * (2 * signs - 1)


def cell_scores(scores: Tensor, *, pairs: int, axis: int) -> Tensor:
    """What one signed score a weight makes of the scores of its cells.

    The sign chooses the cell of each pair that may conduct, the size how many pairs do: the n-th
    pair has the score |s| / (2n - 1), so that with a threshold t a weight takes the n-th of its
    equally spaced levels from (2n - 1) t on. One pair a weight makes ternary weights.

    Args:
        scores: one for each weight, any shape with that axis.
        pairs: of a weight.
        axis: along which its pairs lie: the first pairs of all inputs, then the second ones.

    Returns:
        `pairs` times as many along the axis, and a last axis of 2: the cell that adds, the cell
        that takes away. Above 0, also where a cell is not to conduct.
    """
    signed = scores.detach()
    each = torch.cat([signed / (2 * n + 1) for n in range(pairs)], dim=axis)
    return torch.stack([each, -each], dim=-1).clamp_min_(_FAINT)
