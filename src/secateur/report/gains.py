"""What pruning gains against every baseline, chip by chip: a gain is over something."""

from collections.abc import Mapping, Sequence
from typing import Any

from secateur.experiment.record import summarise
from secateur.report import numbers
from secateur.report.arms import GRAINS
from secateur.report.headline import name_of, shown_results
from secateur.report.reading import Result, Run


def gain(run: Run, ours: Result, other: Result, metric: str) -> dict[str, Any] | None:
    """`summarise` of the differences of two results on the chips that both ran on.

    Trials of one number share their seed, and so the random cells where both have a chip; what
    they share drops out of the difference.

    Args:
        run: of both.
        ours: the minuend.
        other: the subtrahend.
        metric: key of the figure, a fraction of 1.
    """
    mine, theirs = _by_chip(run, ours, metric), _by_chip(run, other, metric)
    differences = [mine[chip] - theirs[chip] for chip in mine if chip in theirs]
    return summarise(differences) if differences else None


def table(run: Run) -> dict[str, Any] | None:
    """Rows of baselines by columns of pruned arms and metrics; None without either."""
    results = shown_results(run)
    ours = [result for result in results if result.arm in GRAINS]
    others = [result for result in results if result.arm not in GRAINS]
    if not ours or not others:
        return None
    metrics = run.record.headline_metrics
    return {
        "columns": [
            {"arm": result.arm, "name": name_of(run, result), "metric": title}
            for result in ours
            for title in metrics.values()
        ],
        "rows": [
            {
                "arm": other.arm,
                "name": name_of(run, other),
                "cells": [_cell(gain(run, mine, other, m)) for mine in ours for m in metrics],
            }
            for other in others
        ],
    }


def figures(run: Run) -> dict[str, Any] | None:
    """Every metric of every shown result; None where the headline has them all."""
    metrics = run.record.metrics
    if len(metrics) < 2:
        return None
    rows = [(result, _means(run, result, metrics)) for result in shown_results(run)]
    return {
        "metrics": list(metrics.values()),
        "rows": [
            {"arm": r.arm, "name": name_of(run, r), "cells": cells} for r, cells in rows if cells
        ],
    }


def _by_chip(run: Run, result: Result, metric: str) -> dict[int, float]:
    read = {trial.chip: getattr(trial, run.split).get(metric) for trial in result.trials}
    return {chip: value for chip, value in read.items() if value is not None}


def _cell(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return numbers.DASH
    interval = found["interval95"]
    spread = f" ± {50 * (interval[1] - interval[0]):.1f}" if interval else ""
    return f"{numbers.points(found['mean'])}{spread}"


def _means(run: Run, result: Result, metrics: Mapping[str, str]) -> Sequence[str]:
    values = [_by_chip(run, result, metric).values() for metric in metrics]
    if not any(values):
        return []
    return [numbers.percent_number(sum(v) / len(v) if v else None) for v in values]
