"""Reading: every read of a cell is noisy, by a share of its conductance."""

from torch import Tensor


def read_deviation(conductance: Tensor, *, read_noise: float) -> Tensor:
    """Standard deviation in siemens of one read of each cell: a constant share of it.

    Args:
        conductance: siemens, any shape.
        read_noise: standard deviation over conductance.
    """
    return conductance * read_noise


def noisy_read(conductance: Tensor, draw: Tensor, *, read_noise: float) -> Tensor:
    """One read of each cell in siemens, given standard normals of the same shape."""
    return conductance + read_deviation(conductance, read_noise=read_noise) * draw


def pair_deviation(high: Tensor, low: Tensor, *, read_noise: float) -> Tensor:
    """Standard deviation in siemens of a pair's read difference.

    The noises of two cells are independent, so their variances add: one draw per pair is exact in
    distribution for a difference.

    Args:
        high: siemens, cells of the + columns, any shape.
        low: siemens, cells of the - columns, the same shape.
        read_noise: standard deviation over conductance.
    """
    return (high.square() + low.square()).sqrt_().mul_(read_noise)
