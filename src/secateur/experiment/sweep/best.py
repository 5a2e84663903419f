"""What a sweep has found: configurations ranked by the figure that decides, and the best recipe."""

from collections.abc import Sequence
from typing import Any

import tomli_w

from secateur.experiment.recipe import Recipe, set_path
from secateur.experiment.record import summarise
from secateur.experiment.sweep.plan import Plan
from secateur.experiment.sweep.table import Row, mean_of
from secateur.experiment.sweep.work import FINISHED


def ranked(plan: Plan, rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Configurations of which every chip has finished, the best of each arm first.

    Returns:
        `arm`, `run`, `settings` and the summary of the figure that decides; arms in their order.
    """
    runs: dict[str, list[Row]] = {}
    for row in rows:
        runs.setdefault(row["run"], []).append(row)
    found = []
    for run, trials in runs.items():
        mean = mean_of(trials, plan.metric)
        if mean is None or len(trials) < plan.recipe.run.chips:
            continue
        heeded = plan.space_of(trials[0]["arm"])
        paths = heeded.settings if heeded is not None else ()
        found.append({
            "arm": trials[0]["arm"], "run": run,
            "settings": {path: trials[0][path] for path in paths},
            **summarise([row[plan.metric] for row in trials if row["state"] == FINISHED]),
        })  # fmt: skip
    sign = -1.0 if plan.maximise else 1.0
    # Among equals the first one: the order of the values that were given.
    return sorted(found, key=lambda one: (plan.arms.index(one["arm"]), sign * one["mean"]))


def best_of(ranking: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The first of each arm."""
    best: dict[str, dict[str, Any]] = {}
    for one in ranking:
        best.setdefault(one["arm"], one)
    return best


def best_recipe(plan: Plan, best: dict[str, dict[str, Any]]) -> Recipe:
    """The recipe in which every arm has its own best settings, to report on the test part."""
    table = plan.recipe.with_settings({"run.split": "test", "run.arms": list(best)}).table()
    for arm, found in best.items():
        for path, value in found["settings"].items():
            set_path(table.setdefault("arms", {}), f"{arm}.{path}", value)
    return Recipe.parse(table, where="the best of the sweep")


def best_toml(plan: Plan, best: dict[str, dict[str, Any]]) -> str:
    """That recipe as TOML, with what was found on the validation part as comments."""
    lines = [f"# Best settings of each arm by {plan.metric} on the validation part:"]
    lines += [f"# {arm}: {found['mean']:.6g}, {found['run']}" for arm, found in best.items()]
    lines.append("# The test part is still unread: `secateur run --recipe best.toml` reads it.")
    return "\n".join([*lines, "", tomli_w.dumps(best_recipe(plan, best).table())])
