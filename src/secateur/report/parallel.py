"""All settings of a sweep side by side: every configuration is a line through its values."""

import math

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from secateur.report import numbers, palette
from secateur.report.arms import look_of
from secateur.report.drawing import LETTERS, Frame, Plate, plate, style
from secateur.report.sweep_reading import Ranked, Scale, SweepResults, scales

BEST_SHARE = 0.1


def parallel_plate(key: str, results: SweepResults) -> Plate | None:
    """Settings as upright axes, the figure as the last one; None for fewer than two settings."""
    shown = scales(results)
    if len(shown) < 2 or len(results.ranking) < 3:
        return None
    names = ", ".join(scale.setting for scale in shown)
    best = f"{100 * BEST_SHARE:.0f}\u202f%"
    return plate(
        key,
        lambda frame: _draw(frame, results, shown),
        alt=f"Parallel coordinates of {len(results.ranking)} configurations over {names} and "
        f"{results.metric_title}",
        caption=f"Every configuration as a line, from setting to setting to the validation "
        f"{results.metric_title}; strong: the best {best} of each arm. A line that passes an axis "
        "outside of its values belongs to an arm that does not heed that setting.",
        title="All settings at once",
        legend=tuple(results.arms),
    )


def strong(results: SweepResults) -> set[str]:
    """The runs of the best share of each arm, at least one."""
    found = set()
    for arm in results.arms:
        own = [one.run for one in results.ranking if one.arm == arm]
        found |= set(own[: max(1, round(BEST_SHARE * len(own)))])
    return found


def _draw(frame: Frame, results: SweepResults, shown: list[Scale]) -> Figure:
    figure = frame.figure(60 + 62 * (len(shown) + 1) if frame.narrow else 380)
    axes = style(figure.subplots(), grid="none")
    axes.spines["bottom"].set_visible(False)
    figures = [results.shown(one.mean) for one in results.ranking]
    low, high = min(figures), max(figures)
    best = strong(results)
    for one in sorted(results.ranking, key=lambda one: one.run in best):
        heights = [*_heights(one, shown), _share(results.shown(one.mean), low, high)]
        colour, chosen = look_of(one.arm).colour.light, one.run in best
        look = {"color": colour, "linewidth": 2.0 if chosen else 0.8}
        _line(axes, heights, frame, alpha=0.95 if chosen else 0.28, **look)
    ends = [_ends(scale) for scale in shown]
    ends.append((f"{low:.1f}" if results.in_percent else f"{low:.3g}",
                 f"{high:.1f}" if results.in_percent else f"{high:.3g}"))  # fmt: skip
    unit = ", %" if results.in_percent else ""
    titles = [*(scale.setting for scale in shown), f"{results.metric_title}{unit}"]
    for place, (words, title) in enumerate(zip(ends, titles, strict=True)):
        _axis(axes, place, words, title, frame)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.margins(0.1, 0.04)
    return figure


def _line(axes: Axes, heights: list[float], frame: Frame, **look: object) -> None:
    places = [float(place) for place in range(len(heights))]
    # On a narrow window the axes lie, one below the other.
    across, up = (heights, [-place for place in places]) if frame.narrow else (places, heights)
    axes.plot(across, up, solid_joinstyle="round", **look)  # type: ignore[arg-type]


def _axis(axes: Axes, place: int, ends: tuple[str, str], title: str, frame: Frame) -> None:
    ink, muted = palette.INK.light, palette.MUTED.light
    if frame.narrow:
        axes.plot([0, 1], [-place, -place], color=muted, linewidth=1)
        axes.text(0, 0.16 - place, title, color=ink, fontsize=LETTERS, va="bottom")
        axes.text(0, -0.1 - place, ends[0], color=muted, fontsize=LETTERS - 1, va="top")
        axes.text(1, -0.1 - place, ends[1], color=muted, fontsize=LETTERS - 1, va="top", ha="right")
        return
    axes.plot([place, place], [0, 1], color=muted, linewidth=1)
    axes.text(place, 1.1, title, color=ink, fontsize=LETTERS, ha="center", va="bottom")
    axes.text(place, -0.03, ends[0], color=muted, fontsize=LETTERS - 1, ha="center", va="top")
    axes.text(place, 1.03, ends[1], color=muted, fontsize=LETTERS - 1, ha="center", va="bottom")


def _heights(one: Ranked, shown: list[Scale]) -> list[float]:
    # What an arm does not heed has no value: the line passes below.
    return [
        _on(scale, one.settings[scale.setting]) if scale.setting in one.settings else -0.08
        for scale in shown
    ]


def _on(scale: Scale, value: object) -> float:
    places = [scale.place(known) for known in scale.values]
    own = scale.place(value)
    if scale.logarithmic:
        places, own = [math.log(place) for place in places], math.log(own)
    return _share(own, min(places), max(places))


def _share(value: float, low: float, high: float) -> float:
    return 0.5 if high <= low else (value - low) / (high - low)


def _ends(scale: Scale) -> tuple[str, str]:
    low, high = scale.values[0], scale.values[-1]
    if scale.numeric:
        return numbers.signed(f"{low:.3g}"), numbers.signed(f"{high:.3g}")
    return numbers.value_words(low), numbers.value_words(high)
