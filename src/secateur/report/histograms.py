"""The distributions of a chip's cells: pulses, conductances, and the weights of pairs."""

from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from secateur.report import numbers, palette
from secateur.report.drawing import (
    LETTERS,
    Frame,
    Plate,
    few_ticks,
    heading,
    logarithmic,
    plate,
    style,
)
from secateur.report.maps import Array, ChipMaps
from secateur.report.palette import Colour

SPIKE = 3.0
MICRO = 1e6


def wear_plate(key: str, maps: ChipMaps) -> Plate | None:
    """How many cells received how many pulses, over all macros."""
    arrays = [m.pulses.ravel() for m in maps.macros.values() if m.pulses is not None]
    pulses = np.concatenate(arrays) if arrays else np.zeros(0, int)
    worn = pulses[pulses > 0]
    if not worn.size:
        return None
    top = int(worn.max())
    edges = np.unique(np.round(np.linspace(0.5, top + 0.5, min(top, 40) + 1) - 0.5)) + 0.5
    shares = np.histogram(worn, edges)[0]

    def draw(frame: Frame) -> Figure:
        figure = frame.figure(260 if frame.narrow else 330)
        axes = style(figure.subplots())
        axes.stairs(shares, edges, fill=True, color=palette.RESET.light, alpha=0.75)
        logarithmic(axes, "y")
        axes.set_ylim(bottom=0.7)
        few_ticks(axes, "x", 7, whole=True)
        axes.set_xlabel("SET and RESET pulses of a cell")
        axes.set_ylabel("cells")
        return figure

    return plate(
        key,
        draw,
        alt=f"Histogram of pulses per cell: {worn.size} cells saw 1 to {top} pulses, "
        f"median {np.median(worn):.0f}",
        caption=f"Wear of the {numbers.count(worn.size)} cells that saw a pulse (of "
        f"{numbers.count(pulses.size)}), all macros; median: "
        f"{numbers.plain(float(np.median(worn)))}. Logarithmic height.",
        title="Pulses per cell",
        size="half",
    )


CELL_KINDS = (
    ("as_formed", "as formed", palette.MUTED),
    ("after_set", "after a SET", palette.SET),
    ("after_reset", "after a RESET", palette.RESET),
)
PAIR_KINDS = (
    ("pair_difference", "as formed", palette.MUTED),
    ("pair_difference_final", "final", palette.ACCENT),
)
Sample = tuple[str, Array, Colour]


def _samples(maps: ChipMaps, kinds: Sequence[tuple[str, str, Colour]]) -> list[Sample]:
    found = [(words, maps.cells.get(name), colour) for name, words, colour in kinds]
    return [
        (words, MICRO * array[np.isfinite(array)].astype(np.float64), colour)
        for words, array, colour in found
        if array is not None and np.isfinite(array).any()
    ]


def histogram_plates(key: str, maps: ChipMaps) -> list[Plate]:
    """Conductances of single cells, and the differences of pairs."""
    plates = []
    cells = _samples(maps, CELL_KINDS)
    if cells:
        spans = "; ".join(_span(words, values) for words, values, _ in cells)
        plates.append(
            plate(
                f"{key}-cells",
                _stacked_histograms(cells, "conductance of a cell (µS)", two_sided=False),
                alt=f"Histograms of cell conductances in microsiemens: {spans}",
                caption=f"Conductances of single cells, share of the cells in each bin; "
                "a bar that leaves its panel has its height written beside it. "
                f"Median (and middle 68 %): {spans}.",
                title="Conductance of a cell",
                size="half",
            )
        )
    pairs = _samples(maps, PAIR_KINDS)
    pruned = " Pruned pairs sit near zero, with the residual of their RESET." if maps.layers else ""
    if pairs:
        plates.append(
            plate(
                f"{key}-pairs",
                _stacked_histograms(pairs, "G⁺ − G⁻ of a pair (µS)", two_sided=True),
                alt="Histograms of the difference of the two conductances of a pair: "
                + ", ".join(words for words, _, _ in pairs),
                caption="Difference of the two conductances of a pair, which is its weight before "
                f"scaling; share of the pairs in each bin.{pruned}",
                title="Weight of a pair",
                size="half",
            )
        )
    return plates


def _span(words: str, values: Array) -> str:
    low, middle, high = np.quantile(values, (0.16, 0.5, 0.84))
    ends = f"{numbers.plain(low)} – {numbers.plain(high)}"
    return f"{words} {numbers.plain(middle)} ({ends}){numbers.THIN}µS"


def _bins(samples: Sequence[Sample], *, two_sided: bool, number: int = 72) -> Array:
    tops = [float(np.quantile(np.abs(values), 0.999)) for _, values, _ in samples]
    top = 1.08 * max(tops) or 1.0
    return np.linspace(-top if two_sided else 0.0, top, number + 1)


def _stacked_histograms(
    samples: Sequence[Sample], unit: str, *, two_sided: bool
) -> Callable[[Frame], Figure]:
    bins = _bins(samples, two_sided=two_sided)

    def draw(frame: Frame) -> Figure:
        height = 330 / len(samples) + 12
        figure, panels = frame.panels(len(samples), height, stack=True, sharex=True)
        for panel, (words, values, colour) in zip(panels, samples, strict=True):
            draw_histogram(panel, values, bins, colour, cut_spike=not two_sided)
            heading(panel, words)
        panels[-1].set_xlabel(unit)
        return figure

    return draw


def draw_histogram(
    panel: Axes, values: Array, bins: Array, colour: Colour, *, cut_spike: bool = False
) -> None:
    """One histogram in percent of the sample; a lone spike may leave the panel, with its height."""
    shares = 100 * np.histogram(values, bins)[0] / max(values.size, 1)
    panel.stairs(shares, bins, fill=True, color=colour.light, alpha=0.35, linewidth=0)
    panel.stairs(shares, bins, color=colour.light, linewidth=1.3)
    few_ticks(panel, "y", 2)
    few_ticks(panel, "x", 7)
    panel.yaxis.set_major_formatter(lambda value, _: f"{value:g} %")
    peak = int(shares.argmax())
    rest = np.delete(shares, slice(max(0, peak - 2), peak + 3))
    lone = max(shares[max(0, peak - 1) : peak].sum(), shares[peak + 1 : peak + 2].sum())
    if (
        cut_spike
        and rest.sum() > 10
        and lone < 0.3 * shares[peak]
        and shares[peak] > SPIKE * rest.max()
    ):
        top = 1.5 * float(rest.max())
        panel.set_ylim(0, top)
        where, words = float(bins[peak + 1]), f" ↑ {shares[peak]:.0f} %"
        panel.text(where, 0.98 * top, words, color=colour.light, fontsize=LETTERS - 1, va="top")


def pair_comparison_plate(key: str, setting: str, by_value: dict[str, Array]) -> Plate:
    """Pair differences as formed, one panel for each value of a worded setting.

    Args:
        key: unique on the page.
        setting: the setting's dotted path.
        by_value: differences in siemens, 1-D, by the setting's value.
    """
    samples = [(value, MICRO * array, palette.ACCENT) for value, array in by_value.items()]
    bins = _bins(samples, two_sided=True, number=64)

    def draw(frame: Frame) -> Figure:
        height = 150 if frame.narrow else 210
        figure, panels = frame.panels(len(samples), height, sharex=True)
        for panel, (value, values, colour) in zip(panels, samples, strict=True):
            draw_histogram(panel, values, bins, colour)
            heading(panel, value)
            few_ticks(panel, "x", 5)
        for panel in panels[-1:] if frame.narrow else panels:
            panel.set_xlabel("G⁺ − G⁻ of a pair (µS)")
        return figure

    return plate(
        key,
        draw,
        alt=f"Histograms of pair differences as formed for {setting}: {', '.join(by_value)}",
        caption=f"The weights that forming makes, for each {setting}: difference of the two "
        "conductances of a pair as formed, share of the pairs in each bin.",
    )
