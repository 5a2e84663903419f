"""Finds what was varied in a run: numeric settings as curves, worded ones as tables."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from secateur.report.reading import Result, Run, Statistic

Others = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Point:
    """One result on a curve: the setting's value, the result and its headline figure."""

    value: float
    result: Result
    score: Statistic

    @property
    def mean(self) -> float:
        """The mean of the headline figure, a fraction of 1."""
        return self.score.mean if self.score.mean is not None else float("nan")

    @property
    def ends(self) -> tuple[float, float] | None:
        """The 95 % interval, fractions of 1."""
        return self.score.interval


@dataclass(frozen=True)
class Curve:
    """One arm against one setting; `others` are the overrides that all its points share."""

    arm: str
    others: Others
    points: tuple[Point, ...]

    @property
    def name(self) -> str:
        """The arm, and what else was changed."""
        return ", ".join([self.arm, *(f"{key}={value}" for key, value in self.others)])


@dataclass(frozen=True)
class Sweep:
    """A numeric setting and everything that varied with it.

    Args:
        setting: its dotted path in the recipe.
        curves: arms for which at least two values were run.
        levels: arms for which it was not changed, shown as level lines for comparison.
    """

    setting: str
    curves: tuple[Curve, ...]
    levels: tuple[tuple[str, Statistic], ...]

    @property
    def values(self) -> list[float]:
        """All values of the setting, rising."""
        return sorted({point.value for curve in self.curves for point in curve.points})


@dataclass(frozen=True)
class Comparison:
    """A setting whose values are words: results by arm and value.

    Args:
        setting: its dotted path in the recipe.
        values: the values, that of the recipe first.
        shipped: the value in the recipe, or "" where the recipe has none.
        cells: results by (arm and its other overrides, value).
    """

    setting: str
    values: tuple[str, ...]
    shipped: str
    cells: Mapping[str, Mapping[str, Result]]


LEVEL_ARMS = ("pruned", "pruned-cells", "digital-quantised")


def in_recipe(recipe: Mapping[str, Any], path: str) -> Any:
    """The value at a dotted path, or None."""
    value: Any = recipe
    for step in path.split("."):
        if not isinstance(value, Mapping) or step not in value:
            return None
        value = value[step]
    return value


def is_number(value: object) -> bool:
    """Whether a setting's value is a number (a yes or no is not)."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def varied_settings(run: Run) -> dict[str, list[Any]]:
    """Every overridden setting with the values it took, in the order of the record."""
    found: dict[str, list[Any]] = {}
    for result in run.record.results:
        for setting, value in result.overrides.items():
            found.setdefault(setting, []).append(value)
    return found


def sweeps(run: Run) -> list[Sweep]:
    """The numeric settings that at least one arm ran at two values or more."""
    found = []
    for setting, values in varied_settings(run).items():
        if all(is_number(value) for value in values):
            curves = _curves(run, setting)
            if curves:
                found.append(Sweep(setting, curves, _levels(run, setting, curves)))
    return found


def _others(result: Result, setting: str) -> Others:
    rest = {key: value for key, value in result.overrides.items() if key != setting}
    return tuple(sorted((key, str(value)) for key, value in rest.items()))


def _curves(run: Run, setting: str) -> tuple[Curve, ...]:
    shipped = in_recipe(run.record.recipe, setting)
    swept = {(r.arm, _others(r, setting)) for r in run.record.results if setting in r.overrides}
    points: dict[tuple[str, Others], dict[float, Point]] = {}
    for result in run.record.results:
        owner, score = (result.arm, _others(result, setting)), run.score(result)
        value = result.overrides.get(setting, shipped)
        if owner in swept and score is not None and is_number(value):
            points.setdefault(owner, {}).setdefault(float(value), Point(value, result, score))
    return tuple(
        Curve(arm, others, tuple(along[value] for value in sorted(along)))
        for (arm, others), along in points.items()
        if len(along) > 1
    )


def _levels(run: Run, setting: str, curves: Sequence[Curve]) -> tuple[tuple[str, Statistic], ...]:
    drawn = {curve.arm for curve in curves}
    found = []
    for result in run.record.results:
        score = run.score(result)
        if result.arm in LEVEL_ARMS and result.arm not in drawn and not result.overrides and score:
            found.append((result.arm, score))
    return tuple(found)


def comparisons(run: Run) -> list[Comparison]:
    """The settings whose values are words (or yes and no), with two values or more."""
    found = []
    for setting, taken in varied_settings(run).items():
        if all(is_number(value) for value in taken):
            continue
        shipped = in_recipe(run.record.recipe, setting)
        first = "" if shipped is None else str(shipped)
        cells: dict[str, dict[str, Result]] = {}
        changed = {
            (r.arm, _others(r, setting)) for r in run.record.results if setting in r.overrides
        }
        for result in run.record.results:
            others = _others(result, setting)
            value = str(result.overrides[setting]) if setting in result.overrides else first
            if value and (result.arm, others) in changed:
                owner = ", ".join([result.arm, *(f"{key}={what}" for key, what in others)])
                cells.setdefault(owner, {})[value] = result
        seen = {value for row in cells.values() for value in row}
        values = [*([first] if first in seen else []), *sorted(seen - {first})]
        if len(values) > 1:
            found.append(Comparison(setting, tuple(values), first, cells))
    return found
