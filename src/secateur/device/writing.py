"""Write-and-verify: the conventional way to a conductance of choice, and what it leaves behind."""

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


def relaxed(
    conductance: Tensor, draw: Tensor, *, programming_error: float, full_scale: float
) -> Tensor:
    """Conductance after it has settled from a write: Gaussian, as measured a moment later.

    NeuRRAM (Wan et al., Nature 608, 2022) finds this relaxation, not the verify step, to limit
    the accuracy of written cells. Never below zero.

    Args:
        conductance: siemens right after the last verified pulse, any shape.
        draw: standard normals, the same shape.
        programming_error: standard deviation over `full_scale`.
        full_scale: siemens.
    """
    return (conductance + programming_error * full_scale * draw).clamp_min(0.0)
