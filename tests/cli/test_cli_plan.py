"""`secateur plan` and `secateur apply`, from a run's directory to a pruned chip."""

import csv
import json

import pytest


@pytest.fixture
def run(secateur, empty):
    """A small search."""
    done = secateur(
        "run", "digits", "--arm", "pruned", "--epochs", 2, "--out", "run",
        "--set", "network.channels=4", "--set", "network.hidden=12",
    )  # fmt: skip
    assert done.exit_code == 0, done.stderr
    return empty / "run"


def test_a_plan_is_shown_written_and_applied_and_refused_elsewhere(secateur, run):
    shown = secateur("plan", run)
    assert shown.exit_code == 0, shown.stderr
    assert "column by column" in shown.stdout
    told = json.loads(secateur("plan", run, "--at-once", 8, "--json", "--out", "p.json").stdout)
    assert told["pulses"] < told["reset"]
    with open("p.csv", encoding="utf-8", newline="") as file:
        assert len(list(csv.DictReader(file))) == told["reset"] + told["set"]

    applied = secateur("apply", run / "plan.json", "--chip", "formed", "--json")
    assert applied.exit_code == 0, applied.stderr
    figures = json.loads(applied.stdout)
    assert figures["before"]["accuracy"] < 0.5 < figures["after"]["accuracy"]
    assert "RESET of" in applied.stderr
    assert (run / "plan.journal").is_file()

    other = json.loads((run / "plan.json").read_text())
    other["identity"]["seed"] += 1
    (run / "other.json").write_text(json.dumps(other))
    refused = secateur("apply", run / "other.json", "--chip", "formed")
    assert refused.exit_code == 1
    assert "random weights are its own" in refused.stderr


def test_what_is_no_run_is_refused(secateur, empty):
    refused = secateur("plan", empty)
    assert refused.exit_code == 1
    assert "No finished search" in refused.stderr
    refused = secateur("apply", empty / "plan.json", "--chip", "formed")
    assert "no pruning plan" in refused.stderr
