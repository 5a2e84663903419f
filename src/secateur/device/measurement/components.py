"""Variance components: how much of a spread is the cell's, the cycle's, the read's.

Intervals come from drawing whole cells with replacement: the reads of a cell belong together.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_RESAMPLES = 400


@dataclass(frozen=True)
class Estimate:
    """A fitted number with its 95 % confidence interval, in the unit of its parameter."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Groups:
    """Reads of one cell after one pulse, brought together.

    Args:
        cell: number of the cell, 0 ... cells - 1, of each group.
        mean: of the reads.
        variance: of the reads among themselves; 0 where there is one.
        reads: how many.
    """

    cell: Ints
    mean: Floats
    variance: Floats
    reads: Ints

    @property
    def cells(self) -> int:
        """How many cells."""
        return int(self.cell.max()) + 1 if len(self.cell) else 0


def grouped(cell: Ints, pulse: Ints, values: Floats) -> Groups:
    """Reads by cell and pulse; cells are numbered anew from 0."""
    _, numbered = np.unique(cell, return_inverse=True)
    keys, place = np.unique(np.stack([numbered, pulse]), axis=1, return_inverse=True)
    place = place.ravel()
    count = np.bincount(place)
    mean = np.bincount(place, values) / count
    squares = np.bincount(place, (values - mean[place]) ** 2)
    return Groups(keys[0], mean, squares / np.maximum(count - 1, 1), count)


def components(groups: Groups, weights: Floats, *, noise: float) -> tuple[float, float, float]:
    """Mean of ln G, and its standard deviations from cell to cell and from pulse to pulse.

    One-way analysis of variance with unequal groups (Searle, Casella and McCulloch, Variance
    Components, 1992, section 3.6); what the noise of the reads adds is taken off.

    Args:
        groups: of conductances.
        weights: how often each cell counts.
        noise: of one read, over the conductance.

    Returns:
        Mean, cell to cell, pulse to pulse; the last is nan where no cell has two pulses.
    """
    logs, cells = np.log(groups.mean), groups.cells
    pulses = np.bincount(groups.cell, minlength=cells)
    means = np.bincount(groups.cell, logs, minlength=cells) / pulses
    inside = np.bincount(groups.cell, (logs - means[groups.cell]) ** 2, minlength=cells)
    added = noise**2 * float(np.mean(1.0 / groups.reads))
    total, drawn = float(weights @ pulses), float(weights.sum())
    centre = float(weights @ (pulses * means)) / total
    between = float(weights @ (pulses * (means - centre) ** 2)) / (drawn - 1.0)
    free = float(weights @ (pulses - 1))
    mean = float(weights @ means) / drawn
    if free == 0.0:
        return mean, max(between - added, 0.0) ** 0.5, float("nan")
    within = float(weights @ inside) / free
    effective = (total - float(weights @ pulses**2) / total) / (drawn - 1.0)
    device = max(between - within, 0.0) / effective
    return mean, device**0.5, max(within - added, 0.0) ** 0.5


def resampled(
    statistic: Callable[[Floats], Floats], cells: int, *, draws: np.random.Generator
) -> list[Estimate]:
    """Estimates with intervals of a statistic of cells' weights, by drawing whole cells anew.

    Args:
        statistic: from weights (cells,) to numbers.
        cells: how many.
        draws: of the resampling.
    """
    value = np.asarray(statistic(np.ones(cells)))
    weights = draws.multinomial(cells, np.full(cells, 1.0 / cells), size=_RESAMPLES)
    found = np.array([statistic(one.astype(float)) for one in weights])
    # What the data cannot give is nan in every resample, and in its interval.
    unknown = np.isnan(found).all(axis=0)
    low, high = np.nanquantile(np.where(unknown, 0.0, found), (0.025, 0.975), axis=0)
    low, high = (np.where(unknown, np.nan, end) for end in (low, high))
    return [Estimate(*map(float, row)) for row in zip(value, low, high, strict=True)]
