"""How an arm looks and what it is, in a line of plain words."""

from dataclasses import dataclass

from markupsafe import Markup

from secateur.report import palette
from secateur.report.palette import Colour

Dash = tuple[int, tuple[int, ...]]
SOLID: Dash = (0, ())
DASHED: Dash = (0, (5, 2))
DOTTED: Dash = (0, (1, 2))
DASH_DOT: Dash = (0, (6, 2, 1, 2))


@dataclass(frozen=True)
class Look:
    """An arm's colour, marker (matplotlib's word for it), line and description."""

    colour: Colour
    marker: str
    dash: Dash = SOLID
    words: str = ""


LOOKS = {
    "digital": Look(palette.SLATE, "s", DASHED, "trained, floating point"),
    "digital-quantised": Look(palette.INDIGO, "s", SOLID, "trained, quantised"),
    "programmed": Look(palette.RUST, "v", SOLID, "trained, then written"),
    "programmed-aware": Look(palette.OCHRE, "^", DASHED, "noise-trained, written"),
    "random": Look(palette.STONE, "d", DOTTED, "chip as formed"),
    "random-mask": Look(palette.COCOA, "X", DOTTED, "a random part pruned"),
    "readout": Look(palette.ORCHID, "P", DASH_DOT, "last layer trained"),
    "pruned-ideal": Look(palette.MOSS, "h", DASHED, "search, ideal weights"),
    "pruned": Look(palette.LEAF, "o", SOLID, "search, edge is a pair"),
    "pruned-cells": Look(palette.LAGOON, "D", SOLID, "search, edge is a cell"),
    "pruned-summed": Look(palette.MIDNIGHT, "D", DASHED, "search, sums of pairs"),
}

# The searches on the chip itself, by what they prune.
GRAINS = {
    "pruned": "pairs", "pruned-cells": "cells", "pruned-summed": "cells of summed pairs"
}  # fmt: skip

# A 12 x 12 box, centred; for the legends and tables, which are words and not pictures.
MARKER_PATHS = {
    "s": "M2 2h8v8h-8z",
    "v": "M1 2h10l-5 9z",
    "^": "M1 10h10l-5-9z",
    "d": "M6 0l3.5 6l-3.5 6l-3.5-6z",
    "D": "M6 .5l5.5 5.5l-5.5 5.5l-5.5-5.5z",
    "X": "M3.5 1l2.5 2.5l2.5-2.5l2.5 2.5l-2.5 2.5l2.5 2.5l-2.5 2.5l-2.5-2.5l-2.5 2.5"
    "l-2.5-2.5l2.5-2.5l-2.5-2.5z",
    "P": "M4 1h4v3h3v4h-3v3h-4v-3h-3v-4h3z",
    "h": "M6 .5l4.8 2.75v5.5l-4.8 2.75l-4.8-2.75v-5.5z",
    "o": "M6 1.2a4.8 4.8 0 1 0 .001 0z",
}


def look_of(arm: str) -> Look:
    """The look of an arm; one that this page has never heard of borrows a colour for keeps."""
    if arm in LOOKS:
        return LOOKS[arm]
    # Not `hash`: it differs between processes, and the same record shall give the same page.
    place = sum(arm.encode())
    colours, markers = palette.SERIES_COLOURS, sorted(MARKER_PATHS)
    return Look(colours[place % len(colours)], markers[place % len(markers)], DASHED)


def swatch(arm: str) -> Markup:
    """The arm's line and marker as a small inline picture, to stand beside its name."""
    look = look_of(arm)
    dash = f'stroke-dasharray="{" ".join(map(str, look.dash[1]))}"' if look.dash[1] else ""
    return Markup(
        f'<svg class="swatch" viewBox="0 0 26 12" aria-hidden="true" '
        f'style="color:{look.colour.variable}">'
        f'<path d="M0 6h26" stroke="currentColor" stroke-width="1.6" {dash}/>'
        f'<path d="{MARKER_PATHS[look.marker]}" transform="translate(7 0)" fill="currentColor"/>'
        f"</svg>"
    )
