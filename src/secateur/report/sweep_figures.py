"""Figures of swept settings: accuracy against the setting, and accuracy against its price."""

from collections.abc import Callable, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import blended_transform_factory

from secateur.report import numbers, palette
from secateur.report.arms import look_of
from secateur.report.drawing import LETTERS, Frame, Plate, few_ticks, heading, plate, style
from secateur.report.reading import Result, Run
from secateur.report.sweeps import Crossing, Curve, Sweep, crossings

PRICES = (
    ("flips_per_edge", "mask flips per edge"),
    ("set_reset", "SET and RESET pulses per edge"),
    ("most_worn_cell", "pulses of the most worn cell"),
)


def accuracy_plate(key: str, run: Run, sweep: Sweep) -> Plate:
    """Accuracy against the swept setting, with the crossings marked."""
    metric, crossed = run.record.metric, crossings(sweep)
    names = [curve.name for curve in sweep.curves] + [arm for arm, _ in sweep.levels]
    level = " Level lines: arms that the setting does not touch." if sweep.levels else ""
    rings = any(crossing.value is not None for crossing in crossed)
    ring = " Rings: where a programmed curve crosses a pruned one." if rings else ""
    legend = [*(curve.arm for curve in sweep.curves), *(arm for arm, _ in sweep.levels)]
    return plate(
        key,
        lambda frame: _draw_accuracy(frame, sweep, crossed),
        alt=f"{metric} against {sweep.setting} for {', '.join(names)}",
        caption=f"{metric.capitalize()} on the {run.split} split, percent, against "
        f"{sweep.setting}. Bands and bars: 95 % intervals over the chips.{level}{ring}",
        legend=tuple(dict.fromkeys(legend)),
    )


def _draw_accuracy(frame: Frame, sweep: Sweep, crossed: Sequence[Crossing]) -> Figure:
    figure = frame.figure(300 if frame.narrow else 380)
    axes = style(figure.subplots())
    for arm, score in sweep.levels:
        colour, dash = look_of(arm).colour.light, look_of(arm).dash
        if score.interval is not None:
            low, high = (100 * end for end in score.interval)
            axes.axhspan(low, high, color=colour, alpha=0.13, linewidth=0)
        axes.axhline(100 * (score.mean or 0.0), color=colour, linewidth=1.6, linestyle=dash)
    for curve in sweep.curves:
        _draw_curve(axes, curve)
    for crossing in crossed:
        if crossing.value is not None and crossing.height is not None:
            _draw_crossing(axes, crossing.value, 100 * crossing.height)
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


def _draw_crossing(axes: Axes, value: float, height: float) -> None:
    ink = palette.INK.light
    axes.plot([value], [height], "o", ms=13, mfc="none", mec=ink, mew=1.3, zorder=6)
    across = blended_transform_factory(axes.transData, axes.transAxes)
    bottom = axes.get_ylim()[0]
    axes.vlines(value, bottom, height, color=ink, linewidth=0.9, linestyle=(0, (2, 3)), zorder=5)
    axes.set_ylim(bottom=bottom)
    axes.text(
        value, 0.02, f" {value:.3g}", transform=across, color=ink, fontsize=LETTERS, ha="left"
    )


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
    text = f"{crossing.programmed} {verb} {crossing.pruned} at {crossing.value:.3g}"
    if crossing.overlap is not None:
        text += f" (their intervals overlap from {crossing.overlap[0]:.3g}"
        text += f" to {crossing.overlap[1]:.3g})"
    return text + "."


def pulses_per_edge(result: Result, kind: str) -> float | None:
    """SET or RESET pulses over edges, mean over the chips; None where either is unknown."""
    shares = [
        (trial.pulses.get(kind) or 0.0) / trial.edges
        for trial in result.trials
        if trial.edges and trial.pulses
    ]
    return sum(shares) / len(shares) if shares else None


def price(result: Result, key: str) -> float | None:
    """What a result cost, by one of the measures of `PRICES`."""
    if key == "set_reset":
        parts = [pulses_per_edge(result, kind) for kind in ("set", "reset")]
        return None if None in parts else sum(part for part in parts if part is not None)
    statistic = result.statistic(key)
    return statistic.mean if statistic else None


def trade_off_curves(sweep: Sweep) -> list[Curve]:
    """The curves along which the mask flips per edge change, and so have a price to weigh."""
    kept = []
    for curve in sweep.curves:
        flips = [price(point.result, "flips_per_edge") for point in curve.points]
        known = [flip for flip in flips if flip is not None]
        if len(known) == len(flips) and max(known) > 1.02 * min(known):
            kept.append(curve)
    return kept


def trade_off_plate(key: str, run: Run, sweep: Sweep) -> Plate | None:
    """Accuracy against flips, pulses and wear, one line per arm; None where nothing flips."""
    curves = trade_off_curves(sweep)
    if not curves:
        return None
    metric = run.record.metric
    return plate(
        key,
        _trade_off_drawer(curves),
        alt=f"{metric} against mask flips per edge, pulses per edge and the most worn cell, for "
        f"values of {sweep.setting} from {sweep.values[0]:g} to {sweep.values[-1]:g}",
        caption=f"What {sweep.setting} buys: {metric} on the {run.split} split (percent, bars: "
        "95 % intervals over the chips) against what it costs the chip. The numbers at the points "
        f"are values of {sweep.setting}; up and to the left is better.",
        legend=tuple(dict.fromkeys(curve.arm for curve in curves)),
    )


def _trade_off_drawer(curves: Sequence[Curve]) -> Callable[[Frame], Figure]:
    def draw(frame: Frame) -> Figure:
        shown = [
            (key, words)
            for key, words in PRICES
            if all(price(p.result, key) is not None for curve in curves for p in curve.points)
        ]
        height = 260 if frame.narrow else 320
        figure, panels = frame.panels(len(shown), height, sharey=True)
        for panel, (key, words) in zip(panels, shown, strict=True):
            style(panel, grid="both")
            for curve in curves:
                _draw_trade(panel, curve, key)
            heading(panel, words)
            few_ticks(panel, "x", 5)
            few_ticks(panel, "y", 5)
            panel.margins(x=0.12, y=0.12)
        for panel in panels if frame.narrow else panels[:1]:
            panel.set_ylabel("percent")
        return figure

    return draw


def _draw_trade(panel: Axes, curve: Curve, key: str) -> None:
    look = look_of(curve.arm)
    colour = look.colour.light
    costs = [price(point.result, key) or 0.0 for point in curve.points]
    means = [100 * point.mean for point in curve.points]
    panel.plot(costs, means, color=colour, linewidth=1.3, linestyle=look.dash, alpha=0.7)
    for cost, point in zip(costs, curve.points, strict=True):
        if point.ends is not None:
            ends = [100 * end for end in point.ends]
            panel.plot([cost, cost], ends, color=colour, linewidth=1.2, alpha=0.6)
    panel.plot(costs, means, look.marker, color=colour, markersize=6.5, mew=0)
    for place, (cost, mean) in enumerate(zip(costs, means, strict=True)):
        below = place % 2
        panel.annotate(
            numbers.value_words(curve.points[place].value),
            (cost, mean),
            xytext=(5, -12 if below else 6),
            textcoords="offset points",
            color=colour,
            fontsize=LETTERS - 1,
        )


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
