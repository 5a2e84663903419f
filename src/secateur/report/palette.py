"""The colours of the page, each with a light and a dark face, as CSS variables.

A figure is drawn once with the light faces; `drawing` then replaces each by its variable, so that
the reader's colour scheme decides. Every face has a contrast of at least 3 against its paper.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Colour:
    """A colour by name, with its face on light and on dark paper (hexadecimal RGB)."""

    name: str
    light: str
    dark: str

    @property
    def variable(self) -> str:
        """The CSS that stands for it on the page."""
        return f"var(--{self.name})"


PAPER = Colour("paper", "#fcfbf8", "#15181b")
INK = Colour("ink", "#23282d", "#e8e6e1")
MUTED = Colour("muted", "#646b72", "#a2a8ae")
RULE = Colour("rule", "#e3dfd6", "#30363b")
SURFACE = Colour("surface", "#f4f1ea", "#1d2125")
ACCENT = Colour("accent", "#0b7a5c", "#4fc9a1")
SET = Colour("set", "#2f6fb0", "#78b2ee")
RESET = Colour("reset", "#bf4a14", "#f0905e")

SLATE = Colour("slate", "#5b6473", "#abb3be")
INDIGO = Colour("indigo", "#4f46b9", "#9d98f5")
RUST = Colour("rust", "#c2420d", "#f28b5c")
OCHRE = Colour("ochre", "#a16206", "#e0b04d")
STONE = Colour("stone", "#857d75", "#a9a097")
COCOA = Colour("cocoa", "#8a5a44", "#c79a83")
ORCHID = Colour("orchid", "#a2478f", "#e093cd")
MOSS = Colour("moss", "#5a8a1f", "#a5cf6e")
LEAF = Colour("leaf", "#0b7a5b", "#4fc9a0")
LAGOON = Colour("lagoon", "#0e7fa4", "#5cc7ee")
MIDNIGHT = Colour("midnight", "#17206f", "#4a78f0")

PAGE_COLOURS = (PAPER, INK, MUTED, RULE, SURFACE, ACCENT, SET, RESET)
SERIES_COLOURS = (
    SLATE, INDIGO, RUST, OCHRE, STONE, COCOA, ORCHID, MOSS, LEAF, LAGOON, MIDNIGHT
)  # fmt: skip
COLOURS = PAGE_COLOURS + SERIES_COLOURS
BY_LIGHT_FACE = {colour.light: colour for colour in COLOURS}


def style_sheet() -> str:
    """The declarations of all variables, for both colour schemes."""
    light = "".join(f"--{c.name}:{c.light};" for c in COLOURS)
    dark = "".join(f"--{c.name}:{c.dark};" for c in COLOURS)
    return f":root{{{light}}}@media (prefers-color-scheme: dark){{:root{{{dark}}}}}"
