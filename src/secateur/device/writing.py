"""Write-and-verify: the conventional way to a conductance of choice, and what it leaves behind."""

import torch
from torch import Tensor


def next_aim(aim: Tensor, *, read: Tensor, target: Tensor) -> Tensor:
    """The median to ask of the next SET, corrected by what the last one gave.

    A cell's own (frozen) part is a constant factor between what is asked and what comes, so the
    ratio of target to reading corrects it in one step, but for the cycle-to-cycle part.

    Args:
        aim: siemens asked last, any shape.
        read: siemens read back.
        target: siemens wanted.
    """
    return aim * (target / read.clamp_min(1e-12)).clamp(0.2, 5.0)


def nearest_level(aim: Tensor, *, low: float, high: float, levels: int) -> Tensor:
    """The conductance to ask for where only so many levels can be asked for, evenly from low to
    high; 0 levels: any conductance, the aim itself.

    Args:
        aim: siemens, any shape.
        low: siemens of the first level.
        high: siemens of the last one.
        levels: 0, or 2 and more; 1 leaves the high level alone.
    """
    if levels == 0:
        return aim
    if levels == 1:
        return torch.full_like(aim, high)
    step = (high - low) / (levels - 1)
    return low + ((aim - low) / step).round().clamp(0, levels - 1) * step


def relaxed(conductance: Tensor, draw: Tensor, *, deviation: Tensor) -> Tensor:
    """Conductance after it has settled from a write: Gaussian, as measured a moment later.

    NeuRRAM (Wan et al., Nature 608, 2022) finds this relaxation, not the verify step, to limit
    the accuracy of written cells. Never below zero.

    Args:
        conductance: siemens right after the last verified pulse, any shape.
        draw: standard normals, the same shape.
        deviation: siemens, the same shape: standard deviation of what is left.
    """
    return (conductance + deviation * draw).clamp_min(0.0)
