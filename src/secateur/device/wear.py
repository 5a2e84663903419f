"""Wear and faults: cells stuck and lines open from birth, and cells that pulses wear out."""

import math

import torch
from torch import Tensor

# Of a life in searches: beyond so many nobody asks.
_LONGEST = 1e18


def endurance_limit(draw: Tensor, *, median: float, spread: float) -> Tensor:
    """SET and RESET pulses a cell survives: lognormal from cell to cell, frozen at birth.

    Args:
        draw: standard normals, any shape.
        median: pulses.
        spread: standard deviation of its logarithm.
    """
    return (spread * draw).exp_().mul_(median)


def worn_out_probability(pulses: Tensor, *, median: float, spread: float) -> Tensor:
    """Probability that cells have worn out after so many pulses, float64.

    That of `endurance_limit` being below: the normal distribution of ln(pulses / median) / spread.

    Args:
        pulses: SET and RESET pulses, any shape, 0 or more.
        median: pulses.
        spread: standard deviation of the endurance's logarithm; 0 for cells that are all alike.
    """
    logs = torch.log(pulses.double() / median)
    if spread == 0.0:
        return (logs > 0.0).double()
    probability: Tensor = torch.special.ndtr(logs / spread)
    return probability


def projected_life(
    pulses: Tensor, *, median: float, spread: float, tolerated: float = 1e-3
) -> float:
    """How often the same pulses can be given until a share of the cells is worn out, on average.

    Args:
        pulses: of every cell in one use of the chip, such as a search.
        median: pulses that a cell survives.
        spread: of its logarithm.
        tolerated: share of the cells that may wear out, above 0 and below 1.

    Returns:
        A number of uses, 0 or more, not rounded; infinite where no cell is pulsed, or more than
        the tolerated share never is.
    """
    touched = pulses[pulses > 0].double()
    if float(len(touched)) <= tolerated * pulses.numel():
        return math.inf
    low, high = -math.log(_LONGEST), math.log(_LONGEST)
    for _ in range(100):
        middle = 0.5 * (low + high)
        share = worn_out_probability(touched * math.exp(middle), median=median, spread=spread)
        if float(share.sum()) > tolerated * pulses.numel():
            high = middle
        else:
            low = middle
    return math.exp(low)


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
