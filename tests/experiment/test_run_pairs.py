"""Layers with pairs of their own number, from the recipe to the record and back."""

import json

import pytest

from secateur.errors import SettingError
from secateur.experiment.recipe import Recipe
from secateur.experiment.runner import run_experiment
from secateur.report.numbers import value_words

PAIRS = {"conv": 3, "fc2": 2, "*": 1}


def small(**settings) -> Recipe:
    recipe = Recipe.parse(
        {"task": "digits", "network": {"channels": 4, "hidden": 12},
         "training": {"epochs": 1, "batch_size": 30},
         "arms": {"pruned-cells": {"search": {"grain": "cell", "pairs_per_weight": PAIRS}}},
         "run": {"arms": ["pruned", "pruned-cells"]}}, where="test",
    )  # fmt: skip
    return recipe.with_settings(settings)


def test_a_table_of_pairs_is_carried_from_the_recipe_to_the_record(tmp_path):
    record = run_experiment(small(), tmp_path / "run")
    pruned, cells = (group["trials"][0] for group in record["results"])
    assert pruned["physics"]["pairs_per_weight"] == 1
    named = {"conv.weight": 3, "fc1.weight": 1, "fc2.weight": 2}
    assert cells["physics"]["pairs_per_weight"] == named
    assert value_words(named) == "conv.weight 3, fc1.weight 1, fc2.weight 2"
    edges = 2 * (3 * 9 * 4 + 36 * 12 + 2 * 12 * 10)
    # One cell in a thousand is never formed, or stuck.
    assert 0.98 * edges < cells["edges"] <= edges
    for rows in ("27 inputs x 4 outputs", "36 inputs x 12 outputs", "24 inputs x 10 outputs"):
        assert rows in cells["placement"]["text"]
    assert Recipe.read(tmp_path / "run/recipe.toml") == small()
    again = run_experiment(small(), tmp_path / "run", resume=True)
    assert json.dumps(again["results"]) == json.dumps(record["results"])


def test_a_table_may_name_the_layer_that_one_arm_leaves_digital(tmp_path):
    settings = {"run.arms": ["readout", "pruned-cells"], "search.pairs_per_weight": PAIRS}
    record = run_experiment(small(**settings), tmp_path / "run")
    readout, cells = (group["trials"][0]["physics"] for group in record["results"])
    assert readout["pairs_per_weight"] == {"conv.weight": 3, "fc1.weight": 1}
    assert cells["pairs_per_weight"]["fc2.weight"] == 2
    wrong = {**settings, "search.pairs_per_weight": {"fc3": 2, "*": 1}}
    with pytest.raises(SettingError, match=r"pairs_per_weight names 'fc3'.*Did you mean 'fc"):
        run_experiment(small(**wrong), tmp_path / "wrong")


def test_an_arms_table_replaces_the_general_one_and_new_entries_come_first():
    recipe = small(**{"search.keep_fraction": {"conv": 0.4, "*": 0.5}})
    assert recipe.for_arm("pruned-cells").search.pairs_per_weight == PAIRS
    path = "arms.pruned-cells.search"
    own = recipe.with_settings({f"{path}.keep_fraction": {"fc1": 0.3, "*": 0.6}})
    assert own.for_arm("pruned-cells").search.keep_fraction == {"fc1": 0.3, "*": 0.6}
    assert own.for_arm("pruned").search.keep_fraction == {"conv": 0.4, "*": 0.5}
    more = own.with_settings({f"{path}.pairs_per_weight.fc1": 5, f"{path}.pairs_per_weight.*": 2})
    table = more.for_arm("pruned-cells").search.pairs_per_weight
    assert list(table.items()) == [("fc1", 5), ("conv", 3), ("fc2", 2), ("*", 2)]


def test_one_score_a_weight_from_the_recipe_to_the_record(tmp_path):
    """Arms that learn no score keep edges as the recipe says, whatever has one."""
    recipe = small(**{
        "run.arms": ["pruned-cells", "random-mask"], "search.grain": "cell",
        "search.score_per": "weight", "search.keep_fraction": 0.4,
        "arms.pruned-cells.search.keep_fraction": 0.2,
    })  # fmt: skip
    record = run_experiment(recipe, tmp_path / "run")
    trials = {group["arm"]: group["trials"][0] for group in record["results"]}
    cells, mask = trials["pruned-cells"], trials["random-mask"]
    assert cells["physics"]["score_per"] == "weight"
    assert "score_per" not in mask["physics"]
    for share in cells["keep_fraction"].values():
        assert share == pytest.approx(0.2, abs=0.01)
    for share in mask["keep_fraction"].values():
        assert share == pytest.approx(0.4, abs=0.01)
    wrong = {"search.score_per": "weight", "run.arms": ["pruned"]}
    with pytest.raises(SettingError, match="score_per is 'weight' with the grain 'pair'"):
        run_experiment(small(**wrong), tmp_path / "wrong")
    assert not (tmp_path / "wrong").exists()
