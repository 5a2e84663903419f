"""The record of a run: `record.json`, versioned, from the trials' results."""

import math
import platform
import statistics
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from secateur.experiment.recipe import Recipe

if TYPE_CHECKING:
    from secateur.tasks import Metric

SCHEMA, VERSION = "secateur.record", 1
_SUMMARISED = ("flips_per_edge", "most_worn_cell", "programming_energy_J")


def summarise(values: Sequence[float]) -> dict[str, Any]:
    """Mean, standard deviation and the 95 % interval of the mean (Student's t) of a sample.

    With a single value the spread is unknown: `std` and `interval95` are None.
    """
    mean, n = statistics.fmean(values), len(values)
    if n < 2:
        return {"mean": mean, "std": None, "interval95": None, "n": n}
    # A tenth of a second to import, for whoever does anything else.
    from scipy.special import stdtrit

    deviation = statistics.stdev(values)
    half = float(stdtrit(n - 1, 0.975)) * deviation / math.sqrt(n)
    return {"mean": mean, "std": deviation, "interval95": [mean - half, mean + half], "n": n}


def combine(
    results: Sequence[Mapping[str, Any]], metrics: Sequence[str] = ("accuracy",)
) -> list[dict[str, Any]]:
    """Groups trial results by arm and variant, in order of appearance, each with its summary."""
    groups: dict[tuple[str, str], dict[str, Any]] = {}
    for result in results:
        arm, variant = result["arm"], result["variant"]
        group = groups.setdefault(
            (arm, variant),
            {
                "arm": arm, "variant": variant,
                "label": f"{arm}, {variant}" if variant else arm,
                "overrides": result["overrides"], "trials": [],
            },
        )  # fmt: skip
        _add_trial(group["trials"], result)
    for group in groups.values():
        group["summary"] = _summary(group["trials"], metrics)
    return list(groups.values())


def record_of(
    results: Sequence[Mapping[str, Any]], recipe: Recipe, *, title: str,
    classes: Sequence[str], metrics: "Sequence[Metric]", command: str, created: str,
    wall_time: float, processes: int,
) -> dict[str, Any]:  # fmt: skip
    """The whole record as plain JSON values."""
    return {
        "schema": SCHEMA,
        "version": VERSION,
        "task": recipe.task.name,
        "title": title,
        "classes": list(classes),
        "metric": metrics[0].name,
        "metrics": {metric.name: metric.title for metric in metrics},
        "command": command,
        "created": created,
        "wall_time_s": round(wall_time, 3),
        "versions": versions(),
        "machine": machine(threads=recipe.run.threads, processes=processes),
        "seed": recipe.run.seed,
        "chips": recipe.run.chips,
        "recipe": recipe.table(),
        "results": combine(results, [metric.name for metric in metrics]),
    }


def versions() -> dict[str, str]:
    """Versions of what computed the figures."""
    packages = {name: version(name) for name in ("secateur", "torch", "numpy")}
    return {**packages, "python": ".".join(map(str, sys.version_info[:3]))}


def machine(*, threads: int, processes: int) -> dict[str, Any]:
    """The machine's processor and how much of it was used."""
    import os

    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads_per_process": threads,
        "processes": processes,
    }


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            names = [line.partition(":")[2].strip() for line in file if "model name" in line]
        return names[0]
    except (OSError, IndexError):
        return platform.processor() or platform.machine()


def _add_trial(trials: list[dict[str, Any]], result: Mapping[str, Any]) -> None:
    """A trial's two parts, selection and report, are one entry; the reported part leads."""
    entry = next((t for t in trials if t["chip"] == result["chip"]), None)
    if entry is None:
        entry = {"chip": result["chip"], "test": None, "validation": None}
        trials.append(entry)
    leads = result["part"] == "test" or entry["test"] is None
    entry[result["part"]] = result["figures"]
    if leads:
        own = ("arm", "variant", "overrides", "part", "figures", "chip")
        entry.update({key: value for key, value in result.items() if key not in own})


def _summary(trials: Sequence[Mapping[str, Any]], metrics: Sequence[str]) -> dict[str, Any]:
    parts: dict[str, list[float]] = {}
    for trial in trials:
        reported = trial["test"] or trial["validation"]
        for name in metrics:
            parts.setdefault(name, []).append(reported[name])
            if trial["validation"]:
                parts.setdefault(f"validation_{name}", []).append(trial["validation"][name])
        for name in _SUMMARISED:
            if trial[name] is not None:
                parts.setdefault(name, []).append(trial[name])
    return {name: summarise(values) for name, values in parts.items()}
