"""Which classes are taken for which."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, to_rgba
from matplotlib.figure import Figure

from secateur.report import numbers, palette
from secateur.report.arms import GRAINS, look_of
from secateur.report.drawing import LETTERS, Frame, Plate, plate
from secateur.report.headline import BASELINE, name_of, shown_results
from secateur.report.maps import Array
from secateur.report.reading import Result, Run

NUMBERED_UP_TO = 12


def summed(result: Result) -> Array | None:
    """Counts over all chips that agree in their number of classes; rows true, columns predicted."""
    found = [np.asarray(t.confusion, float) for t in result.trials if t.confusion]
    square = [c for c in found if c.ndim == 2 and c.shape[0] == c.shape[1] == found[0].shape[0]]
    return np.sum(square, axis=0) if square else None


def plates(key: str, run: Run) -> list[Plate]:
    """The confusion of the best pruned arm, with the digital baseline beside."""
    candidates = [r for r in shown_results(run) if summed(r) is not None]

    def rank(result: Result) -> tuple[bool, float]:
        score = run.score(result)
        reached = score.mean if score is not None and score.mean is not None else 0.0
        return result.arm in GRAINS, reached

    chosen = sorted(candidates, key=rank, reverse=True)[:1]
    chosen += [r for r in candidates if r.arm == BASELINE and r not in chosen]
    return [_plate(f"{key}-{place}", run, result) for place, result in enumerate(chosen)]


def _plate(key: str, run: Run, result: Result) -> Plate:
    counts = summed(result)
    assert counts is not None
    classes = run.record.classes
    if len(classes) != len(counts):
        classes = [str(place) for place in range(len(counts))]
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    wrong = shares - np.diag(np.diag(shares))
    row, column = np.unravel_index(int(wrong.argmax()), wrong.shape)
    worst = (
        f"The most frequent mistake: {classes[row]} taken for {classes[column]}, "
        f"{numbers.percent(float(wrong[row, column]), 0)} of the time."
    )
    n = sum(1 for trial in result.trials if trial.confusion)
    return plate(
        key,
        lambda frame: _draw(frame, shares, classes, look_of(result.arm).colour.light),
        alt=f"Confusion matrix of {name_of(run, result)}. {worst}",
        caption=f"Percent of each true class (rows) by predicted class (columns), {run.split} "
        f"split, {numbers.number_of(n, 'chip')}. {worst}",
        title=name_of(run, result),
        size="half",
    )


def _draw(frame: Frame, shares: Array, classes: Sequence[str], colour: str) -> Figure:
    number = len(classes)
    figure = frame.figure(frame.width * 0.98)
    axes = figure.subplots()
    axes.patch.set_alpha(0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.tick_params(length=0, colors=palette.MUTED.light, labelsize=LETTERS - 1)
    axes.set_aspect("equal")
    axes.set_xlim(-0.5, number - 0.5)
    axes.set_ylim(number - 0.5, -0.5)
    if number <= NUMBERED_UP_TO:
        _draw_numbered(axes, shares, colour, LETTERS - (2.5 if frame.narrow else 1))
    else:
        veil = LinearSegmentedColormap.from_list("veil", [to_rgba(colour, 0), to_rgba(colour, 1)])
        axes.imshow(shares, cmap=veil, vmin=0, vmax=1, interpolation="nearest")
    every = max(1, -(-number // 20))
    places = list(range(0, number, every))
    names = [classes[place] for place in places]
    crowded = max(len(name) for name in names) > 2
    axes.set_yticks(places, names)
    axes.set_xticks(places, names, rotation=90 if crowded else 0)
    axes.set_xlabel("predicted", color=palette.MUTED.light)
    axes.set_ylabel("true", color=palette.MUTED.light)
    return figure


def _draw_numbered(axes: Axes, shares: Array, colour: str, letters: float) -> None:
    for row, line in enumerate(shares):
        for column, share in enumerate(line):
            # At most 0.55, so that the reader's ink stays legible on either paper.
            opacity = 0.05 + 0.5 * float(share) ** 0.6
            axes.fill(
                [column - 0.47, column + 0.47, column + 0.47, column - 0.47],
                [row - 0.47, row - 0.47, row + 0.47, row + 0.47],
                color=colour,
                alpha=opacity,
                linewidth=0,
            )
            if share >= 0.005:
                axes.text(
                    column,
                    row,
                    f"{100 * share:.0f}",
                    ha="center",
                    va="center",
                    color=palette.INK.light,
                    fontsize=letters,
                )
