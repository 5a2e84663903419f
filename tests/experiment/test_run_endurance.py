"""Wear in the record and on the page, and accuracy against pulses along a flip budget."""

import numpy as np
import pytest

from secateur.experiment.recipe import Recipe
from secateur.experiment.runner import run_experiment
from secateur.report.maps import read_maps
from secateur.report.reading import read_run
from secateur.report.sweeps import sweeps
from secateur.report.trade_off import trade_off_curves, trade_off_plate


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A search without a dead band, at three budgets."""
    recipe = Recipe.parse(
        {"task": "digits", "network": {"channels": 4, "hidden": 12},
         "training": {"epochs": 2, "batch_size": 30},
         "run": {"arms": ["pruned"], "vary": {"search.flip_budget": [2, 6, 1000]}}},
        where="test",
    )  # fmt: skip
    directory = tmp_path_factory.mktemp("endurance") / "run"
    record = run_experiment(recipe, directory)
    results = record["results"]
    return directory, {r["overrides"]["search.flip_budget"]: r["trials"][0] for r in results}


def test_no_cell_is_worn_beyond_the_budget_and_as_many_are_kept(run):
    _, trials = run
    assert trials[2]["most_worn_cell"] == 2
    assert trials[6]["most_worn_cell"] == 6
    assert trials[1000]["most_worn_cell"] > 6
    assert len({tuple(trial["keep_fraction"].values()) for trial in trials.values()}) == 1


def test_the_worst_cell_is_where_the_map_has_it(run):
    directory, trials = run
    wear = trials[1000]["wear"]
    maps = read_maps(directory / trials[1000]["maps"])
    worst = wear["worst"]
    pulses = maps.macros[str(worst["macro"])].pulses
    assert pulses[worst["row"], worst["column"]] == worst["pulses"] == pulses.max()
    assert worst["pulses"] == trials[1000]["most_worn_cell"]
    placed = np.concatenate([m.pulses.ravel() for m in maps.macros.values()])
    cells = 2 * trials[1000]["edges"]
    assert wear["mean"] == pytest.approx(placed.sum() / cells, rel=0.01)
    assert worst["of_endurance"] == worst["pulses"] / wear["endurance"]


def test_sparing_the_cells_lengthens_the_life_of_the_chip(run):
    _, trials = run
    lives = [trials[budget]["wear"]["runs"] for budget in (2, 6, 1000)]
    assert lives == sorted(lives, reverse=True)
    # A million pulses at the median, a few in each run.
    assert 1e3 < lives[-1] < lives[0] < 1e6


def test_the_budgets_are_a_figure_of_accuracy_against_pulses(run):
    directory, _ = run
    read = read_run(directory)
    (sweep,) = sweeps(read)
    assert sweep.setting == "search.flip_budget"
    (curve,) = trade_off_curves(sweep)
    assert [point.value for point in curve.points] == [2, 6, 1000]
    plate = trade_off_plate("key", read, sweep)
    assert plate is not None
    assert "pulses" in plate.caption or "costs the chip" in plate.caption
