"""Percolation: when do defects on a lattice first connect the two electrodes?

A site turns into a defect at a time of its own; the oxide breaks down when a path of
neighbouring defects (faces, edges and corners) joins bottom and top. Times are counted in units
of the time at which the expected number of defects per site is one, so that a lattice's
threshold is a pure number, whatever the voltage.

Source: Suñé, IEEE Electron Device Lett. 22, 2001; Degraeve et al., IEEE Trans. Electron Devices
45, 1998.
"""

import math

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Floats = NDArray[np.float64]

# Neighbours within a lattice, none from one cell to the next.
_NEIGHBOURS = np.zeros((3, 3, 3, 3), dtype=bool)
_NEIGHBOURS[1] = True
# Halvings of the interval that holds a threshold: beyond the resolution of a double.
_HALVINGS = 54


def site_times(uniforms: Floats, *, exponent: float) -> Floats:
    """When each site turns into a defect: P(time < u) = 1 - exp(-u^exponent).

    Args:
        uniforms: in (0, 1), any shape.
        exponent: of time in the expected number of defects; 1 for a constant rate.
    """
    times: Floats = (-np.log(uniforms)) ** (1.0 / exponent)
    return times


def thresholds(times: Floats) -> Floats:
    """The time at which each lattice percolates: the least, over all paths, of a path's last site.

    Args:
        times: (cells, layers, rows, columns), current flows along the layers.

    Returns:
        (cells,), each one of that lattice's own times.
    """
    ordered = np.sort(times.reshape(len(times), -1), axis=1)
    low = np.full(len(times), -1)
    high = np.full(len(times), ordered.shape[1] - 1)
    # Bisection over ranks: the lattice of rank `high` percolates, that of rank `low` does not.
    for _ in range(_HALVINGS):
        if not (high - low > 1).any():
            break
        middle = (low + high) // 2
        level = np.take_along_axis(ordered, middle.clip(0)[:, None], axis=1)
        spans = percolates(times <= level[:, :, None, None])
        high, low = np.where(spans, middle, high), np.where(spans, low, middle)
        low = np.minimum(low, high - 1)
    found: Floats = np.take_along_axis(ordered, high[:, None], axis=1)[:, 0]
    return found


def percolates(defects: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Whether defects join first and last layer, for lattices (cells, layers, rows, columns)."""
    labels, _ = ndimage.label(defects, structure=_NEIGHBOURS)
    return np.array([bool(_spanning(one)) for one in labels])


def spanning_cluster(defects: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The defects of one lattice (layers, rows, columns) that belong to a path between electrodes.

    Empty where none percolates; of several clusters all are in it.
    """
    labels, _ = ndimage.label(defects, structure=_NEIGHBOURS[1])
    return np.isin(labels, list(_spanning(labels)))


def column_failure(time: Floats, *, layers: int, columns: int, exponent: float) -> Floats:
    """Share of cells broken down by a time if only straight columns could conduct.

    F = 1 - (1 - q^n)^N with q the share of defects: the closed form behind the slope law. For
    small q the Weibit ln(-ln(1 - F)) is ln N + exponent x n x ln(time): its slope is proportional
    to the thickness, and area shifts it.

    Args:
        time: in units of the site times, any shape.
        layers: sites n across the oxide.
        columns: N, of the cell.
        exponent: see `site_times`.
    """
    share = -np.expm1(-(time**exponent))
    failed: Floats = -np.expm1(columns * np.log1p(-(share**layers)))
    return failed


def weibull_slope(samples: Floats) -> float:
    """Slope of the Weibit against ln(sample), through the quartiles of the samples."""
    lower, upper = np.quantile(samples, (0.25, 0.75))
    rise = math.log(-math.log(0.25)) - math.log(-math.log(0.75))
    return rise / math.log(upper / lower)


def _spanning(labels: NDArray[np.int32]) -> set[int]:
    return (set(np.unique(labels[0])) & set(np.unique(labels[-1]))) - {0}
