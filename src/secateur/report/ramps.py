"""The colour scales of the maps, as palettes for images and as gradients for their keys."""

from functools import cache

import matplotlib

from secateur.report.palette import Colour
from secateur.report.png import Rgba

STEPS = 24


@cache
def sequential(name: str, number: int = STEPS) -> tuple[Rgba, ...]:
    """Opaque colours of one of matplotlib's perceptually even scales."""
    scale = matplotlib.colormaps[name]
    colours = []
    for place in range(number):
        red, green, blue, _ = scale(place / max(number - 1, 1))
        colours.append((round(255 * red), round(255 * green), round(255 * blue), 255))
    return tuple(colours)


def veil(colour: Colour, number: int = 2) -> tuple[Rgba, ...]:
    """One colour from transparent to opaque, so that the paper shows through at zero.

    A PNG cannot ask for the reader's scheme: it takes the mean of the light and the dark face.
    """
    red, green, blue = _middle(colour)
    return tuple((red, green, blue, round(255 * n / (number - 1))) for n in range(number))


def glow(faint: Colour, strong: Colour, number: int = STEPS) -> tuple[Rgba, ...]:
    """Nothing at zero, then from one colour to another, visible from the first step on."""
    one, other = _middle(faint), _middle(strong)
    colours: list[Rgba] = [(*one, 0)]
    for step in range(1, number):
        share = (step - 1) / max(number - 2, 1)
        red, green, blue = (round(a + share * (b - a)) for a, b in zip(one, other, strict=True))
        colours.append((red, green, blue, round(150 + 105 * share)))
    return tuple(colours)


def diverging(below: Colour, above: Colour, number: int = STEPS + 1) -> tuple[Rgba, ...]:
    """Two veils back to back, transparent at zero."""
    half = number // 2 + 1
    return (*reversed(veil(below, half)), *veil(above, half)[1:])


def gradient(palette: tuple[Rgba, ...]) -> str:
    """The palette as a CSS gradient from left to right, in hard steps where it has few colours."""
    chosen = palette[:: max(1, (len(palette) - 1) // 8)]
    colours = [f"rgb({r} {g} {b} / {a / 255:.2f})" for r, g, b, a in chosen]
    if len(palette) <= 4:
        width = 100 / len(colours)
        colours = [f"{c} {n * width:.0f}% {(n + 1) * width:.0f}%" for n, c in enumerate(colours)]
    return f"linear-gradient(to right,{','.join(colours)})"


def _middle(colour: Colour) -> tuple[int, int, int]:
    faces = [bytes.fromhex(face[1:]) for face in (colour.light, colour.dark)]
    red, green, blue = ((one + other) // 2 for one, other in zip(*faces, strict=True))
    return red, green, blue
