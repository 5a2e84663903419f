"""What it takes to trust a figure and to make it again: recipe, physics, placement, machine."""

from collections.abc import Mapping, Sequence
from typing import Any

from secateur.report import numbers
from secateur.report.headline import name_of, shown_results
from secateur.report.reading import Result, Run

Lines = list[tuple[str, str]]


def recipe(run: Run) -> list[tuple[str, Lines]]:
    """The complete recipe as sections of (key, value); deeper keys are joined by dots."""
    top: Lines = []
    sections: list[tuple[str, Lines]] = []
    for key, value in run.record.recipe.items():
        if isinstance(value, Mapping):
            sections.append((key, _flat(value)))
        else:
            top.append((key, numbers.value_words(value)))
    return ([("recipe", top)] if top else []) + sections


def _flat(tree: Mapping[str, Any], before: str = "") -> Lines:
    lines: Lines = []
    for key, value in tree.items():
        if isinstance(value, Mapping):
            lines += _flat(value, f"{before}{key}.")
        else:
            lines.append((before + key, numbers.value_words(value)))
    return lines


def physics(run: Run) -> tuple[list[str], list[tuple[str, list[str]]]]:
    """The arms that tell theirs, and for each quantity its values: one an arm, or one for all."""
    chipped = [result for result in shown_results(run) if _physics_of(result)]
    keys = list(dict.fromkeys(key for result in chipped for key in _physics_of(result)))
    rows = [
        (key.replace("_", " "), _told_once([_physics_words(result, key) for result in chipped]))
        for key in keys
    ]
    return [name_of(run, result) for result in chipped], rows


def _told_once(values: list[str]) -> list[str]:
    """The values, or one for all of them where they agree."""
    return values[:1] if len(set(values)) == 1 else values


def _physics_of(result: Result) -> dict[str, Any]:
    return dict(next((trial.physics for trial in result.trials if trial.physics), {}))


def _physics_words(result: Result, key: str) -> str:
    values = dict.fromkeys(
        numbers.value_words(trial.physics[key]) for trial in result.trials if key in trial.physics
    )
    return " / ".join(values) or numbers.DASH


def without_chip(run: Run) -> list[str]:
    """The arms that ran without a chip."""
    return [name_of(run, result) for result in shown_results(run) if not result.has_chip]


def notes(run: Run) -> list[str]:
    """What the trials have to tell of their course, each sentence once."""
    return list(dict.fromkeys(n for r in run.record.results for t in r.trials for n in t.notes))


def placements(run: Run) -> list[dict[str, str]]:
    """Where each arm's edges sit; arms with the same placement share a row."""
    rows: dict[tuple[str, str, str], list[str]] = {}
    for result in shown_results(run):
        note = next((trial.placement for trial in result.trials if trial.placement), None)
        if note is not None:
            words = (numbers.count(note.macros), numbers.percent(note.utilisation), note.text)
            rows.setdefault(words, []).append(name_of(run, result))
    return [
        {"arms": ", ".join(arms), "macros": macros, "utilisation": share, "text": text}
        for (macros, share, text), arms in rows.items()
    ]


def origin(run: Run) -> Lines:
    """Command, time, seed, threads, machine and versions."""
    record = run.record
    lines = [
        ("command", record.command),
        ("finished", record.created),
        ("wall time", numbers.duration(record.wall_time_s)),
        ("seed", numbers.value_words(record.seed)),
        ("chips", numbers.value_words(record.chips)),
        *((key.replace("_", " "), numbers.value_words(v)) for key, v in record.machine.items()),
        *((key, numbers.value_words(value)) for key, value in record.versions.items()),
        ("run directory", run.name),
    ]
    return [(key, value) for key, value in lines if value not in ("", "none", numbers.DASH)]


def trials(run: Run) -> Sequence[dict[str, str]]:
    """Every trial with its seed, figures and time."""
    metric = run.record.metric
    return [
        {
            "name": result.name,
            "arm": result.arm,
            "chip": str(trial.chip),
            "seed": numbers.value_words(trial.seed),
            "test": numbers.percent_number(trial.test.get(metric), 2),
            "validation": numbers.percent_number(trial.validation.get(metric), 2),
            "flips": numbers.plain(trial.flips_per_edge),
            "worn": numbers.plain(trial.most_worn_cell),
            "time": numbers.duration(trial.wall_time_s),
        }
        for result in run.record.results
        for trial in result.trials
    ]
