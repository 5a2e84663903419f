"""Memories side by side: each arm on each technology, fresh and after some time."""

from collections.abc import Callable, Mapping
from typing import Any

from matplotlib.figure import Figure

from secateur.report import numbers, palette
from secateur.report.arms import look_of
from secateur.report.drawing import Frame, Plate, plate
from secateur.report.drawing import style as styled
from secateur.report.reading import Result, Run
from secateur.report.stress import AS_IT_IS, in_words, remedied, remedy_in_words

SETTING = "chip.technology"

# By technology, arm and remedy: fresh, then by age in seconds; fractions of 1.
Cells = Mapping[tuple[str, str, str], list[tuple[float, float]]]


def cells(run: Run) -> Cells:
    """Figures of every arm on every technology that was varied; age 0 is the reported figure."""
    found: dict[tuple[str, str, str], list[tuple[float, float]]] = {}
    for result in run.record.results:
        technology, score = result.overrides.get(SETTING), run.score(result)
        if technology is not None and score is not None and score.mean is not None:
            aged = _aged(result, run.record.metric) or {AS_IT_IS: []}
            for name, points in aged.items():
                found[str(technology), result.arm, name] = [(0.0, score.mean), *points]
    order = list(dict.fromkeys(technology for technology, *_ in found))
    return dict(sorted(found.items(), key=lambda item: order.index(item[0][0])))


def table(run: Run) -> dict[str, Any] | None:
    """One row for each technology, arm and remedy, one column for each age.

    None where no technology was varied.
    """
    found = cells(run)
    if not found:
        return None
    ages = sorted({age for points in found.values() for age, _ in points})
    return {
        "ages": ["fresh" if not age else f"after {in_words('age', age)}" for age in ages],
        "rows": [
            {
                "technology": technology,
                "arm": arm,
                "remedy": remedy_in_words(name),
                "cells": [numbers.percent_number(dict(points).get(age)) for age in ages],
            }
            for (technology, arm, name), points in found.items()
        ],
    }


def plates(key: str, run: Run) -> list[Plate]:
    """Every technology with each arm's figures from fresh to oldest, one plate a remedy.

    Remedies in the recipe's order, and what comes without any at the end; none where no
    technology was varied.
    """
    found = cells(run)
    tried = sorted(dict.fromkeys(name for *_, name in found), key=lambda name: name == AS_IT_IS)
    return [_plate(f"{key}-{n}" if n else key, run, found, name) for n, name in enumerate(tried)]


def _plate(key: str, run: Run, found: Cells, name: str) -> Plate:
    own = {(t, arm): points for (t, arm, remedy), points in found.items() if remedy == name}
    arms = tuple(dict.fromkeys(arm for _, arm in own))
    return plate(
        key,
        _drawer(own, arms),
        alt="; ".join(
            f"{arm} on {technology} {numbers.percent(points[0][1])}, at last "
            f"{numbers.percent(points[-1][1])}"
            for (technology, arm), points in own.items()
        ),
        caption=f"{run.split.capitalize()} {run.record.metric_title}, percent, mean of the chips: "
        f"a mark for the fresh memory, a line to all ages, {remedy_in_words(name)}, a bar at the "
        "last.",
        title=f"Memories, aged: {remedy_in_words(name)}",
        legend=arms,
    )


def _aged(result: Result, metric: str) -> dict[str, list[tuple[float, float]]]:
    collected: dict[str, dict[float, list[float]]] = {}
    for trial in result.trials:
        for row in trial.stress:
            if row.get("kind") == "age":
                for name, figures in remedied(row).items():
                    ages = collected.setdefault(name, {})
                    ages.setdefault(float(row["value"]), []).append(figures[metric])
    return {
        name: [(age, sum(values) / len(values)) for age, values in sorted(ages.items())]
        for name, ages in collected.items()
    }


def _drawer(
    found: Mapping[tuple[str, str], list[tuple[float, float]]], arms: tuple[str, ...]
) -> Callable[[Frame], Figure]:
    technologies = list(dict.fromkeys(technology for technology, _ in found))

    def draw(frame: Frame) -> Figure:
        figure = frame.figure((18 + 14 * len(arms)) * len(technologies) + 60)
        axes = styled(figure.subplots(), grid="x")
        for (technology, arm), points in found.items():
            look, place = look_of(arm), arms.index(arm)
            row = technologies.index(technology) + 0.7 * ((place + 0.5) / len(arms) - 0.5)
            values = [100 * value for _, value in points]
            colour = look.colour.light
            axes.plot([min(values), max(values)], [row] * 2, color=colour, lw=1.6, alpha=0.45)
            axes.plot(values[:1], [row], look.marker, color=colour, ms=7, mew=0)
            axes.plot(values[-1:], [row], "|", color=colour, ms=9, mew=1.6)
        axes.set_yticks(range(len(technologies)), technologies)
        axes.tick_params(axis="y", labelcolor=palette.INK.light)
        axes.set_ylim(len(technologies) - 0.45, -0.55)
        axes.set_xlabel("percent")
        return figure

    return draw
