"""What the searches have learnt: the kept topology beside a random one."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from secateur.report import numbers
from secateur.report.headline import name_of, shown_results
from secateur.report.macro_figures import Key, MapPlate
from secateur.report.png import data_uri, to_levels
from secateur.report.ramps import STEPS, gradient, sequential
from secateur.report.reading import Result, Run


def table(run: Run) -> list[dict[str, Any]]:
    """One row for each arm and layer that left an anatomy, means over the chips."""
    return [
        {
            "arm": result.arm,
            "name": name_of(run, result),
            "layer": layer,
            "outputs": _mean(found, "output_dispersion"),
            "inputs": _mean(found, "input_dispersion"),
            "idle": f"{_mean(found, 'idle_outputs')} / {_mean(found, 'idle_inputs')}",
            "flipped": numbers.percent_number(_number(found, "flipped"), 0),
            "chips": _agreement(run, result, layer, "chips"),
            "starts": _agreement(run, result, layer, "starts"),
        }
        for result in shown_results(run)
        for layer, found in _layers(result).items()
    ]


def fields(run: Run) -> list[MapPlate]:
    """The kept share by kernel position of each searched layer with a kernel of two dimensions."""
    plates = []
    for result in shown_results(run):
        if not any(trial.flips_per_edge for trial in result.trials):
            continue
        for layer, found in _layers(result).items():
            shares = [np.asarray(one.get("kept_by_position", ())) for one in found]
            if shares[0].ndim == 2 and shares[0].size > 1:
                plates.append(_field(name_of(run, result), layer, np.mean(shares, axis=0)))
    return plates


def _layers(result: Result) -> dict[str, list[Mapping[str, Any]]]:
    collected: dict[str, list[Mapping[str, Any]]] = {}
    for trial in result.trials:
        for layer, found in trial.anatomy.items():
            collected.setdefault(layer, []).append(found)
    return collected


def _number(found: Sequence[Mapping[str, Any]], key: str) -> float | None:
    values = [one[key] for one in found if one.get(key) is not None]
    return sum(values) / len(values) if values else None


def _mean(found: Sequence[Mapping[str, Any]], key: str) -> str:
    return numbers.plain(_number(found, key), 2)


def _agreement(run: Run, result: Result, layer: str, between: str) -> str:
    """That of searches with the result's settings, whatever their start."""
    settings = {path: v for path, v in result.overrides.items() if path != "search.seed"}
    asked = {"arm": result.arm, "overrides": settings, "part": run.split, "layer": layer,
             "between": between}  # fmt: skip
    for row in run.record.agreements:
        if all(row.get(key) == value for key, value in asked.items()):
            # Adding zero takes the sign from a zero.
            return numbers.signed(f"{round(row['mean'], 2) + 0.0:.2f}")
    return numbers.DASH


def _field(arm: str, layer: str, share: "np.ndarray[Any, Any]") -> MapPlate:
    low, high = float(share.min()), float(share.max())
    colours = sequential("viridis")
    rows, columns = share.shape
    ends = numbers.percent(low), numbers.percent(high)
    return MapPlate(
        source=data_uri(to_levels(share, low, high, STEPS), list(colours)),
        columns=columns,
        rows=rows,
        title=f"{layer}, {arm}",
        alt=f"Kept share at each kernel position of {layer}, {arm}: {ends[0]} to {ends[1]}",
        caption=f"{ends[0]} to {ends[1]} kept",
        key=Key(gradient(colours), *ends, ""),
        width=round(96 * columns / rows),
        height=96,
    )
