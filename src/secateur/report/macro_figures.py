"""The chip in pictures: the conductances and the wear of its macros, cell by cell."""

from dataclasses import dataclass

import numpy as np

from secateur.report import numbers, palette
from secateur.report.maps import Array, ChipMaps, MacroMaps
from secateur.report.png import data_uri, to_levels
from secateur.report.ramps import STEPS, glow, gradient, sequential

SHOWN_MACROS = 2
MICRO = 1e6


@dataclass(frozen=True)
class Key:
    """The scale below a map: its gradient and the words at its ends."""

    gradient: str
    low: str
    high: str
    what: str


@dataclass(frozen=True)
class MapPlate:
    """A map of the page.

    Args:
        source: the image as a `data:` address.
        columns: cells from left to right.
        rows: cells from top to bottom.
        alt: what the picture shows, for those who do not see it.
        caption: what one sees, with units.
        key: its scale.
        title: a heading of a few words.
        width: display width in CSS pixels, where it is not the whole column.
        height: display height in CSS pixels, where it does not follow from the width.
    """

    source: str
    columns: int
    rows: int
    alt: str
    caption: str
    key: Key
    title: str = ""
    width: int = 512
    height: int | None = None


def macro_maps(maps: ChipMaps) -> list[MapPlate]:
    """Conductances as formed and final on one scale, and the pulses, for the first macros."""
    plates = []
    for name in list(maps.macros)[:SHOWN_MACROS]:
        macro, left_out = in_use(maps.macros[name])
        top = _top_conductance(macro)
        for array, title, words in (
            (macro.as_formed, "as formed", "as forming left them"),
            (macro.final, "final", "at the end of the run"),
        ):
            if array is not None and array.size:
                plates.append(
                    _conductance_map(array, top, f"Macro {name}, {title}", words + left_out)
                )
        if macro.pulses is not None and macro.pulses.size:
            told = maps.worst[1:] if maps.worst is not None and maps.worst[0] == name else None
            plates.append(_wear_map(macro.pulses, f"Macro {name}, wear", told))
    return plates


def in_use(macro: MacroMaps) -> tuple[MacroMaps, str]:
    """The part of a macro that has formed cells, where that is less than half; and what is not.

    Cells without an edge were never formed: all of them show the same, pristine, conductance.
    """
    formed = macro.as_formed
    if formed is None or not formed.size:
        return macro, ""
    used = np.argwhere(formed > formed.min())
    if not used.size:
        return macro, ""
    (top, left), (bottom, right) = used.min(axis=0), used.max(axis=0) + 1
    if (bottom - top) * (right - left) > formed.size / 2:
        return macro, ""
    part = MacroMaps(
        *(
            None if array is None or array.shape != formed.shape else array[top:bottom, left:right]
            for array in (macro.as_formed, macro.final, macro.pulses)
        )
    )
    words = f"; rows {top}–{bottom - 1} and columns {left}–{right - 1}"
    return part, f"{words} of {formed.shape[0]} × {formed.shape[1]}, where cells were formed"


def unshown_macros(maps: ChipMaps) -> int:
    """How many macros the page leaves to the file."""
    return max(0, len(maps.macros) - SHOWN_MACROS)


def _top_conductance(macro: MacroMaps) -> float:
    tops = [
        float(np.nanquantile(array, 0.999))
        for array in (macro.as_formed, macro.final)
        if array is not None and array.size
    ]
    return max(tops, default=0.0) or 1e-6


def _conductance_map(array: Array, top: float, title: str, words: str) -> MapPlate:
    colours = sequential("viridis")
    low, middle, high = (float(q) * MICRO for q in np.nanquantile(array, (0.05, 0.5, 0.95)))
    return MapPlate(
        source=data_uri(to_levels(array, 0.0, top, STEPS), list(colours)),
        columns=array.shape[1],
        rows=array.shape[0],
        title=title,
        alt=f"{title}: conductance map of {array.shape[0]} by {array.shape[1]} cells, median "
        f"{middle:.3g} microsiemens, nine in ten between {low:.3g} and {high:.3g}",
        caption=f"Conductances {words}. One dot a cell: rows are input lines, columns output "
        "lines; where there is no edge, the cell is drawn pristine.",
        key=Key(gradient(colours), "0", f"{numbers.plain(top * MICRO)} or more", "µS"),
    )


def _wear_map(array: Array, title: str, told: tuple[int, int] | None) -> MapPlate:
    most = int(array.max())
    # Of cells that are worn alike the page names one, that which the record tells of.
    worst = np.argwhere(array == most)
    row, column = worst[0]
    if told is not None and (worst == told).all(axis=1).any():
        row, column = told
    # A few cells wear far more than the rest; on a scale up to them, the rest would be one colour.
    top = max(1, int(np.quantile(array[array > 0], 0.99))) if most else 1
    steps = min(STEPS, top + 1)
    colours = glow(palette.OCHRE, palette.ORCHID, steps)
    touched = float((array > 0).mean())
    return MapPlate(
        source=data_uri(to_levels(array, 0, top + 1, steps), list(colours)),
        columns=array.shape[1],
        rows=array.shape[0],
        title=title,
        alt=f"{title}: SET and RESET pulses of each cell, at most {most}; "
        f"{100 * touched:.0f} percent of the cells saw any",
        caption=f"SET and RESET pulses each cell received. {numbers.percent(touched, 0)} of the "
        f"cells saw any; the most worn one, in row {row} and column {column}, saw "
        f"{numbers.count(most)}.",
        key=Key(gradient(colours), "0", f"{top} or more" if most > top else str(top), "pulses"),
    )
