"""Accuracy against a swept setting: as a figure, in words, and as a table."""

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import blended_transform_factory

from secateur.report import numbers, palette
from secateur.report.arms import look_of
from secateur.report.crossings import Crossing, crossings
from secateur.report.drawing import LETTERS, Frame, Plate, few_ticks, logarithmic, plate, style
from secateur.report.reading import Run
from secateur.report.sweeps import Curve, Sweep
from secateur.report.trade_off import price, pulses_per_edge


def accuracy_plate(key: str, run: Run, sweep: Sweep) -> Plate:
    """Accuracy against the swept setting, with the crossings marked."""
    metric, crossed = run.record.metric_title, crossings(sweep)
    names = [curve.name for curve in sweep.curves] + [arm for arm, _ in sweep.levels]
    level = " Level lines: arms that the setting does not touch." if sweep.levels else ""
    if sweep.untouched:
        level += f" Not drawn, nor touched: {', '.join(sweep.untouched)}."
    rings = any(crossing.value is not None for crossing in crossed)
    ring = " Rings: where a programmed curve crosses a pruned one." if rings else ""
    legend = [*(curve.arm for curve in sweep.curves), *(arm for arm, _ in sweep.levels)]
    return plate(
        key,
        lambda frame: _draw_accuracy(frame, sweep, crossed),
        alt=f"{metric} against {sweep.setting} for {', '.join(names)}",
        caption=f"{metric.capitalize()} on the {run.split} split, percent, against "
        f"{sweep.setting}. Bands and bars: 95\u202f% intervals over the chips.{level}{ring}",
        legend=tuple(dict.fromkeys(legend)),
    )


def _draw_accuracy(frame: Frame, sweep: Sweep, crossed: Sequence[Crossing]) -> Figure:
    figure = frame.figure(300 if frame.narrow else 380)
    axes = style(figure.subplots())
    for arm, score in sweep.levels:
        colour, dash = look_of(arm).colour.light, look_of(arm).dash
        if score.interval is not None:
            low, high = (100 * end for end in score.interval)
            axes.axhspan(low, high, color=colour, alpha=0.09, linewidth=0)
        axes.axhline(100 * (score.mean or 0.0), color=colour, linewidth=1.6, linestyle=dash)
    for curve in sweep.curves:
        _draw_curve(axes, curve)
    met = sorted((c.value, 100 * c.height) for c in crossed if c.value is not None and c.height)
    for place, (value, height) in enumerate(met):
        _draw_crossing(axes, value, height, label_height=0.02 + 0.075 * (place % 4))
    if is_wide(sweep.values):
        logarithmic(axes, "x")
    else:
        few_ticks(axes, "x", 5 if frame.narrow else 9)
    few_ticks(axes, "y", 6)
    axes.set_xlabel(sweep.setting)
    axes.set_ylabel("percent")
    return figure


def _draw_curve(axes: Axes, curve: Curve) -> None:
    look = look_of(curve.arm)
    colour = look.colour.light
    values = [point.value for point in curve.points]
    means = [100 * point.mean for point in curve.points]
    known = [(p.value, 100 * p.ends[0], 100 * p.ends[1]) for p in curve.points if p.ends]
    if known:
        where, lows, highs = zip(*known, strict=True)
        axes.fill_between(where, lows, highs, color=colour, alpha=0.13, linewidth=0)
        axes.vlines(where, lows, highs, color=colour, linewidth=1.2, alpha=0.7)
    axes.plot(values, means, color=colour, linestyle=look.dash, linewidth=1.8)
    axes.plot(values, means, look.marker, color=colour, markersize=6.5, mew=0)


def is_wide(values: Sequence[float]) -> bool:
    """Whether the values span so much that only a logarithmic axis tells them apart."""
    return min(values) > 0 and max(values) >= 30 * min(values)


def _draw_crossing(axes: Axes, value: float, height: float, label_height: float) -> None:
    ink = palette.INK.light
    axes.plot([value], [height], "o", ms=13, mfc="none", mec=ink, mew=1.3, zorder=6)
    across = blended_transform_factory(axes.transData, axes.transAxes)
    bottom = axes.get_ylim()[0]
    axes.vlines(value, bottom, height, color=ink, linewidth=0.9, linestyle=(0, (2, 3)), zorder=5)
    axes.set_ylim(bottom=bottom)
    words = f" {value:.2g}"
    axes.text(value, label_height, words, transform=across, color=ink, fontsize=LETTERS - 1)


def crossing_words(sweep: Sweep) -> list[str]:
    """One sentence for each pair of a programmed and a pruned arm."""
    return [_sentence(sweep, crossing) for crossing in crossings(sweep)]


def _sentence(sweep: Sweep, crossing: Crossing) -> str:
    low, high = sweep.values[0], sweep.values[-1]
    if crossing.value is None:
        place = "above" if crossing.above else "below"
        swept = f"{numbers.value_words(low)} to {numbers.value_words(high)}"
        return f"{crossing.programmed} stays {place} {crossing.pruned} from {swept}."
    verb = "falls below" if crossing.above else "rises above"
    text = f"{crossing.programmed} {verb} {crossing.pruned} at {crossing.value:.2g}"
    if crossing.overlap is not None:
        text += f" (their intervals overlap from {crossing.overlap[0]:.2g}"
        text += f" to {crossing.overlap[1]:.2g})"
    return text + "."


def table(run: Run, sweep: Sweep) -> list[dict[str, Any]]:
    """All points of a sweep in figures."""
    return [
        {
            "arm": curve.arm,
            "name": curve.name,
            "value": numbers.value_words(point.value),
            "mean": numbers.percent_number(point.mean),
            "interval": numbers.interval_percent(point.score),
            "n": str(point.score.n),
            "flips": numbers.plain(price(point.result, "flips_per_edge")),
            "set": numbers.plain(pulses_per_edge(point.result, "set")),
            "reset": numbers.plain(pulses_per_edge(point.result, "reset")),
            "worn": numbers.plain(price(point.result, "most_worn_cell")),
        }
        for curve in sweep.curves
        for point in curve.points
    ]
