"""Electroforming: a voltage pulse breaks the oxide of a pristine cell down, once and for good."""

import math

import torch
from torch import Tensor


def breakdown_voltage(
    draw: Tensor, *, mean: float, spread: float, slope: float, width: float, reference_width: float
) -> Tensor:
    """The voltage at which each cell breaks down under a pulse of the given width.

    Normal from cell to cell; a tenfold longer pulse lowers it by `slope` (time-dependent
    dielectric breakdown under an exponential field law). Each pulse is taken on its own: stress
    does not add up over pulses (assumption).

    Args:
        draw: standard normals, one per cell, any shape.
        mean: volts, at the reference width.
        spread: volts, standard deviation from cell to cell.
        slope: volts per decade of pulse width.
        width: seconds, of the pulse.
        reference_width: seconds, at which `mean` holds.

    Returns:
        Volts, the shape of `draw`.
    """
    return mean + spread * draw - slope * math.log10(width / reference_width)


def formed_fraction(
    voltage: float, *, mean: float, spread: float, slope: float, width: float,
    reference_width: float,
) -> float:  # fmt: skip
    """The expected share of cells that one pulse forms: the normal law of `breakdown_voltage`."""
    shifted = mean - slope * math.log10(width / reference_width)
    if spread == 0.0:
        return float(voltage >= shifted)
    return 0.5 * math.erfc((shifted - voltage) / (spread * math.sqrt(2.0)))


def forming_voltage(
    fraction: float, *, mean: float, spread: float, slope: float, width: float,
    reference_width: float,
) -> float:  # fmt: skip
    """The pulse amplitude in volts that forms the given share of cells: `formed_fraction` solved.

    Args:
        fraction: above 0 and below 1.
    """
    quantile = float(torch.special.ndtri(torch.tensor(fraction, dtype=torch.float64)))
    return mean + spread * quantile - slope * math.log10(width / reference_width)
