"""Digital drift compensation: scales found on a few calibration reads, multiplied afterwards.

The same calibration inputs are sent through a fresh array and through the aged one. What the
outputs have lost in common is given back by a digital factor; no pulse is sent. Scatter between
cells, and noise, stay.
"""

import torch
from torch import Tensor

from secateur.errors import SettingError


def global_scale(fresh: Tensor, aged: Tensor) -> Tensor:
    """One factor for an array: the sum of absolute outputs then, over that of now.

    Joshi et al., Nat. Commun. 11, 2020, compensate PCM arrays so.

    Args:
        fresh: calibration outputs of the fresh array, (n, outputs), any unit.
        aged: outputs for the same inputs now, the same shape and unit.

    Returns:
        A scalar to multiply outputs by.

    Raises:
        SettingError: for shapes that differ, and for an aged array without any output.
    """
    _check(fresh, aged)
    left = aged.abs().sum()
    if not float(left) > 0.0:
        raise _nothing_left("the array")
    return fresh.abs().sum() / left


def column_scale(fresh: Tensor, aged: Tensor) -> Tensor:
    """One factor for each output line: the least-squares fit of then by now.

    Noise of the aged outputs pulls the factors towards zero: average repeated reads first.

    Args:
        fresh: calibration outputs of the fresh array, (n, outputs), any unit.
        aged: outputs for the same inputs now, the same shape and unit.

    Returns:
        Factors (outputs,) to multiply outputs by.

    Raises:
        SettingError: for shapes that differ, and for an output line without any output now.
    """
    _check(fresh, aged)
    power = aged.square().sum(dim=0)
    if not bool((power > 0.0).all()):
        raise _nothing_left(f"output line {int((power <= 0.0).nonzero()[0])}")
    return (fresh * aged).sum(dim=0) / power


def _check(fresh: Tensor, aged: Tensor) -> None:
    if fresh.shape != aged.shape or fresh.dim() != 2 or not fresh.numel():
        raise SettingError(
            f"Outputs of shapes {tuple(fresh.shape)} then and {tuple(aged.shape)} now",
            cause="they belong to other calibration inputs, or to one vector",
            remedy="Give the outputs (n, outputs) of the same inputs",
        )
    if not bool(torch.isfinite(fresh).all() and torch.isfinite(aged).all()):
        raise SettingError(
            "Calibration outputs that are not finite cannot give a scale",
            remedy="Read them again",
        )


def _nothing_left(what: str) -> SettingError:
    return SettingError(
        f"No current is left to scale up: {what} reads zero",
        cause="a broken line, or inputs of zero",
        remedy="Leave it out, or give calibration inputs that reach it",
    )
