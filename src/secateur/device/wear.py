"""Wear and faults: cells stuck and lines open from birth, and cells that pulses wear out."""

import torch
from torch import Tensor


def endurance_limit(draw: Tensor, *, median: float, spread: float) -> Tensor:
    """SET and RESET pulses a cell survives: lognormal from cell to cell, frozen at birth.

    Args:
        draw: standard normals, any shape.
        median: pulses.
        spread: standard deviation of its logarithm.
    """
    return (spread * draw).exp_().mul_(median)


def born_stuck(draw: Tensor, *, low_fraction: float, high_fraction: float) -> tuple[Tensor, Tensor]:
    """Masks of cells that are stuck low, and stuck high, from birth.

    Args:
        draw: uniforms in (0, 1), any shape.
        low_fraction: share of cells stuck low.
        high_fraction: share of cells stuck high.
    """
    low = draw < low_fraction
    high = draw > 1.0 - high_fraction
    return low, torch.logical_and(high, ~low)


def broken_lines(draw: Tensor, *, fraction: float) -> Tensor:
    """Mask of lines that are open from birth: no pulse and no current passes them.

    Args:
        draw: uniforms in (0, 1), one per line.
        fraction: share of the lines.
    """
    return draw < fraction
