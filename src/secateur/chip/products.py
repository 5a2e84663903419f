"""Currents of a simulated chip's columns: sums of what its cells read, with noise drawn as one."""

from typing import Any

import torch.nn.functional as F
from torch import Tensor

from secateur.chip.chip import PairStatistics
from secateur.chip.placement import Region
from secateur.chip.window import Window
from secateur.errors import ChipError
from secateur.keyed import normal


def check_inputs(region: Region, given: int) -> None:
    """Refuses voltages of another number than a region's input lines.

    Raises:
        ChipError: naming both.
    """
    inputs, _ = region.matrix
    if given != inputs:
        raise ChipError(f"{given} voltages for {inputs} input lines", where=region.name)


def currents(region: Region, known: PairStatistics, voltages: Tensor, *, key: int) -> Tensor:
    """Amperes (n, outputs) of voltages (n, inputs).

    Independent Gaussian noises of cells sum to one of the column, of variance sum (deviation x
    voltage)^2, so that one draw per output is exact in distribution.
    """
    check_inputs(region, voltages.shape[-1])
    first, spread = region.as_matrix(known.difference), region.as_matrix(known.deviation)
    variance = voltages.square() @ spread.square()
    draw = normal(variance.shape, key=key, device=voltages.device)
    return voltages @ first + variance.sqrt() * draw


def convolved(
    region: Region, known: PairStatistics, maps: Tensor, window: Window, *, key: int
) -> Tensor:
    """`currents` of every patch, (N, outputs, *places): two convolutions, and the same draws."""
    check_inputs(region, maps.shape[1] * known.difference[0, 0].numel())
    how: dict[str, Any] = {
        "stride": window.stride,
        "padding": window.padding,
        "dilation": window.dilation,
    }
    convolve: Any = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}[len(window.kernel)]
    mean = convolve(maps, known.difference, **how)
    # A sum of squares may come out a rounding error below zero.
    variance = convolve(maps.square(), known.deviation.square(), **how).clamp_min_(0.0)
    rows = (mean.numel() // mean.shape[1], mean.shape[1])
    draw = window.laid_out(normal(rows, key=key, device=maps.device), maps)
    result: Tensor = mean.addcmul_(variance.sqrt_(), draw)
    return result
