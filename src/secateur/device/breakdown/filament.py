"""The filament: the path that breakdown leaves, grown until the compliance stops it.

Every hop between neighbouring defects, and from an electrode to a defect of the layer next to
it, conducts alike; the filament is that network of resistors.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import constants

from secateur.errors import SettingError

# 2 e^2 / h: what one open quantum channel conducts, 77.5 uS.
CONDUCTANCE_QUANTUM = 2.0 * constants.e**2 / constants.h

Sites = NDArray[np.int64]


@dataclass(frozen=True)
class Filament:
    """Defects that carry the current of a formed cell.

    Args:
        sites: (n, 3) layer, row, column; those that broke the oxide down come first.
        born: number of those; the others were grown.
        layers: of the oxide.
        conductance: siemens.
    """

    sites: Sites
    born: int
    layers: int
    conductance: float


def network_conductance(sites: Sites, *, layers: int, hop: float) -> float:
    """Conductance in siemens between the electrodes, by Kirchhoff's laws.

    Args:
        sites: (n, 3) layer, row, column of defects; those that hang loose carry nothing.
        layers: of the oxide; electrodes lie below layer 0 and above the last one.
        hop: siemens of one hop.
    """
    apart = np.abs(sites[:, None] - sites[None]).max(axis=2)
    joined = (apart == 1).astype(float)
    bottom, top = (sites[:, 0] == 0) * 1.0, (sites[:, 0] == layers - 1) * 1.0
    laplacian = np.diag(joined.sum(axis=1) + bottom + top) - joined
    # A cluster without an electrode floats: hold it by a conductance that carries nothing.
    laplacian[np.diag_indices_from(laplacian)] += 1e-12
    voltages = np.linalg.solve(laplacian, bottom)
    return float(hop * (bottom * (1.0 - voltages)).sum())


def grown(
    born: Sites, *, layers: int, stop: float, hop: float, draws: np.random.Generator,
    limit: int = 400,
) -> Filament:  # fmt: skip
    """A filament grown defect by defect until it conducts as much as the compliance allows.

    The current heats its surroundings: each empty neighbour of the filament is the next defect
    with equal chance (assumption). The last defect carries it above `stop`, by chance more or
    less far: that is where the spread and the right skew of formed conductances come from.

    Args:
        born: (n, 3), the spanning cluster at breakdown.
        layers: of the oxide.
        stop: siemens at which the current reaches the compliance.
        hop: siemens of one hop.
        draws: of the growth.
        limit: most defects to add.

    Raises:
        SettingError: where so many defects do not carry the compliance current.
    """
    sites = born
    conductance = network_conductance(sites, layers=layers, hop=hop)
    while conductance < stop:
        if len(sites) - len(born) >= limit:
            raise SettingError(
                f"{limit} defects more do not make a filament of {stop:g} S",
                cause="the compliance current is too high for hops that conduct so little",
                remedy="Lower the compliance, or give a larger conductance of a hop",
            )
        around = _neighbours(sites, layers)
        sites = np.concatenate([sites, around[draws.integers(len(around))][None]])
        conductance = network_conductance(sites, layers=layers, hop=hop)
    return Filament(sites, len(born), layers, conductance)


_OFFSETS = np.array(
    [
        (layer, row, column)
        for layer in (-1, 0, 1)
        for row in (-1, 0, 1)
        for column in (-1, 0, 1)
        if (layer, row, column) != (0, 0, 0)
    ]
)


def _neighbours(sites: Sites, layers: int) -> Sites:
    """Empty sites next to the filament, each once, in a fixed order."""
    around: Sites = np.unique((sites[:, None] + _OFFSETS[None]).reshape(-1, 3), axis=0)
    around = around[(around[:, 0] >= 0) & (around[:, 0] < layers)]
    taken = (around[:, None] == sites[None]).all(axis=2).any(axis=1)
    empty: Sites = around[~taken]
    return empty
