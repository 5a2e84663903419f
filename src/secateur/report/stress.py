"""What becomes of finished models as they age and as their cells fail."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from secateur.report import numbers, palette
from secateur.report.arms import look_of
from secateur.report.drawing import Frame, Plate, logarithmic, plate
from secateur.report.drawing import style as styled
from secateur.report.headline import name_of, shown_results
from secateur.report.reading import Result, Run

KINDS = {
    "age": ("After some time", "seconds since the last pulse"),
    "failed": ("After cells have failed", "share of the cells that failed"),
}
UNITS = ((365.25 * 86400, "year"), (30 * 86400, "month"), (86400, "day"), (3600, "hour"))

# Value, mean as it is, mean with the norms renewed: fractions of 1.
Point = tuple[float, float, float]


def plates(key: str, run: Run) -> list[Plate]:
    """One plate for each kind of hardship, a line an arm, dotted without new norm statistics."""
    made = []
    for kind, (title, axis) in KINDS.items():
        lines = {r.arm: _points(r, kind, run.record.metric) for r in shown_results(run)}
        lines = {arm: points for arm, points in lines.items() if len(points) > 1}
        if lines:
            made.append(
                plate(
                    f"{key}-{kind}",
                    _drawer(lines, axis, logarithmic_axis=kind == "age"),
                    alt=f"{title}: " + "; ".join(_words(arm, p) for arm, p in lines.items()),
                    caption=f"{run.split.capitalize()} {run.record.metric_title}, percent, mean of "
                    "the chips. Full lines: the norms' statistics taken anew, without a pulse; "
                    "faint: as it is.",
                    title=title,
                    size="half",
                    legend=tuple(lines),
                )
            )
    return made


def table(run: Run) -> list[dict[str, Any]]:
    """One row for each result and hardship."""
    return [
        {
            "arm": result.arm,
            "name": name_of(run, result) if result in shown_results(run) else result.name,
            "what": in_words(kind, value),
            "figures": numbers.percent_number(plain),
            "renewed": numbers.percent_number(renewed),
        }
        for result in run.record.results
        for kind in KINDS
        for value, plain, renewed in _points(result, kind, run.record.metric)
    ]


def in_words(kind: str, value: float) -> str:
    """A hardship in words: "1 day", "5 % failed"."""
    if kind != "age":
        return f"{numbers.percent(value)} failed"
    for seconds, unit in UNITS:
        if value >= 0.99 * seconds:
            amount = value / seconds
            return f"{numbers.plain(amount, 2)} {unit}{'' if round(amount, 1) == 1 else 's'}"
    return f"{numbers.plain(value, 2)} s"


def _points(result: Result, kind: str, metric: str) -> list[Point]:
    collected: dict[float, list[Mapping[str, Any]]] = {}
    for trial in result.trials:
        for row in trial.stress:
            if row.get("kind") == kind:
                collected.setdefault(float(row["value"]), []).append(row)
    return [
        (value, _mean(rows, "figures", metric), _mean(rows, "renewed", metric))
        for value, rows in sorted(collected.items())
    ]


def _mean(rows: Sequence[Mapping[str, Any]], which: str, metric: str) -> float:
    return float(np.mean([row[which][metric] for row in rows]))


def _words(arm: str, points: Sequence[Point]) -> str:
    return f"{arm} {numbers.percent(points[0][2])} to {numbers.percent(points[-1][2])}"


def _drawer(
    lines: Mapping[str, Sequence[Point]], axis: str, *, logarithmic_axis: bool
) -> Callable[[Frame], Figure]:
    def draw(frame: Frame) -> Figure:
        figure = frame.figure(230 if frame.narrow else 270)
        axes = styled(figure.subplots())
        for arm, points in lines.items():
            look = look_of(arm)
            x, plain, renewed = zip(*points, strict=True)
            settings: dict[str, Any] = {"color": look.colour.light, "linestyle": look.dash}
            axes.plot(x, 100 * np.array(plain), lw=1.8, alpha=0.4, **settings)
            axes.plot(
                x, 100 * np.array(renewed), marker=look.marker, ms=4.5, mew=0, lw=1.8, **settings
            )
        if logarithmic_axis and all(points[0][0] > 0 for points in lines.values()):
            logarithmic(axes, "x")
        axes.set_xlabel(axis)
        axes.set_ylabel("percent", color=palette.MUTED.light)
        return figure

    return draw
