"""What the shipped Fashion-MNIST recipe must reach: mean of three chips, last epoch, test set."""

import os
import tomllib
from pathlib import Path

import pytest

from secateur.experiment.recipe import Recipe
from secateur.experiment.runner import run_experiment
from secateur.tasks import TASKS

pytestmark = pytest.mark.slow


def run(folder: Path, *arms: str, **settings: float) -> dict:
    """The groups of a record by their arms: three chips, the shipped recipe but for `search`."""
    beside = Path(__file__).parents[2] / "shared/data"
    data = Path(os.environ.get("SECATEUR_DATA", beside))
    if not (data / "fashion-mnist").is_dir():
        pytest.skip("Fashion-MNIST is not here: set SECATEUR_DATA to the folder that holds it")
    shipped = Recipe.parse(tomllib.loads(TASKS["fashion-mnist"].recipe), where="shipped")
    own = {f"search.{name}": value for name, value in settings.items()}
    recipe = shipped.with_settings({"run.arms": list(arms), "run.chips": 3, **own})
    record = run_experiment(recipe, folder, data=data)
    return {group["arm"]: group for group in record["results"]}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict:
    out = tmp_path_factory.mktemp("acceptance") / "run"
    return run(out, "digital-quantised", "pruned", "pruned-cells")


@pytest.fixture(scope="module")
def two_pairs(tmp_path_factory: pytest.TempPathFactory) -> dict:
    out = tmp_path_factory.mktemp("two-pairs") / "run"
    return run(out, "pruned-cells", pairs_per_weight=2, score_scale=0.5)


def accuracy(results: dict, arm: str) -> float:
    return results[arm]["summary"]["accuracy"]["mean"]


def test_the_physics_is_on(results):
    for arm in ("pruned", "pruned-cells"):
        for trial in results[arm]["trials"]:
            physics = trial["physics"]
            assert (physics["read_noise"], physics["cycle_spread_high"]) == (0.02, 0.05)
            assert physics["input_bits"] == 4
            assert len(trial["history"]) == 20


def test_pairs_reach_87_5_percent(results):
    assert accuracy(results, "pruned") >= 0.875


def test_cells_reach_88_5_percent_and_are_better_than_pairs(results):
    assert accuracy(results, "pruned-cells") >= max(0.885, accuracy(results, "pruned"))


def test_the_digital_reference_is_a_good_one(results):
    assert accuracy(results, "digital-quantised") >= 0.890


def behind(results: dict) -> float:
    ours = max(accuracy(results, "pruned"), accuracy(results, "pruned-cells"))
    return accuracy(results, "digital-quantised") - ours


def test_the_better_grain_is_not_far_from_the_digital_reference(results):
    # A floor that guards what has been reached; the aim stands below.
    assert behind(results) <= 0.010


@pytest.mark.xfail(reason="an aim not reached yet: measured 0.7 points", strict=False)
def test_the_better_grain_is_within_half_a_point_of_the_digital_reference(results):
    assert behind(results) <= 0.005


def test_programming_effort_stays_below_three_flips_an_edge(results):
    for arm in ("pruned", "pruned-cells"):
        assert results[arm]["summary"]["flips_per_edge"]["mean"] <= 3.0


def test_the_kept_fraction_never_drifts(results):
    for arm in ("pruned", "pruned-cells"):
        for trial in results[arm]["trials"]:
            for share in trial["keep_fraction"].values():
                assert share == pytest.approx(0.5, abs=1e-3)
