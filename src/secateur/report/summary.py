"""The opening paragraph: what was run, on which physics, and what came of it, in plain words."""

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup, escape

from secateur.report import numbers
from secateur.report.arms import GRAINS
from secateur.report.headline import BASELINE, Entry
from secateur.report.reading import Run
from secateur.report.sweeps import in_recipe, is_number


def opening(run: Run, rows: Sequence[Entry]) -> Markup:
    """A few sentences on one run; the number the reader came for is emphasised."""
    mine = [row for row in rows if row.run is run]
    scored = [row for row in mine if row.mean is not None]
    ours = [row for row in scored if row.result.arm in GRAINS]
    best = max(ours or scored, key=lambda row: row.mean or 0.0, default=None)
    sentences = [_what(run, mine), _physics(mine, best)]
    if best is None:
        sentences.append(Markup("No arm has finished with a figure yet."))
    elif ours:
        sentences += [_result(run, best), *_against_programming(best, scored), *_price(best)]
    else:
        sentences.append(_highest(run, best))
    return Markup(" ").join(sentences)


def _what(run: Run, rows: Sequence[Entry]) -> Markup:
    record = run.record
    arms = len({row.result.arm for row in rows})
    chipped = len({row.result.arm for row in rows if row.result.has_chip})
    chips = record.chips or max((len(row.result.trials) for row in rows), default=0)
    epochs = _epochs(run)
    edges = next((t.edges for row in rows for t in row.result.trials if t.edges), None)
    network = f"a network of {numbers.count(edges)} edges" if edges else "a network"
    where = ""
    if chipped:
        who = "" if chipped == arms else f", {chipped} of them"
        where = f"{who} on {numbers.number_of(chips, 'simulated chip')}"
        where += " each" if chipped > 1 else ""
    length = f"; training took {numbers.number_of(epochs, 'epoch')}" if epochs else ""
    return escape(
        f"This run taught {record.title or record.task} to {network} in "
        f"{numbers.number_of(arms, 'way')}{where}{length}."
    )


def _epochs(run: Run) -> int:
    stated = in_recipe(run.record.recipe, "training.epochs") or run.record.recipe.get("epochs")
    lengths = [len(trial.history) for result in run.record.results for trial in result.trials]
    return stated if isinstance(stated, int) else max(lengths, default=0)


def _physics(rows: Sequence[Entry], best: Entry | None) -> Markup:
    """What the chips of the best arm (or of the first arm with a chip) were made of."""
    chipped = [row for row in rows if row.result.has_chip]
    if not chipped:
        return Markup("No chip took part: these are digital results.")
    row = best if best is not None and best.result.has_chip else chipped[0]
    facts = next((t.physics for t in row.result.trials if t.physics), {})
    parts = _physics_parts(facts)
    who = "chip of {} is" if len(row.result.trials) == 1 else "chips of {} are"
    text = f"The {who.format(row.name)} {facts.get('technology', 'of no named technology')}"
    return escape(text + (f": {', '.join(parts)}." if parts else "."))


def _physics_parts(facts: Mapping[str, Any]) -> list[str]:
    known = {key: value for key, value in facts.items() if value not in (None, "", 0)}
    parts = [f"forming {known['forming']}"] if "forming" in known else []
    spread = "cycle_spread" if "cycle_spread" in facts else "cycle_spread_high"
    for key, words in (("read_noise", "read noise"), (spread, "cycle-to-cycle spread")):
        if key in known:
            parts.append(f"{_amount(known[key])} {words}")
        elif is_number(facts.get(key)):
            parts.append(f"no {words}")
    if is_number(known.get("input_bits")):
        parts.append(f"{known['input_bits']}-bit inputs")
    if "circuit" in known:
        parts.append(str(known["circuit"]))
    return parts


def _amount(value: Any) -> str:
    if not is_number(value):
        return str(value)
    return f"{numbers.plain(100 * float(value))}{numbers.THIN}%"


def _highest(run: Run, best: Entry) -> Markup:
    sentence = Markup("The highest {} {} is that of {}: <strong>{}</strong>.")
    mean = numbers.percent(best.mean)
    return sentence.format(run.split, run.record.metric_title, best.name, mean)


def _result(run: Run, best: Entry) -> Markup:
    interval = f" (95\u202f% interval {numbers.interval_percent(best.score)})"
    spread = interval if best.score and best.score.interval else ""
    return Markup("Pruning {} reached <strong>{}</strong> {} {}{}{}.").format(
        GRAINS[best.result.arm],
        numbers.percent(best.mean),
        run.split,
        run.record.metric_title,
        spread,
        _distance(best),
    )


def _distance(best: Entry) -> str:
    if best.difference is None:
        return ""
    return f", {_apart(best.difference, 'above', 'below')} {BASELINE}"


def _apart(difference: float, more: str, less: str) -> str:
    """A difference of two shares in points; "level with" where it would be shown as none."""
    if abs(difference) < 0.0005:
        return "level with"
    return f"{abs(100 * difference):.1f} points {more if difference > 0 else less}"


def _against_programming(best: Entry, rows: Sequence[Entry]) -> list[Markup]:
    fair = [row for row in rows if row.result.arm.startswith("programmed")]
    if not fair or best.mean is None:
        return []
    rival = max(fair, key=lambda row: row.mean or 0.0)
    gap = best.mean - (rival.mean or 0.0)
    name = f"{rival.name} ({numbers.percent(rival.mean)})"
    doubt = ", though their intervals overlap" if _overlap(best, rival) else ""
    better = ", the better way to write trained weights" if len(fair) > 1 else ""
    return [escape(f"That is {_apart(gap, 'ahead of', 'behind')} {name}{better}{doubt}.")]


def _overlap(one: Entry, other: Entry) -> bool:
    ends = [row.score.interval if row.score else None for row in (one, other)]
    if ends[0] is None or ends[1] is None:
        return False
    return ends[0][0] <= ends[1][1] and ends[1][0] <= ends[0][1]


def _price(best: Entry) -> list[Markup]:
    flips = best.result.statistic("flips_per_edge")
    worn = best.result.statistic("most_worn_cell")
    if flips is None:
        return []
    worst = f"; the most worn cell took {numbers.plain(worn.mean)} pulse" if worn else ""
    worst += "s" if worn and worn.mean != 1 else ""
    return [escape(f"It cost {numbers.plain(flips.mean)} mask flips per edge{worst}.")]
