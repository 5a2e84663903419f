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

# What is tried, by the recipe's name; a name that is not here says itself.
REMEDIES = {
    "norms": "norms renewed",
    "global": "compensated by array",
    "column": "compensated by column",
}
AS_IT_IS = "as it is"

# Value, and mean figures by remedy, `AS_IT_IS` first: fractions of 1.
Point = tuple[float, dict[str, float]]


def plates(key: str, run: Run) -> list[Plate]:
    """One plate for each kind of hardship and remedy, a line an arm, faint without it."""
    made = []
    for kind, (title, axis) in KINDS.items():
        lines = {r.arm: _points(r, kind, run.record.metric) for r in shown_results(run)}
        lines = {arm: points for arm, points in lines.items() if len(points) > 1}
        tried = dict.fromkeys(n for points in lines.values() for _, found in points for n in found)
        for n, name in enumerate(name for name in tried if len(tried) == 1 or name != AS_IT_IS):
            made.append(
                plate(
                    f"{key}-{kind}" + (f"-{n}" if n else ""),
                    _drawer(lines, name, axis, logarithmic_axis=kind == "age"),
                    alt=f"{title}, {remedy_in_words(name)}: "
                    + "; ".join(_words(arm, p, name) for arm, p in lines.items()),
                    caption=f"{run.split.capitalize()} {run.record.metric_title}, percent, mean of "
                    f"the chips. Full lines: {remedy_in_words(name)}, without a pulse; faint: as "
                    "it is.",
                    title=f"{title}: {remedy_in_words(name)}",
                    size="half",
                    legend=tuple(lines),
                )
            )
    return made


def table(run: Run) -> dict[str, Any]:
    """One row for each result and hardship, one column for each remedy."""
    found = [
        (result, kind, value, figures)
        for result in run.record.results
        for kind in KINDS
        for value, figures in _points(result, kind, run.record.metric)
    ]
    tried = list(dict.fromkeys(name for *_, figures in found for name in figures))
    return {
        "remedies": [remedy_in_words(name) for name in tried],
        "rows": [
            {
                "arm": result.arm,
                "name": name_of(run, result) if result in shown_results(run) else result.name,
                "what": in_words(kind, value),
                "figures": [numbers.percent_number(figures.get(name)) for name in tried],
            }
            for result, kind, value, figures in found
        ],
    }


def remedy_in_words(name: str) -> str:
    """A remedy in words: "column+norms" is compensated by column, norms renewed."""
    return ", ".join(REMEDIES.get(part.strip(), part.strip()) for part in name.split("+"))


def remedied(row: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Figures of a hardship by remedy, as it is first; records of earlier runs knew norms only."""
    tried = row["remedied"] if "remedied" in row else {"norms": row["renewed"]}
    return {AS_IT_IS: row["figures"], **tried} if "figures" in row else dict(tried)


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
    collected: dict[float, list[dict[str, Mapping[str, Any]]]] = {}
    for trial in result.trials:
        for row in trial.stress:
            if row.get("kind") == kind:
                collected.setdefault(float(row["value"]), []).append(remedied(row))
    return [
        (value, {name: _mean(rows, name, metric) for name in rows[0]})
        for value, rows in sorted(collected.items())
    ]


def _mean(rows: Sequence[Mapping[str, Any]], name: str, metric: str) -> float:
    return float(np.mean([row[name][metric] for row in rows]))


def _words(arm: str, points: Sequence[Point], name: str) -> str:
    first, last = (numbers.percent(points[n][1].get(name)) for n in (0, -1))
    return f"{arm} {first} to {last}"


def _drawer(
    lines: Mapping[str, Sequence[Point]], name: str, axis: str, *, logarithmic_axis: bool
) -> Callable[[Frame], Figure]:
    def draw(frame: Frame) -> Figure:
        figure = frame.figure(230 if frame.narrow else 270)
        axes = styled(figure.subplots())
        for arm, points in lines.items():
            look = look_of(arm)
            x = [value for value, _ in points]
            plain, helped = ([found[key] for _, found in points] for key in (AS_IT_IS, name))
            settings: dict[str, Any] = {"color": look.colour.light, "linestyle": look.dash}
            axes.plot(x, 100 * np.array(plain), lw=1.8, alpha=0.4, **settings)
            axes.plot(
                x, 100 * np.array(helped), marker=look.marker, ms=4.5, mew=0, lw=1.8, **settings
            )
        if logarithmic_axis and all(points[0][0] > 0 for points in lines.values()):
            logarithmic(axes, "x")
        axes.set_xlabel(axis)
        axes.set_ylabel("percent", color=palette.MUTED.light)
        return figure

    return draw
