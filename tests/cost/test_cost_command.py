"""`secateur cost`: tables for people, one JSON document for programs, no data needed."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from secateur.cli.main import app
from secateur.cost import COST_MODELS, Calibrated, verdicts
from secateur.tasks import TASKS

PAGE = Path(__file__).parents[2] / "docs/cost.md"


@pytest.fixture
def secateur(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Calls `secateur cost` with these words, far from any data."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("SECATEUR_DATA", str(tmp_path))
    return lambda *words: CliRunner().invoke(app, ["cost", *map(str, words)])


def test_the_papers_saving_comes_out_of_one_command(secateur):
    found = json.loads(secateur("fashion-mnist", "--model", "calibrated", "--json").stdout)
    assert found["saving_percent"] == pytest.approx(82.1, abs=1.0)
    assert found["counts"]["macs"] == 1_057_024
    assert found["counts"]["column_outputs"] == 10_954


@pytest.mark.parametrize("model", COST_MODELS)
def test_the_tables_hold_what_the_json_holds(secateur, model):
    shown = secateur("digits", "--model", model).stdout
    found = json.loads(secateur("digits", "--model", model, "--json").stdout)
    assert all(layer["name"] in shown for layer in found["layers"])
    assert all(part in shown for part in found["parts_J"])
    assert all(bar["name"] in shown for bar in found["tornado"])
    assert all(note in shown for note in found["notes"])
    assert all(f"{short['saving_percent']:.1f} %" in shown for short in found["models"].values())


def test_settings_change_what_is_counted(secateur):
    few, many = (
        json.loads(secateur("digits", "--json", "--set", f"converters.input_bits={bits}").stdout)
        for bits in (3, 6)
    )
    assert many["counts"]["conversions"] == 2 * few["counts"]["conversions"]
    assert many["energy_J"] == pytest.approx(2 * few["energy_J"])


def test_a_network_that_saves_nothing_says_that_it_never_breaks_even(secateur):
    shown = secateur("digits", "--model", "components", "--set", "network.channels=2")
    assert "Never breaks even" in shown.stdout


def test_the_pulses_of_a_run_come_from_its_record(secateur, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    trials = [{"chip": n, "pulses": {"form": 9, "set": 100, "reset": 200 + n}} for n in (0, 2)]
    record = {"schema": "secateur.record", "version": 1, "task": "digits"}
    record["results"] = [{"arm": "pruned", "trials": trials}]
    (run / "record.json").write_text(json.dumps(record), encoding="utf-8")
    found = json.loads(secateur("digits", "--run", run, "--json").stdout)
    assert found["programming"]["search"]["pulses"] == 301
    record["results"] = [{"arm": "digital", "trials": [{"chip": 0}]}]
    (run / "record.json").write_text(json.dumps(record), encoding="utf-8")
    refused = secateur("digits", "--run", run)
    assert refused.exit_code == 1
    assert "no pulses of the arm `pruned`" in refused.stderr


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["digits", "--model", "calibrate"], "calibrated"),
        (["digit"], "digits"),
        (["digits", "--set", "converters.input_bit=3"], "input_bits"),
    ],
)
def test_what_is_misspelt_is_refused_with_the_nearest_word(secateur, words, told):
    refused = secateur(*words)
    assert refused.exit_code != 0
    assert told in refused.stderr


@pytest.mark.parametrize("task", TASKS.values(), ids=list(TASKS))
def test_every_task_says_what_its_network_takes_in(task):
    assert all(isinstance(length, int) and length > 0 for length in task.input_shape)


def test_the_page_lists_the_claims_that_do_not_follow():
    words = {"fashion-mnist": "images", "spoken-digits": "speech", "drive": "segmentation"}
    text = PAGE.read_text(encoding="utf-8")
    for verdict in verdicts(Calibrated.load()):
        claimed, modelled = 100 * verdict.claimed, 100 * verdict.modelled
        row = f"| {words[verdict.task]}, {claimed:.1f} % ({verdict.venue}) | {modelled:.1f} % "
        row += f"| {verdict.needed * 1e12:.2f} pJ |"
        assert (row in text) == (not verdict.follows)


def test_the_figures_are_a_page_of_its_own(secateur, tmp_path):
    page = tmp_path / "cost.html"
    said = secateur("digits", "--model", "components", "--figures", page)
    assert said.exit_code == 0, said.stderr
    text = page.read_text(encoding="utf-8")
    assert "Where the energy goes" in text
    assert "Which assumption matters most" in text
    assert "<script" not in text
