"""What accuracy costs the chip: flips, pulses and wear, along a sweep and over all variants."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from secateur.report import numbers
from secateur.report.arms import look_of
from secateur.report.drawing import (
    Frame,
    Plate,
    few_ticks,
    heading,
    label_points,
    plate,
    style,
)
from secateur.report.reading import Result, Run
from secateur.report.sweeps import Curve, Sweep, usual_results

PRICES = (
    ("flips_per_edge", "mask flips per edge"),
    ("set_reset", "SET and RESET pulses per edge"),
    ("most_worn_cell", "pulses of the most worn cell"),
)


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
    metric = run.record.metric_title
    return plate(
        key,
        _trade_off_drawer(curves),
        alt=f"{metric} against mask flips per edge, pulses per edge and the most worn cell, for "
        f"values of {sweep.setting} from {sweep.values[0]:g} to {sweep.values[-1]:g}",
        caption=f"What {sweep.setting} buys: {metric} on the {run.split} split (percent, bars: "
        "95\u202f% intervals over the chips) against what it costs the chip. The numbers at the "
        f"points are values of {sweep.setting}; up and to the left is better.",
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
            panel.margins(x=0.14, y=0.12)
            panel.set_xlim(left=0)
        for panel, (key, _) in zip(panels, shown, strict=True):
            label_points(panel, [point for curve in curves for point in _labels(curve, key)])
        for panel in panels if frame.narrow else panels[:1]:
            panel.set_ylabel("percent")
        return figure

    return draw


def _labels(curve: Curve, key: str) -> list[tuple[float, float, str, str]]:
    colour = look_of(curve.arm).colour.light
    return [
        (price(p.result, key) or 0.0, 100 * p.mean, numbers.value_words(p.value), colour)
        for p in curve.points
    ]


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


@dataclass(frozen=True)
class Offer:
    """One variant of an arm: flips per edge, headline mean in percent, words, settings varied."""

    arm: str
    flips: float
    percent: float
    words: str
    settings: tuple[str, ...] = ()


def offers(run: Run) -> dict[str, list[Offer]]:
    """All variants that flip, by arm, fewest flips first."""
    found: dict[str, dict[tuple[float, float], Offer]] = {}
    usual = list(usual_results(run).values())
    # Those that stand for their arm come first, and so lend their name to all that are the same.
    for result in (*usual, *run.record.results):
        score, flips = run.score(result), price(result, "flips_per_edge")
        if score is not None and score.mean is not None and flips:
            changes = {} if any(result is known for known in usual) else result.overrides
            words = [f"{k.rpartition('.')[2]} {numbers.value_words(v)}" for k, v in changes.items()]
            name = ", ".join(words) or "as in the recipe"
            offer = Offer(result.arm, flips, 100 * score.mean, name, tuple(changes))
            found.setdefault(result.arm, {}).setdefault((offer.flips, offer.percent), offer)
    order = {arm: sorted(some.values(), key=lambda o: o.flips) for arm, some in found.items()}
    return {r.arm: order[r.arm] for r in run.record.results if r.arm in order}


def frontier(some: Sequence[Offer]) -> list[Offer]:
    """Those that no other beats in both accuracy and flips, fewest flips first."""
    best: list[Offer] = []
    for offer in some:
        if not best or offer.percent > best[-1].percent:
            best.append(offer)
    return best


def frontier_plate(key: str, run: Run) -> Plate | None:
    """Every variant of the searched arms by its price; None where only one setting was varied."""
    by_arm = {arm: some for arm, some in offers(run).items() if len(some) > 2}
    varied = {key for some in by_arm.values() for offer in some for key in offer.settings}
    if len(varied) < 2 or not by_arm:
        return None
    words = "; ".join(
        f"{arm}: "
        + ", ".join(f"{o.words} {o.percent:.1f} at {o.flips:.3g}" for o in frontier(some))
        for arm, some in by_arm.items()
    )
    return plate(
        key,
        lambda frame: _draw_frontier(frame, by_arm),
        alt=f"{run.record.metric_title} in percent against mask flips per edge. "
        f"Best offers: {words}",
        caption=f"Every variant of this run: {run.record.metric_title} on the {run.split} split, "
        "percent, against "
        "mask flips per edge. The stepped line joins the variants that no other of the same arm "
        "beats in both; these are named where there is room.",
        legend=tuple(by_arm),
    )


def _draw_frontier(frame: Frame, by_arm: dict[str, list[Offer]]) -> Figure:
    figure = frame.figure(340 if frame.narrow else 400)
    axes = style(figure.subplots(), grid="both")
    for arm, some in by_arm.items():
        look, best = look_of(arm), frontier(some)
        colour = look.colour.light
        flips, heights = [offer.flips for offer in some], [offer.percent for offer in some]
        axes.plot(flips, heights, look.marker, color=colour, ms=6, mew=0, alpha=0.55)
        steps = [offer.flips for offer in best], [offer.percent for offer in best]
        axes.plot(*steps, color=colour, linewidth=1.4, drawstyle="steps-post")
        axes.plot(*steps, look.marker, color=colour, ms=8, mew=0)
    axes.margins(x=0.12, y=0.1)
    axes.set_xlim(left=0)
    few_ticks(axes, "x", 5 if frame.narrow else 9)
    few_ticks(axes, "y", 6)
    axes.set_xlabel("mask flips per edge")
    axes.set_ylabel("percent")
    named = [offer for some in by_arm.values() for offer in reversed(frontier(some))]
    label_points(axes, [(o.flips, o.percent, o.words, look_of(o.arm).colour.light) for o in named])
    return figure
