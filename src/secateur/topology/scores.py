"""Scores before anything is learned."""

import math
from typing import Literal

import torch
from torch import Tensor

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
    """
    scale = math.sqrt(3.0 / fan_in)
    draw = torch.rand(kept_weight.shape, generator=generator).to(kept_weight.device)
    if start == "uniform":
        return scale * draw
    if start == "constant":
        return scale * (0.5 + 0.01 * (draw - 0.5))
    magnitude = kept_weight.abs()
    return scale * magnitude / magnitude.max().clamp_min(1e-30)
