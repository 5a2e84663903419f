"""Filaments in cross-section: the picture that the microscope gave."""

from typing import TYPE_CHECKING

import numpy as np

from secateur.device.breakdown.filament import Filament
from secateur.device.breakdown.oxide import FormedCells, Oxide

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_BORN, _GROWN, _METAL = "#b3261e", "#e6a23c", "#8a8f98"


def draw_filaments(oxide: Oxide, formed: FormedCells) -> "Figure":
    """A weak, a typical and a strong cell: lowest, median and highest breakdown voltage.

    Each filament is seen from the side: defects that broke the oxide down, and those that grew
    until the compliance stopped them, with the hops that conduct between them.
    """
    from matplotlib.figure import Figure

    order = formed.voltage.argsort().tolist()
    chosen = {"weak": order[0], "typical": order[len(order) // 2], "strong": order[-1]}
    figure = Figure(figsize=(10.5, 3.8), layout="constrained")
    axes = figure.subplots(1, len(chosen), sharey=True)
    for place, (name, cell) in zip(axes, chosen.items(), strict=True):
        filament = formed.filaments[cell]
        _draw(place, filament, oxide)
        place.set_title(
            f"{name}: {float(formed.voltage[cell]):.2f} V, {1e6 * filament.conductance:.1f} µS",
            fontsize=10,
        )
    axes[0].set_ylabel("height / nm")
    handles = [
        axes[0].scatter([], [], color=colour, label=label)
        for colour, label in ((_BORN, "at breakdown"), (_GROWN, "grown to the compliance"))
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=2, frameon=False)
    return figure


def _draw(place: "Axes", filament: Filament, oxide: Oxide) -> None:
    scale, sites = 1e9 * oxide.site, filament.sites
    across = scale * (sites[:, 2] - sites[:, 2].mean())
    height = scale * (sites[:, 0] + 0.5)
    for one, other in np.argwhere(np.triu(np.abs(sites[:, None] - sites).max(axis=2) == 1)):
        place.plot(across[[one, other]], height[[one, other]], color=_METAL, lw=0.8, zorder=1)
    late = np.arange(len(sites)) >= filament.born
    for chosen, colour in ((~late, _BORN), (late, _GROWN)):
        place.scatter(across[chosen], height[chosen], s=42, color=colour, zorder=2)
    top = scale * filament.layers
    place.axhspan(-0.12 * top, 0.0, color=_METAL)
    place.axhspan(top, 1.12 * top, color=_METAL)
    place.set_ylim(-0.12 * top, 1.12 * top)
    wide = max(0.6 * top, float(np.abs(across).max()) + scale)
    place.set_xlim(-wide, wide)
    place.set_aspect("equal")
    place.set_xlabel("across / nm")
