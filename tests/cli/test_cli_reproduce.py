"""`secateur reproduce`: the paper's experiments, gone on with where they were."""

import json
import os
from pathlib import Path

import pytest

from secateur.errors import SettingError
from secateur.experiment.claims import CLAIMED_GAINS
from secateur.experiment.reproduction import CHIPS, experiments
from secateur.tasks import TASKS


@pytest.fixture
def recordings() -> Path:
    beside = Path(__file__).parents[3] / "shared/data"
    found = Path(os.environ.get("SECATEUR_DATA", beside))
    if not (found / "fsdd").is_dir():
        pytest.skip("Spoken digits are not here: set SECATEUR_DATA to the folder that holds fsdd/")
    return found


def test_all_of_the_papers_experiments_are_tasks_with_the_metrics_of_its_claims():
    assert set(CLAIMED_GAINS) == set(CHIPS) == {"fashion-mnist", "spoken-digits", "drive"}
    assert set(CHIPS) <= set(TASKS)
    for task, claims in CLAIMED_GAINS.items():
        assert set(claims) <= {metric.name for metric in TASKS[task].metrics}
    assert {task: recipe.run.chips for task, recipe in experiments().items()} == CHIPS


def test_settings_are_for_all_of_them():
    chosen = experiments(["drive", "fashion-mnist"], {"training.epochs": 2, "run.chips": 4})
    assert list(chosen) == ["fashion-mnist", "drive"]
    assert {(r.training.epochs, r.run.chips) for r in chosen.values()} == {(2, 4)}


def test_what_the_paper_does_not_have_is_refused(secateur):
    with pytest.raises(SettingError, match="no experiment of the paper"):
        experiments(["digits"])
    refused = secateur("reproduce", "--task", "drives")
    assert refused.exit_code == 2
    assert "drive" in refused.stderr


def test_one_experiment_from_end_to_end_and_again_at_once(secateur, tmp_path, recordings):
    asked = ("reproduce", "--task", "spoken-digits", "--epochs", "1", "--chips", "1",
             "--arm", "digital-quantised", "--arm", "pruned", "--out", str(tmp_path / "paper"),
             "--data", str(recordings))  # fmt: skip
    said = secateur(*asked)
    assert said.exit_code == 0, said.stderr
    assert "the paper claims +19.9 (accuracy)" in said.stdout
    assert (tmp_path / "paper/report.html").is_file()
    record = (tmp_path / "paper/spoken-digits/trials/pruned-chip0/result.json").read_bytes()
    again = secateur(*asked, "--json")
    found = json.loads(again.stdout)["experiments"]["spoken-digits"]
    assert found["claimed_points"] == {"accuracy": 19.9}
    assert [row["name"] for row in found["gains"]["rows"]] == ["digital-quantised"]
    assert (tmp_path / "paper/spoken-digits/trials/pruned-chip0/result.json").read_bytes() == record
