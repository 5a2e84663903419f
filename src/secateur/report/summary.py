"""The opening paragraph: what was run, on which physics, and what came of it, in plain words."""

from collections.abc import Sequence
from typing import Any

from markupsafe import Markup, escape

from secateur.report import numbers
from secateur.report.headline import BASELINE, Entry
from secateur.report.reading import Run
from secateur.report.sweeps import in_recipe


def opening(run: Run, rows: Sequence[Entry]) -> Markup:
    """Two to four sentences on one run; numbers the reader came for are emphasised."""
    mine = [row for row in rows if row.run is run]
    sentences = [_what(run, mine), _physics(mine), *_outcome(run, mine)]
    return Markup(" ").join(sentence for sentence in sentences if sentence)


def _what(run: Run, rows: Sequence[Entry]) -> Markup:
    record = run.record
    title = record.title or record.task
    arms = len({row.result.arm for row in rows})
    chips = record.chips or max((len(row.result.trials) for row in rows), default=0)
    epochs = _epochs(run)
    on_chips = any(row.result.has_chip for row in rows)
    where = f" on {numbers.number_of(chips, 'simulated chip')}" if on_chips and chips else ""
    length = f", {numbers.number_of(epochs, 'epoch')} each" if epochs else ""
    edges = next((t.edges for row in rows for t in row.result.trials if t.edges), None)
    size = f" with a network of {numbers.count(edges)} edges" if edges else ""
    return Markup("<strong>{}</strong>{}: {}{}{}.").format(
        title, size, numbers.number_of(arms, "way", "ways") + " to learn it", where, length
    )


def _epochs(run: Run) -> int:
    stated = in_recipe(run.record.recipe, "training.epochs") or run.record.recipe.get("epochs")
    lengths = [len(trial.history) for result in run.record.results for trial in result.trials]
    return stated if isinstance(stated, int) else max(lengths, default=0)


def _physics(rows: Sequence[Entry]) -> Markup:
    """What the chips of the pruned arm (or of the first arm with a chip) were made of."""
    with_physics = sorted(
        (row for row in rows if any(trial.physics for trial in row.result.trials)),
        key=lambda row: row.result.arm != "pruned",
    )
    if not with_physics:
        return Markup("No chip took part: these are digital results.")
    facts = next(t.physics for t in with_physics[0].result.trials if t.physics)
    parts = [
        f"{name} {_amount(facts[key])}"
        for key, name in (
            ("read_noise", "read noise"),
            ("cycle_spread", "cycle-to-cycle spread"),
        )
        if facts.get(key) is not None
    ]
    if facts.get("forming"):
        parts.insert(0, f"forming: {facts['forming']}")
    if facts.get("input_bits"):
        parts.append(f"{facts['input_bits']}-bit inputs")
    if facts.get("circuit"):
        parts.append(str(facts["circuit"]))
    technology = facts.get("technology", "unnamed")
    return escape(f"The chips are {technology}" + (f" ({'; '.join(parts)})." if parts else "."))


def _amount(value: Any) -> str:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return numbers.percent(float(value), 0 if round(100 * value, 6) == round(100 * value) else 1)
    return str(value)


def _outcome(run: Run, rows: Sequence[Entry]) -> list[Markup]:
    scored = [row for row in rows if row.mean is not None]
    if not scored:
        return [Markup("No arm has finished with a figure yet.")]
    ours = [row for row in scored if row.result.arm in ("pruned", "pruned-cells")]
    if not ours:
        best = max(scored, key=lambda row: row.mean or 0.0)
        sentence = "The highest {} {} is that of {}, <strong>{}</strong>."
        metric = run.record.metric
        name, mean = best.result.name, numbers.percent(best.mean)
        return [Markup(sentence).format(run.split, metric, name, mean)]
    best = max(ours, key=lambda row: row.mean or 0.0)
    return [_result(run, best), *_price(best), *_against_programming(best, scored)]


def _result(run: Run, best: Entry) -> Markup:
    grain = {"pruned": "pairs", "pruned-cells": "cells"}[best.result.arm]
    interval = f" (95 % interval {numbers.interval_percent(best.score)})"
    spread = interval if best.score and best.score.interval else ""
    sentence = Markup("Pruning {} reached <strong>{}</strong>{} {} {}{}.")
    return sentence.format(
        grain,
        numbers.percent(best.mean),
        spread,
        run.split,
        run.record.metric,
        _distance(best),
    )


def _distance(best: Entry) -> str:
    if best.difference is None:
        return ""
    if abs(best.difference) < 0.0005:
        return f", level with {BASELINE}"
    side = "above" if best.difference > 0 else "below"
    return f", {abs(100 * best.difference):.1f} points {side} {BASELINE}"


def _price(best: Entry) -> list[Markup]:
    flips = best.result.statistic("flips_per_edge")
    worn = best.result.statistic("most_worn_cell")
    if flips is None:
        return []
    worst = f", and {numbers.plain(worn.mean)} pulses on the most worn cell" if worn else ""
    return [escape(f"It took {numbers.plain(flips.mean)} mask flips per edge{worst}.")]


def _against_programming(best: Entry, rows: Sequence[Entry]) -> list[Markup]:
    fair = [row for row in rows if row.result.arm.startswith("programmed") and row.mean is not None]
    if not fair or best.mean is None:
        return []
    rival = max(fair, key=lambda row: row.mean or 0.0)
    gap = best.mean - (rival.mean or 0.0)
    verb = "ahead of" if gap > 0 else "behind"
    sentence = (
        f"That is {abs(100 * gap):.1f} points {verb} the best of the conventional ways, "
        f"{rival.result.name} ({numbers.percent(rival.mean)})."
    )
    return [escape(sentence)]
