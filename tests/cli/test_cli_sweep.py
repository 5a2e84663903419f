"""`secateur sweep` and `secateur monte-carlo`: from the words typed to files, tables and pages."""

import json

import pytest

from secateur.experiment.recipe import Recipe

TINY = ("--set", "network.channels=2", "--set", "network.hidden=8", "--epochs", "1")
OVER = ("--over", "search.keep_fraction=0.3,0.7", "--over", "training.learning_rate=0.1,1e9")
WRONG = [
    (("sweep", "digits"), "Nothing is swept"),
    (("sweep",), "No task was named"),
    (
        ("sweep", "digits", "--over", "search.keep_fractoin=0.3"),
        "Did you mean 'search.keep_fraction'",
    ),
    (("sweep", "digits", "--over", "search.keep_fraction"), "names no values"),
    (("sweep", "digits", "--over", "search.keep_fraction="), "names no values"),
    (("sweep", "digits", "--over", "search.keep_fraction=0.1..0.5"), "--random N"),
    (("sweep", "digits", *OVER, "--arms", "pruned,prunde"), "Did you mean 'pruned'"),
    (("sweep", "digits", *OVER, "--trials", "5"), "--optimise METRIC"),
    (("sweep", "digits", *OVER, "--retry-failed"), "Add --resume"),
    (("sweep", "digits", *OVER, "--scheduler", "tcp://127.0.0.1:1"), "Add --backend"),
    (("sweep", "digits", *OVER, "--backend", "dask"), "where the cluster is"),
    (("sweep", "--resume"), "--out"),
    (("sweep", "--resume", "--out", "x", "--chips", "2"), "--chips would change it"),
]
MANY = ",".join(map(str, range(1, 301)))


@pytest.mark.parametrize(("words", "message"), WRONG)
def test_bad_input_is_refused_in_one_paragraph(secateur, empty, words, message):
    result = secateur(*words)
    assert result.exit_code == 2, result.stderr
    told = [line for line in result.stderr.splitlines() if line.startswith("secateur: ")]
    assert len(told) == 1
    assert message in told[0]
    assert result.stdout == ""
    assert list(empty.iterdir()) == []


def test_many_trials_are_counted_and_asked_about_before_anything_is_written(secateur, empty):
    result = secateur("sweep", "digits", "--arms", "pruned", "--over", f"run.chips={MANY}")
    assert result.exit_code == 2
    result = secateur("sweep", "digits", "--arms", "pruned", "--over", f"training.epochs={MANY}")
    assert result.exit_code == 2
    assert "300 trials" in result.stderr
    assert "--yes" in result.stderr
    assert list(empty.iterdir()) == []
    wrong = f"training.epochs={MANY},0"
    result = secateur("sweep", "digits", "--arms", "pruned", "--over", wrong)
    assert "301 trials" in result.stderr
    assert "--yes" in result.stderr


def test_a_directory_that_cannot_be_resumed_is_refused(secateur, empty):
    result = secateur("sweep", "--resume", "--out", "missing")
    assert result.exit_code == 1
    assert "no sweep to resume" in result.stderr


def test_a_sweep_ends_with_its_table_the_best_recipe_and_the_page(secateur, empty):
    words = ("sweep", "digits", *TINY, *OVER, "--arms", "digital", "--jobs", "1", "--out", "s")
    done = secateur(*words)
    assert done.exit_code == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("Trials: 1 finished, 1 failed. A failure: The loss became")
    assert any(line.startswith("digital") and "training.learning_rate=0.1" in line
               for line in lines)  # fmt: skip
    assert lines[-2:] == ["Best recipe: s/best.toml", "Report: s/report.html"]
    assert "2 trials at most" in done.stderr
    assert "digital, training.learning_rate=1000000000.0, chip 0: failed" in done.stderr
    assert Recipe.read(empty / "s/best.toml").run.split == "test"
    again = secateur("sweep", "--resume", "--out", "s", "--json")
    assert again.exit_code == 0, again.stderr
    results = json.loads(again.stdout)
    assert results == json.loads((empty / "s/results.json").read_text())
    assert results["command"].startswith("secateur sweep digits")
    assert (empty / "s/report.html").read_text().lower().startswith("<!doctype html>")


def test_draws_end_with_a_table_and_a_yield(secateur, empty):
    words = ("run", "digits", *TINY, "--arm", "pruned", "--split", "validation", "--out", "r")
    assert secateur(*words).exit_code == 0
    done = secateur("monte-carlo", "r", "--draws", "3", "--at-least", "0", "--jobs", "1")
    assert done.exit_code == 0, done.stderr
    assert "100.00 % (29.24 % – 100.00 %)" in done.stdout
    assert done.stdout.splitlines()[-1] == "Report: r/monte-carlo/report.html"
    told = json.loads(secateur("monte-carlo", "r", "--draws", "2", "--jobs", "1", "--json").stdout)
    assert len(told["draws"]) == 2
    refused = secateur("monte-carlo", "r", "--at-least", "90")
    assert refused.exit_code == 2
    assert "Give one from 0 to 1" in refused.stderr
