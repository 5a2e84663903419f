"""Settings whose values are words: a table of arms by value, and the weights each one makes."""

from typing import Any

from secateur.report import numbers
from secateur.report.drawing import Plate
from secateur.report.headline import BASELINE
from secateur.report.histograms import pair_comparison_plate
from secateur.report.maps import Array, chip_maps
from secateur.report.reading import Result, Run
from secateur.report.sweeps import Comparison


def table(run: Run, comparison: Comparison) -> list[dict[str, Any]]:
    """One row for each arm and value, best of each arm marked."""
    rows = []
    for owner, by_value in comparison.cells.items():
        means = {value: _mean(run, result) for value, result in by_value.items()}
        known = [mean for mean in means.values() if mean is not None]
        for value in comparison.values:
            if value in by_value:
                best = len(known) > 1 and means[value] == max(known)
                rows.append(_row(run, owner, value, by_value[value], best=best))
    return rows


def _row(run: Run, owner: str, value: str, result: Result, *, best: bool) -> dict[str, Any]:
    score, flips = run.score(result), result.statistic("flips_per_edge")
    worn = result.statistic("most_worn_cell")
    return {
        "arm": result.arm,
        "name": owner,
        "value": value,
        "best": best,
        "mean": numbers.percent_number(_mean(run, result)),
        "interval": numbers.interval_percent(score),
        "n": str(score.n) if score else numbers.DASH,
        "flips": numbers.plain(flips.mean if flips else None),
        "worn": numbers.plain(worn.mean if worn else None),
        "form": numbers.count(result.pulses("form")),
    }


def _mean(run: Run, result: Result) -> float | None:
    score = run.score(result)
    return score.mean if score else None


def weights_plate(key: str, run: Run, comparison: Comparison) -> Plate | None:
    """Pair differences as formed for each value, where at least two values have them."""
    found: dict[str, Array] = {}
    for by_value in comparison.cells.values():
        for value in comparison.values:
            maps = chip_maps(run, by_value[value]) if value in by_value else None
            sample = maps.cells.get("pair_difference") if maps else None
            if value not in found and sample is not None and sample.size:
                found[value] = sample
    if len(found) < 2:
        return None
    ordered = {value: found[value] for value in comparison.values if value in found}
    return pair_comparison_plate(key, comparison.setting, ordered)


def words(run: Run, found: Comparison) -> str:
    """Which value did best for each arm, in one sentence."""
    parts = []
    for owner, by_value in found.cells.items():
        means = {value: _mean(run, result) for value, result in by_value.items()}
        known = {value: mean for value, mean in means.items() if mean is not None}
        if len(known) > 1 and not owner.startswith(BASELINE):
            best = max(known, key=lambda value: known[value])
            parts.append(f"{best} for {owner} ({numbers.percent(known[best])})")
    text = f"Highest mean: {', '.join(parts)}." if parts else ""
    if found.untouched:
        text += f" It leaves {', '.join(found.untouched)} as they are."
    if found.shipped:
        values = set(found.shipped.values())
        own = [f"{value} for {owner}" for owner, value in found.shipped.items()]
        text += f" In the recipe: {', '.join(own) if len(values) > 1 else values.pop()}."
    return text.strip()
