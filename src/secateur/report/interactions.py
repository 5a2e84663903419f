"""Two settings at a time: does the best value of one depend on the other?"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from secateur.report import numbers
from secateur.report.drawing import LETTERS, Frame, Plate, plate, style
from secateur.report.maps import Array
from secateur.report.ramps import STEPS, sequential
from secateur.report.sweep_reading import Ranked, Scale, SweepResults, scales

# More pairs than this nobody looks through; the strongest interactions are shown.
SHOWN_PAIRS = 6
BINS = 5
DARK, LIGHT = "#101214", "#fefefe"


@dataclass(frozen=True)
class Pair:
    """The mean figure for the values, or ranges of values, of two settings.

    Args:
        rows: the setting whose values are rows, and their words.
        columns: likewise.
        means: (rows, columns), NaN where there is no configuration.
    """

    rows: tuple[str, list[str]]
    columns: tuple[str, list[str]]
    means: Array

    @property
    def strength(self) -> float:
        """Root mean square of what rows and columns do not explain on their own."""
        whole = np.nanmean(self.means)
        rows = np.nanmean(self.means, axis=1, keepdims=True) - whole
        columns = np.nanmean(self.means, axis=0, keepdims=True) - whole
        return float(np.sqrt(np.nanmean((self.means - whole - rows - columns) ** 2)))


def pairs_of(results: SweepResults, arm: str) -> list[Pair]:
    """Every pair of swept settings of an arm, the strongest interaction first."""
    own = [one for one in results.ranking if one.arm == arm]
    found = [
        _pair(own, one, other) for one, other in combinations(scales(results, arm), 2)
    ]  # fmt: skip
    return sorted(found, key=lambda pair: -pair.strength)


def interaction_plates(key: str, results: SweepResults) -> list[Plate]:
    """A plate for each arm with two swept settings or more."""
    plates = []
    for place, arm in enumerate(results.arms):
        pairs = pairs_of(results, arm)
        if not pairs:
            continue
        shown = pairs[:SHOWN_PAIRS]
        left = f" The {len(shown)} strongest of {len(pairs)} pairs." if shown != pairs else ""
        unit = ", percent" if results.in_percent else ""
        names = ", ".join(f"{p.rows[0]} by {p.columns[0]}" for p in shown)
        plates.append(
            plate(
                f"{key}-{place}",
                _drawer(results, shown),
                alt=f"Heat maps of the {results.metric_title} of {arm}: {names}",
                caption=f"Validation {results.metric_title}{unit}, of {arm}: mean of all "
                f"configurations with these two values, whatever the others are.{left}",
                title=f"Two settings at a time: {arm}",
            )
        )
    return plates


def _pair(own: Sequence[Ranked], one: Scale, other: Scale) -> Pair:
    rows, columns = _groups(one), _groups(other)
    sums, counts = (np.zeros((len(rows[0]), len(columns[0]))) for _ in range(2))
    for configuration in own:
        at = (
            rows[1](configuration.settings[one.setting]),
            columns[1](configuration.settings[other.setting]),
        )
        sums[at] += configuration.mean
        counts[at] += 1
    means = np.divide(sums, counts, out=np.full_like(sums, np.nan), where=counts > 0)
    return Pair((one.setting, rows[0]), (other.setting, columns[0]), means)


def _groups(scale: Scale) -> tuple[list[str], Callable[[Any], int]]:
    """The words of a setting's groups, and which one a value is in: its own, or a range's."""
    values = scale.values
    if not scale.numeric or len(values) <= 2 * BINS:
        return [numbers.value_words(value) for value in values], values.index
    edges = np.quantile(np.asarray(values, float), np.linspace(0, 1, BINS + 1))
    words = [f"{a:.2g} – {b:.2g}" for a, b in pairwise(edges)]
    return words, lambda value: int(np.searchsorted(edges[1:-1], value, side="right"))


def _drawer(results: SweepResults, shown: Sequence[Pair]) -> Callable[[Frame], Figure]:
    ends = [results.shown(float(end)) for p in shown for end in (np.nanmin(p.means),
            np.nanmax(p.means))]  # fmt: skip
    low, high = min(ends), max(ends)

    def draw(frame: Frame) -> Figure:
        across = 1 if frame.narrow else min(len(shown), 2)
        down = -(-len(shown) // across)
        height = sum(
            90 + 34 * max(len(p.rows[1]) for p in shown[n * across : (n + 1) * across])
            for n in range(down)
        )
        figure = frame.figure(height)
        panels = figure.subplots(down, across, squeeze=False)
        for panel in list(panels.flat)[len(shown) :]:
            panel.set_visible(False)
        for panel, pair in zip(panels.flat, shown, strict=False):
            _draw_pair(style(panel, grid="none"), pair, results, low, high)
            if frame.narrow and len(pair.columns[1]) > 3:
                panel.tick_params(axis="x", labelrotation=35)
        return figure

    return draw


def _draw_pair(axes: Axes, pair: Pair, results: SweepResults, low: float, high: float) -> None:
    shown = np.vectorize(results.shown)(pair.means)
    palette = ListedColormap([tuple(part / 255 for part in c) for c in sequential("viridis")])
    axes.pcolormesh(shown, cmap=palette, vmin=low, vmax=high, edgecolors="none")
    for (row, column), value in np.ndenumerate(shown):
        if np.isfinite(value):
            # Viridis is light in its upper part.
            light = high > low and (value - low) / (high - low) > 0.5 * (STEPS - 1) / STEPS
            axes.text(
                column + 0.5, row + 0.5, f"{value:.1f}" if results.in_percent else f"{value:.2g}",
                ha="center", va="center", fontsize=LETTERS - 1, color=DARK if light else LIGHT,
            )  # fmt: skip
    axes.set_xticks(np.arange(len(pair.columns[1])) + 0.5, pair.columns[1])
    axes.set_yticks(np.arange(len(pair.rows[1])) + 0.5, pair.rows[1])
    axes.set_xlabel(pair.columns[0])
    axes.set_ylabel(pair.rows[0])
