"""Draws with matplotlib and hands out inline SVG that obeys the page's style sheet.

Text stays text (the reader's system font), colours become CSS variables, ids are made unique, and
every picture is drawn twice, for a wide and for a narrow window, so that letters keep their size.
"""

import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import matplotlib
from markupsafe import Markup, escape
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator, NullLocator

from secateur.report import numbers, palette

NARROW_WIDTH = 350
WIDE_WIDTHS = {"full": 1080, "half": 528}
LETTERS = 12.0
SETTINGS: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "secateur",
    "text.parse_math": False,  # a label is a label, whatever dollars it contains
    "font.family": "DejaVu Sans",  # matplotlib brings it along: the same layout everywhere
    "font.size": LETTERS,
    "axes.unicode_minus": True,
}


@dataclass(frozen=True)
class Frame:
    """The room a picture has, in CSS pixels; heights are the drawer's choice."""

    width: int
    narrow: bool

    def figure(self, height: float) -> Figure:
        """An empty figure of this width, `height` pixels tall."""
        layout = ConstrainedLayoutEngine(w_pad=0.06, h_pad=0.06)
        return Figure(figsize=(self.width / 72, height / 72), layout=layout, dpi=72)

    def panels(
        self, number: int, height: float, *, stack: bool | None = None, **settings: Any
    ) -> tuple[Figure, list[Axes]]:
        """Several panels of `height` pixels each, side by side, one above the other if narrow."""
        stacked = self.narrow if stack is None else stack
        figure = self.figure(height * number if stacked else height)
        shape = (number, 1) if stacked else (1, number)
        axes = figure.subplots(*shape, squeeze=False, **settings)
        return figure, [style(panel) for panel in axes.flat]


Draw = Callable[[Frame], Figure]


@dataclass(frozen=True)
class Plate:
    """A figure of the page: its picture in two widths, what one sees, and a legend of arms."""

    wide: Markup
    narrow: Markup
    caption: str
    title: str = ""
    size: Literal["full", "half"] = "full"
    legend: Sequence[str] = field(default_factory=tuple)


def plate(
    key: str,
    draw: Draw,
    *,
    alt: str,
    caption: str,
    title: str = "",
    size: Literal["full", "half"] = "full",
    legend: Sequence[str] = (),
) -> Plate:
    """Draws a picture in both widths.

    Args:
        key: unique on the page; letters, digits and hyphens.
        draw: draws it into a frame.
        alt: what the picture shows, for those who do not see it.
        caption: what one sees, with units.
        title: a heading of a few words above it.
        size: "full" takes the page's width, "half" shares it with a neighbour.
        legend: arms whose swatches explain the picture.
    """
    wide = _svg(f"{key}-w", draw, Frame(WIDE_WIDTHS[size], narrow=False), alt)
    narrow = _svg(f"{key}-n", draw, Frame(NARROW_WIDTH, narrow=True), alt)
    return Plate(wide, narrow, caption, title, size, tuple(legend))


def style(axes: Axes, *, grid: Literal["x", "y", "both", "none"] = "y") -> Axes:
    """The house style: no box, no tick marks, quiet grid lines."""
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(palette.RULE.light)
    axes.patch.set_alpha(0)
    axes.tick_params(length=0, colors=palette.MUTED.light, labelsize=LETTERS - 1, pad=5)
    axes.set_axisbelow(True)
    axes.grid(visible=False)
    if grid != "none":
        axes.grid(visible=True, axis=grid, color=palette.RULE.light, linewidth=0.8)
    for label in (axes.xaxis.label, axes.yaxis.label):
        label.set(color=palette.MUTED.light, fontsize=LETTERS)
    return axes


def heading(axes: Axes, words: str) -> None:
    """A panel's heading, flush left."""
    axes.set_title(words, loc="left", fontsize=LETTERS, color=palette.INK.light, pad=8)


def few_ticks(axes: Axes, axis: Literal["x", "y"], number: int, *, whole: bool = False) -> None:
    """At most `number` intervals on an axis, on whole numbers where asked."""
    steps = [1, 2, 5, 10]
    _axis(axes, axis).set_major_locator(MaxNLocator(number, integer=whole, steps=steps))


def logarithmic(axes: Axes, axis: Literal["x", "y"]) -> None:
    """A logarithmic axis with plain numbers at its ticks."""
    (axes.set_xscale if axis == "x" else axes.set_yscale)("log")
    chosen = _axis(axes, axis)
    chosen.set_major_formatter(lambda value, _: numbers.plain(value))
    chosen.set_minor_locator(NullLocator())


def label_points(axes: Axes, points: Sequence[tuple[float, float, str, str]]) -> None:
    """Writes words beside points where they cover neither each other nor another point.

    Args:
        axes: with its limits set; the layout is computed here, once.
        points: x, y, words and colour, the most important first; those without room stay bare.
    """
    axes.figure.draw_without_rendering()  # type: ignore[union-attr]
    frame = axes.get_window_extent()
    spots = axes.transData.transform([(x, y) for x, y, _, _ in points])
    taken = [(x - 4, y - 4, x + 4, y + 4) for x, y in spots]
    for (x, y), (*where, words, colour) in zip(spots, points, strict=True):
        width, height = 0.6 * (LETTERS - 1) * len(words), LETTERS
        for right, up in ((6, 4), (6, -15), (-6 - width, 4), (-6 - width, -15), (8, -5)):
            box = (x + right, y + up, x + right + width, y + up + height)
            inside = frame.x0 <= box[0] and box[2] <= frame.x1 + 4
            if inside and not any(_overlap(box, other) for other in taken):
                axes.annotate(
                    words,
                    (where[0], where[1]),
                    xytext=(right, up + 2),
                    textcoords="offset points",
                    color=colour,
                    fontsize=LETTERS - 1,
                )
                taken.append(box)
                break


Box = tuple[float, float, float, float]


def _overlap(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _axis(axes: Axes, axis: Literal["x", "y"]) -> Axis:
    return axes.xaxis if axis == "x" else axes.yaxis


def _svg(key: str, draw: Draw, frame: Frame, alt: str) -> Markup:
    with matplotlib.rc_context(SETTINGS):
        figure = draw(frame)
        figure.patch.set_alpha(0)
        stream = io.StringIO()
        figure.savefig(stream, format="svg", metadata={"Date": None})
    width, height = (round(72 * inches) for inches in figure.get_size_inches())
    window = "n" if frame.narrow else "w"
    opening = (
        f'<svg class="plot {window}" role="img" aria-label="{escape(alt)}" '
        f'viewBox="0 0 {width} {height}" width="{width}" height="{height}">'
    )
    return Markup(opening + clean(stream.getvalue(), key))


def clean(svg: str, key: str) -> str:
    """The inside of an SVG document, made fit for a page: see the head of this module.

    Args:
        svg: what matplotlib's SVG writer wrote.
        key: put before every id that something refers to; the other ids go.
    """
    inside = svg[svg.index(">", svg.index("<svg")) + 1 :]
    inside = re.sub(r"<metadata>.*?</metadata>", "", inside, flags=re.DOTALL)
    # This sheet's rule for `*` would reach the whole page.
    inside = re.sub(r"<style.*?</style>", "", inside, flags=re.DOTALL)
    inside = re.sub(r">\s+<", "><", inside).strip()
    used = set(re.findall(r'(?:href="#|url\(#)([^")]+)', inside))
    return re.sub(r"<[^>]*>", lambda tag: _clean_tag(tag.group(), key, used), inside)


def _clean_tag(tag: str, key: str, used: set[str]) -> str:
    def renamed(match: re.Match[str]) -> str:
        return f' id="{key}-{match[1]}"' if match[1] in used else ""

    def recoloured(match: re.Match[str]) -> str:
        colour = palette.BY_LIGHT_FACE.get(match.group())
        return colour.variable if colour else match.group()

    tag = re.sub(r"\s+", " ", tag)
    tag = re.sub(r' id="([^"]+)"', renamed, tag)
    tag = re.sub(r'(xlink:href="#|url\(#)', rf"\g<1>{key}-", tag).replace("xlink:href", "href")
    tag = re.sub(r"font-family: [^;\"]*;? ?", "", tag)
    tag = re.sub(r' transform="rotate\(-0 [^"]*\)"', "", tag)
    tag = re.sub(r"#[0-9a-f]{6}\b", recoloured, tag)
    return re.sub(r"-?\d+\.\d{3,}", lambda number: f"{float(number.group()):.2f}", tag)
