"""What the shipped recipe of DRIVE must reach: one chip, test pictures, within the time it says."""

import os
import tomllib
from pathlib import Path

import pytest

from secateur.experiment.recipe import Recipe
from secateur.experiment.runner import run_experiment
from secateur.tasks import TASKS

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> dict:
    beside = Path(__file__).parents[2] / "shared/data"
    data = Path(os.environ.get("SECATEUR_DATA", beside))
    if not (data / "DRIVE").is_dir():
        pytest.skip("DRIVE is not here: set SECATEUR_DATA to the folder that holds DRIVE/")
    recipe = Recipe.parse(tomllib.loads(TASKS["drive"].recipe), where="shipped")
    return run_experiment(recipe, tmp_path_factory.mktemp("acceptance") / "run", data=data)


@pytest.fixture(scope="module")
def results(record: dict) -> dict:
    return {group["arm"]: group for group in record["results"]}


def mean(results: dict, arm: str, metric: str) -> float:
    return results[arm]["summary"][metric]["mean"]


def test_the_physics_is_on(results):
    (trial,) = results["pruned"]["trials"]
    assert (trial["physics"]["read_noise"], trial["physics"]["cycle_spread_high"]) == (0.02, 0.05)
    assert trial["physics"]["input_bits"] == 6


@pytest.mark.parametrize(("metric", "least"), [("roc_auc", 0.970), ("pr_auc", 0.880)])
def test_a_pruned_chip_finds_the_vessels(results, metric, least):
    assert mean(results, "pruned", metric) >= least


@pytest.mark.parametrize(("metric", "most"), [("roc_auc", 0.01), ("pr_auc", 0.02)])
def test_it_is_near_the_digital_reference_of_as_many_steps(results, metric, most):
    behind = mean(results, "digital-quantised", metric) - mean(results, "pruned", metric)
    assert behind <= most


def test_the_kept_fraction_never_drifts(results):
    (trial,) = results["pruned"]["trials"]
    for share in trial["keep_fraction"].values():
        assert share == pytest.approx(0.5, abs=1e-3)


def test_it_ends_within_the_time_it_was_made_for(record):
    if (os.cpu_count() or 1) < 2:
        pytest.skip("made for two cores")
    assert record["wall_time_s"] <= 45 * 60
