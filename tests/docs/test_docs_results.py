"""Figures on the pages come from the records in results/, and from nowhere else."""

import json
import re

import pages
import pytest
from benchmarks.results import PAGES, ROOT, filled, made, thinned

RECORDS = sorted((ROOT / "results").glob("*.json"))


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_every_table_of_measurements_is_the_one_its_record_makes(page):
    text = page.read_text(encoding="utf-8")
    assert filled(text) == text, "run python -m benchmarks.results write"


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_every_record_is_shown_and_says_how_it_was_made(path):
    record = json.loads(path.read_text(encoding="utf-8"))
    assert record["command"]
    assert record["machine"]["processor"]
    assert {"torch", "python", "secateur"} <= set(record["versions"])
    slot = re.compile(rf"<!-- results:{path.stem}(:\w+)? -->")
    shown = [p.name for p in PAGES if slot.search(p.read_text("utf-8"))]
    assert shown, f"no page shows {path.name}"


def test_a_changed_figure_changes_its_table():
    record = json.loads((ROOT / "results/fashion-mnist.json").read_text(encoding="utf-8"))
    before = made(record)
    record["rows"][0]["summary"]["accuracy"]["mean"] -= 0.01
    assert made(record) != before


def test_a_gain_is_over_each_baseline_and_paired_by_chip():
    record = json.loads((ROOT / "results/fashion-mnist.json").read_text(encoding="utf-8"))
    figures = {row["arm"]: row["per_chip"]["accuracy"] for row in record["rows"]}
    pairs = zip(figures["pruned"], figures["programmed"], strict=True)
    gain = 100 * sum(ours - theirs for ours, theirs in pairs) / len(figures["pruned"])
    lines = made(record, "gains").splitlines()
    row = next(line for line in lines if line.startswith("| `programmed` |"))
    assert f"| {gain:+.2f} ±" in row
    assert not any(line.startswith("| `pruned` |") for line in lines)


def test_memories_are_shown_fresh_and_at_their_greatest_age():
    stress = [
        {"kind": "age", "value": age, "renewed": {"accuracy": figure}}
        for age, figure in ((86400.0, 0.6), (31557600.0, 0.5))
    ]
    trial = {"test": {"accuracy": 0.7}, "validation": None, "pulses": {}, "stress": stress}
    summary = {"accuracy": {"mean": 0.7, "interval95": None}}
    results = [
        {"arm": arm, "variant": "chip.technology=pcm", "summary": summary, "trials": [trial]}
        for arm in ("programmed", "pruned")
    ]
    about = dict.fromkeys(("command", "created", "seed", "chips", "title"), "x")
    machine = {"processes": 1, "threads_per_process": 1, "cores": 2, "processor": "y"}
    record = {**about, "machine": machine, "versions": {"torch": "2"},
              "metrics": {"accuracy": "accuracy"}, "results": results}  # fmt: skip
    kept = thinned(record)
    assert kept["kind"] == "technologies"
    assert "| `pcm` | 70.0 → 50.0 | 70.0 → 50.0 |" in made(kept)


def test_memories_are_shown_with_each_remedy_at_their_greatest_age():
    stress = [
        {"kind": "age", "value": age, "figures": {"accuracy": 0.1},
         "remedied": {"norms": {"accuracy": figure}, "column": {"accuracy": figure + 0.1}}}
        for age, figure in ((86400.0, 0.6), (31557600.0, 0.5))
    ]  # fmt: skip
    trials = [{"test": {"accuracy": 0.7}, "validation": None, "pulses": {}, "stress": stress}]
    result = {
        "arm": "programmed", "variant": "chip.technology=pcm", "trials": trials,
        "summary": {"accuracy": {"mean": 0.7, "interval95": None}},
    }  # fmt: skip
    about = dict.fromkeys(("command", "created", "seed", "chips", "title"), "x")
    machine = {"processes": 1, "threads_per_process": 1, "cores": 2, "processor": "y"}
    record = {**about, "machine": machine, "versions": {"torch": "2"},
              "metrics": {"accuracy": "accuracy"}, "results": [result]}  # fmt: skip
    table = made(thinned(record), "remedies")
    assert "| memory | arm | fresh, % | as it is | norms renewed | by column |" in table
    assert "| `pcm` | `programmed` | 70.0 | 10.0 | 50.0 | 60.0 |" in table


def test_pages_name_no_record_that_is_not_there():
    named = set(
        re.findall(r"<!-- results:([\w-]+)(?::\w+)? -->", "".join(map(pages.named, _names())))
    )
    assert named == {path.stem for path in RECORDS}


def _names():
    return [str(page.relative_to(ROOT)) for page in PAGES]


def test_a_thinned_record_keeps_every_chip():
    trials = [
        {"test": {"accuracy": a}, "validation": None, "pulses": {"set": n, "reset": 0}}
        for a, n in ((0.5, 1), (0.7, 3))
    ]
    result = {"arm": "pruned", "variant": "", "summary": {}, "trials": trials}
    about = dict.fromkeys(
        ("command", "created", "machine", "versions", "seed", "chips", "title"), "x"
    )
    kept = thinned({**about, "metrics": {"accuracy": "accuracy"}, "results": [result]})
    assert kept["kind"] == "arms"
    assert kept["rows"][0]["per_chip"] == {"accuracy": [0.5, 0.7]}
    assert kept["rows"][0]["pulses"] == {"set": 2.0, "reset": 0.0}


def test_cells_that_failed_later_are_shown_by_share():
    stress = [
        {"kind": "failed", "value": share, "figures": {"accuracy": figure}}
        for share, figure in ((0.01, 0.6), (0.1, 0.5))
    ]
    trials = [{"test": {"accuracy": 0.7}, "validation": None, "pulses": {}, "stress": stress}]
    result = {"arm": "pruned", "variant": "", "trials": trials, "summary": {}}
    about = dict.fromkeys(("command", "created", "seed", "chips", "title"), "x")
    machine = {"processes": 1, "threads_per_process": 1, "cores": 2, "processor": "y"}
    record = {**about, "machine": machine, "versions": {"torch": "2"},
              "metrics": {"accuracy": "accuracy"}, "results": [result]}  # fmt: skip
    table = made(thinned(record))
    assert "| cells that fail | 1 % | 10 % |" in table
    assert "| `pruned` | 60.0 % | 50.0 % |" in table


def test_a_run_that_varied_the_error_of_writing_shows_its_crossings():
    machine = {"processes": 1, "threads_per_process": 1, "cores": 2, "processor": "y"}
    row = {"summary": {"accuracy": {"mean": 0.75, "interval95": None}}}
    record = {
        "kind": "variants", "command": "c", "chips": 1, "seed": 0, "machine": machine,
        "versions": {"torch": "2"}, "created": "2026-01-01", "metrics": {"accuracy": "accuracy"},
        "crossings": ["programmed falls below pruned at 0.05."],
        "rows": [{"arm": "pruned", "variant": "", **row}],
    }  # fmt: skip
    table = made(record)
    assert "| whatever it is | 75.00 % |" in table
    assert "- programmed falls below pruned at 0.05." in table
