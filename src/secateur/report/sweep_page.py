"""The page of a sweep: the best settings of each arm, and how the figure hangs on each setting."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from secateur.report import numbers
from secateur.report.interactions import interaction_plates
from secateur.report.page import style_sheet, template, write_page
from secateur.report.parallel import parallel_plate
from secateur.report.slices import slice_plates
from secateur.report.sweep_reading import Ranked, SweepResults, read_results

SHOWN_ROWS = 12
WAYS = {
    "grid": "every combination of the values",
    "random": "combinations drawn at random",
    "optimise": "combinations that a search suggested (Optuna, TPE)",
}


def write_sweep_page(folder: Path, out: Path) -> Path:
    """Writes the page of a finished sweep as one HTML file that needs nothing else.

    Args:
        folder: the sweep's directory.
        out: the file; an older page is replaced, only once the new one is complete.

    Raises:
        FileError: where results cannot be read or the page cannot be written.
    """
    results = read_results(folder)
    whole = parallel_plate("parallel", results)
    page = template("sweep.html.jinja").render(
        title=f"A sweep of {results.title}",
        style=style_sheet(),
        words=opening(results),
        best=[_row(results, one) for one in results.best.values()],
        settings=list(results.space),
        metric=results.metric_title,
        unit=", %" if results.in_percent else "",
        ranking=[_row(results, one) for one in _shown(results)],
        total=len(results.ranking),
        whole=[] if whole is None else [whole],
        slices=slice_plates("slice", results),
        interactions=interaction_plates("pair", results),
        failures=_failures(results),
        space=[(path, in_words(values)) for path, values in results.space.items()],
        origin=_origin(results),
        created=results.created,
        version=results.versions.get("secateur", ""),
    )
    return write_page(page.strip() + "\n", out)


def opening(results: SweepResults) -> str:
    """What was done and what came of it, in a few sentences."""
    states = results.states
    told = [f"{numbers.count(number)} {state}" for state, number in states.items() if number]
    number = len(results.space)
    words = [
        f"{numbers.number_of(number, 'setting')} varied jointly, {WAYS[results.kind]}: "
        f"trials {', '.join(told) or 'none yet'}."
    ]
    for arm, one in results.best.items():
        words.append(f"{arm} was best at {_figure(results, one)} with {_settings(one)}.")
    words.append("All figures are of the validation part; the test set is unread.")
    return " ".join(words)


def in_words(values: Any) -> str:
    """Values, or a range, of a setting."""
    if isinstance(values, Mapping):
        scale = ", evenly in the logarithm" if values["logarithmic"] else ""
        return f"{values['low']:g} to {values['high']:g}{scale}"
    return numbers.value_words(values)


def _settings(one: Ranked) -> str:
    told = [f"{path} = {_value(value)}" for path, value in one.settings.items()]
    return ", ".join(told) or "the recipe as it is, which heeds none of them"


def _value(value: Any) -> str:
    return numbers.signed(f"{value:.4g}") if isinstance(value, float) else str(value)


def _figure(results: SweepResults, one: Ranked) -> str:
    return numbers.percent(one.mean) if results.in_percent else f"{one.mean:.4g}"


def _shown(results: SweepResults) -> list[Ranked]:
    return [
        one
        for arm in results.arms
        for one in [own for own in results.ranking if own.arm == arm][:SHOWN_ROWS]
    ]


def _row(results: SweepResults, one: Ranked) -> dict[str, Any]:
    digits = [results.shown(end) for end in one.interval95 or ()]
    ends = " – ".join(numbers.signed(f"{end:.1f}") for end in digits)
    return {
        "arm": one.arm,
        "run": one.run,
        "values": [
            _value(one.settings[path]) if path in one.settings else numbers.DASH
            for path in results.space
        ],
        "mean": f"{results.shown(one.mean):.2f}",
        "interval": ends or numbers.DASH,
        "n": one.n,
    }


def _failures(results: SweepResults) -> list[str]:
    """Each error once, with how many trials ended by it."""
    found: dict[str, int] = {}
    for row in results.rows:
        if row["state"] == "failed":
            found[str(row["error"])] = found.get(str(row["error"]), 0) + 1
    return [f"{numbers.number_of(n, 'trial')}: {error}" for error, n in found.items()]


def _origin(results: SweepResults) -> list[tuple[str, str]]:
    machine = results.machine
    cores = numbers.number_of(machine.get("cores", 0), "core")
    threads = numbers.number_of(machine.get("threads_per_process", 0), "thread")
    versions = ", ".join(f"{name} {number}" for name, number in results.versions.items())
    return [
        ("command", results.command),
        ("machine", f"{machine.get('processor')}, {cores}"),
        ("workers", f"{machine.get('processes')} at a time, of {threads}"),
        ("last session", numbers.duration(results.wall_time_s)),
        ("versions", versions),
    ]  # fmt: skip
