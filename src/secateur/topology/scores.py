"""Scores before anything is learned."""

import math
from typing import Literal, get_args

import torch
from torch import Tensor

from secateur.errors import SettingError, nearest

ScoreStart = Literal["uniform", "constant", "weight"]


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
