"""Finds what was varied in a run: numeric settings as curves, worded ones as tables."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from secateur.report.arms import GRAINS
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
        levels: arms that it leaves as they are, shown as level lines for comparison.
        untouched: further arms for which every value gave the same figure to the bit.
    """

    setting: str
    curves: tuple[Curve, ...]
    levels: tuple[tuple[str, Statistic], ...]
    untouched: tuple[str, ...]

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
        shipped: the recipe's value for each of the owners in `cells`, where it has one.
        cells: results by (arm and its other overrides, value).
        untouched: arms for which every value gave the same figure to the bit.
    """

    setting: str
    values: tuple[str, ...]
    shipped: Mapping[str, str]
    cells: Mapping[str, Mapping[str, Result]]
    untouched: tuple[str, ...]


LEVEL_ARMS = (*GRAINS, "digital-quantised")


def in_recipe(recipe: Mapping[str, Any], path: str) -> Any:
    """The value at a dotted path, or None."""
    value: Any = recipe
    for step in path.split("."):
        if not isinstance(value, Mapping) or step not in value:
            return None
        value = value[step]
    return value


def shipped(run: Run, result: Result, setting: str) -> Any:
    """The value an arm has where nothing is varied: its own in the recipe, or everybody's.

    A technology's number is in no recipe unless replaced there; the physics of the same arm tells
    it, where the setting was left alone.
    """
    recipe = run.record.recipe
    for found in (in_recipe(recipe, f"arms.{result.arm}.{setting}"), in_recipe(recipe, setting)):
        if found is not None:
            return found
    last = setting.rpartition(".")[2]
    alike = [r for r in run.record.results if r.arm == result.arm and setting not in r.overrides]
    told = [t.physics[last] for r in alike for t in r.trials if last in t.physics]
    return told[0] if told and is_number(told[0]) else None


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
    """The numeric settings that change at least one arm that ran at two values or more."""
    found = []
    for setting, values in varied_settings(run).items():
        if not all(is_number(value) for value in values):
            continue
        curves = _curves(run, setting)
        moved = tuple(curve for curve in curves if not _is_level(p.mean for p in curve.points))
        if moved:
            level = [curve for curve in curves if curve not in moved]
            levels = _levels(run, moved, level)
            known = {arm for arm, _ in levels}
            untouched = tuple(curve.name for curve in level if curve.arm not in known)
            found.append(Sweep(setting, moved, levels, untouched))
    return found


def usual_results(run: Run) -> dict[str, Result]:
    """For each arm the result that stands for it as the recipe has it, where there is one.

    It may be a variant that sets what the recipe has anyway, or any one of an arm that no varied
    setting touches.
    """
    found: dict[str, Result] = {}
    by_arm: dict[str, list[Result]] = {}
    for result in sorted(run.record.results, key=lambda result: bool(result.variant)):
        by_arm.setdefault(result.arm, []).append(result)
        if all(shipped(run, result, key) == value for key, value in result.overrides.items()):
            found.setdefault(result.arm, result)
    for arm, results in by_arm.items():
        scores = [run.score(result) for result in results]
        if all(scores) and _is_level(score.mean for score in scores if score):
            found.setdefault(arm, results[0])
    return found


def _is_level(means: Iterable[float | None]) -> bool:
    """Whether a setting changed nothing. Draws are keyed, so "nothing" is to the last bit."""
    return len(set(means)) == 1


def _others(result: Result, setting: str) -> Others:
    rest = {key: value for key, value in result.overrides.items() if key != setting}
    return tuple(sorted((key, str(value)) for key, value in rest.items()))


def _curves(run: Run, setting: str) -> tuple[Curve, ...]:
    swept = {(r.arm, _others(r, setting)) for r in run.record.results if setting in r.overrides}
    points: dict[tuple[str, Others], dict[float, Point]] = {}
    for result in run.record.results:
        owner, score = (result.arm, _others(result, setting)), run.score(result)
        value = result.overrides.get(setting, shipped(run, result, setting))
        if owner in swept and score is not None and is_number(value):
            points.setdefault(owner, {}).setdefault(float(value), Point(value, result, score))
    return tuple(
        Curve(arm, others, tuple(along[value] for value in sorted(along)))
        for (arm, others), along in points.items()
        if len(along) > 1
    )


def _levels(
    run: Run, moved: Sequence[Curve], level: Sequence[Curve]
) -> tuple[tuple[str, Statistic], ...]:
    """Arms to compare with: level curves, else results in which nothing was varied."""
    found = {curve.arm: curve.points[0].score for curve in level if not curve.others}
    for result in run.record.results:
        score = run.score(result)
        if not result.overrides and score is not None:
            found.setdefault(result.arm, score)
    drawn = {curve.arm for curve in moved}
    return tuple((arm, found[arm]) for arm in LEVEL_ARMS if arm in found and arm not in drawn)


def comparisons(run: Run) -> list[Comparison]:
    """The settings whose values are words (or yes and no), with two values or more."""
    found = []
    for setting, taken in varied_settings(run).items():
        if not all(is_number(value) for value in taken):
            comparison = _comparison(run, setting)
            if len(comparison.values) > 1:
                found.append(comparison)
    return found


def _comparison(run: Run, setting: str) -> Comparison:
    results = run.record.results
    changed = {(r.arm, _others(r, setting)) for r in results if setting in r.overrides}
    cells: dict[str, dict[str, Result]] = {}
    usual_of: dict[str, str] = {}
    for result in results:
        others, usual = _others(result, setting), shipped(run, result, setting)
        value = result.overrides.get(setting, usual)
        if value is not None and (result.arm, others) in changed:
            owner = ", ".join([result.arm, *(f"{key}={what}" for key, what in others)])
            cells.setdefault(owner, {})[str(value)] = result
            usual_of |= {} if usual is None else {owner: str(usual)}
    means = {
        owner: [score.mean for result in row.values() if (score := run.score(result))]
        for owner, row in cells.items()
    }
    untouched = tuple(o for o, row in means.items() if len(row) > 1 and _is_level(row))
    moved = {owner: row for owner, row in cells.items() if owner not in untouched}
    seen = {value for row in moved.values() for value in row}
    usual_of = {owner: value for owner, value in usual_of.items() if owner in moved}
    first = [value for value in dict.fromkeys(usual_of.values()) if value in seen]
    values = (*first, *sorted(seen - set(first)))
    return Comparison(setting, values, usual_of, moved, untouched)
