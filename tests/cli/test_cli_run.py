"""A small real run, from the words typed to the page; what may follow it; what is refused."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from secateur.cli.main import app
from secateur.experiment.recipe import Recipe

WORDS = ("run", "digits", "--arm", "pruned", "--arm", "digital", "--epochs", "1", "--seed", "3",
         "--set", "search.keep_fraction=0.25")  # fmt: skip
TIMES = ("created", "wall_time_s", "command")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The directory of a finished run, and what it printed."""
    out = tmp_path_factory.mktemp("runs") / "small"
    return out, CliRunner().invoke(app, [*WORDS, "--out", str(out)])


def _state(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def _timeless(record: dict) -> dict:
    kept = {key: value for key, value in record.items() if key not in TIMES}
    for result in kept["results"]:
        for trial in result["trials"]:
            trial.pop("wall_time_s")
    return kept


def test_a_run_ends_with_the_table_and_the_page(finished):
    out, done = finished
    assert done.exit_code == 0, done.stderr
    rows = {line.split()[0]: line for line in done.stdout.splitlines() if line.strip()}
    record = json.loads((out / "record.json").read_text(encoding="utf-8"))
    for result in record["results"]:
        row = rows[result["arm"]]
        assert f"{100 * result['summary']['accuracy']['mean']:.2f} %" in row
        assert row.endswith("J") == (result["arm"] == "pruned")
    assert done.stdout.splitlines()[-1] == f"Report: {out / 'report.html'}"
    assert (out / "report.html").read_text(encoding="utf-8").lower().startswith("<!doctype html>")


def test_progress_goes_to_stderr_only(finished):
    _, done = finished
    assert done.stderr.startswith("2 epochs in all\n")
    told = re.findall(r"^\[\d/2\] (\S+), chip 0: test accuracy", done.stderr, re.MULTILINE)
    assert sorted(told) == ["digital", "pruned"]
    assert "epoch" not in done.stdout


def test_options_have_reached_the_recipe_and_the_record(finished):
    out, _ = finished
    recipe = Recipe.read(out / "recipe.toml")
    assert set(recipe.run.arms) == {"digital", "pruned"}
    assert (recipe.training.epochs, recipe.run.seed) == (1, 3)
    record = json.loads((out / "record.json").read_text(encoding="utf-8"))
    kept = {r["arm"]: r["trials"][0]["keep_fraction"] for r in record["results"]}["pruned"]
    assert list(kept.values()) == pytest.approx([0.25] * len(kept), abs=0.01)
    assert record["command"] == " ".join((f"secateur {' '.join(WORDS)}", "--out", str(out)))


def test_resuming_a_finished_run_gives_its_record_as_json(finished):
    out, _ = finished
    before = json.loads((out / "record.json").read_text(encoding="utf-8"))
    done = CliRunner().invoke(app, ["run", "--resume", "--out", str(out), "--json"])
    assert done.exit_code == 0, done.stderr
    assert _timeless(json.loads(done.stdout)) == _timeless(before)
    assert f"Report: {out / 'report.html'}" in done.stderr


@pytest.mark.parametrize(
    ("words", "message", "code"),
    [
        (WORDS, "not empty", 1),
        (("run", "--resume", "--epochs", "2"), "training.epochs", 2),
        (("run", "--resume", "--threads", "2"), "--threads 1", 2),
        (("run", "fashion-mnist", "--resume"), "'digits', not of 'fashion-mnist'", 2),
    ],
)
def test_an_existing_run_is_never_overwritten(finished, words, message, code):
    out, _ = finished
    before = _state(out)
    done = CliRunner().invoke(app, [*words, "--out", str(out)])
    assert done.exit_code == code
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert _state(out) == before


def test_a_report_can_be_written_anew(finished):
    out, _ = finished
    (out / "report.html").unlink()
    assert CliRunner().invoke(app, ["report", str(out)]).stdout == f"{out / 'report.html'}\n"
    assert (out / "report.html").is_file()


@pytest.mark.parametrize(
    ("words", "runs", "page"),
    [
        ("a", ["a"], "a/report.html"),
        ("a b", ["a", "b"], "report.html"),
        ("a b --out both.html", ["a", "b"], "both.html"),
    ],
)
def test_a_report_has_its_place(secateur, monkeypatch, words, runs, page):
    asked = []
    monkeypatch.setattr("secateur.report.write_report", lambda *args: asked.append(args) or args[1])
    done = secateur("report", *words.split(), "--json")
    assert json.loads(done.stdout) == {"report": page}
    assert asked == [([Path(run) for run in runs], Path(page))]


@pytest.mark.parametrize(
    ("words", "message", "code"),
    [
        ("run digits --arm pruned --set search.keep_fraction=1.5", "keep_fraction", 2),
        ("run digits --arm pruned --set chip.technology=taox-40mn", "'taox-40nm'", 2),
        ("run digits --arm pruned --set chip.values.read_voltage=-0.2", "read_voltage", 2),
        ("run digits --arm digital --set network.chanels=4", "'network.channels'", 2),
        ("run digits --arm digital --vary search.dead_bnd=0.1", "'search.dead_band'", 2),
        ("run fashion-mnist --arm digital --data missing", "--data", 1),
    ],
)
def test_what_only_the_experiment_can_judge_is_refused_alike(secateur, empty, words, message, code):
    done = secateur(*words.split())
    assert (done.exit_code, done.stdout) == (code, "")
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("secateur: ")


@pytest.mark.skipif(os.name == "nt", reason="signals of a terminal")
def test_an_interrupted_run_goes_on(secateur, tmp_path):
    out = tmp_path / "long"
    words = ["run", "digits", "--arm", "digital", "--epochs", "300", "--out", str(out)]
    # What a shell starts in the background is deaf to Ctrl-C, and so is what that starts.
    hears = "signal.signal(signal.SIGINT, signal.default_int_handler)"
    program = f"import runpy, signal; {hears}; runpy.run_module('secateur', run_name='__main__')"
    process = subprocess.Popen(
        [sys.executable, "-c", program, *words],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    metrics, limit = out / "metrics.jsonl", time.monotonic() + 60
    while not (metrics.exists() and metrics.stat().st_size) and time.monotonic() < limit:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)  # as Ctrl-C does
    shown, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert shown == ""
    assert told.splitlines()[-1] == (
        f"secateur: Interrupted. `secateur run --resume --out {out}` goes on with it."
    )
    assert "Traceback" not in told
    assert not (out / "record.json").exists()
    resumed = secateur("run", "--resume", "--out", out, "--json")
    assert resumed.exit_code == 0, resumed.stderr
    history = json.loads(resumed.stdout)["results"][0]["trials"][0]["history"]
    assert [line["epoch"] for line in history] == list(range(1, 301))
