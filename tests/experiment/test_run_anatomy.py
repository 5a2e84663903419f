"""What searches have learnt goes into the record: degrees, receptive fields, agreement."""

import pytest
import torch

from secateur.chip import SimulatedChip
from secateur.experiment.anatomy import anatomy_of, read_masks, save_masks
from secateur.experiment.recipe import Recipe
from secateur.experiment.runner import run_experiment
from secateur.network import prune_, pruned_weights

LAYERS = {"conv.weight", "fc1.weight", "fc2.weight"}


@pytest.fixture(scope="module")
def record(tmp_path_factory) -> dict:
    recipe = Recipe.parse(
        {"task": "digits", "network": {"channels": 4, "hidden": 12},
         "training": {"epochs": 2, "batch_size": 30},
         "run": {"arms": ["random", "pruned", "pruned-cells"], "chips": 2,
                 "vary": {"search.seed": [0, 1]}}},
        where="test",
    )  # fmt: skip
    return run_experiment(recipe, tmp_path_factory.mktemp("anatomy") / "run")


def test_arms_that_prune_tell_what_became_of_every_layer(record):
    for group in record["results"]:
        for trial in group["trials"]:
            layers = trial["anatomy"]
            assert set(layers) == (set() if group["arm"] == "random" else LAYERS)
            for found in layers.values():
                assert found["output_dispersion"] > 0.0
                assert 0.0 < found["flipped"] < 1.0
            if layers:
                field = torch.tensor(layers["conv.weight"]["kept_by_position"])
                assert field.shape == (3, 3)
                assert "kept_by_position" not in layers["fc1.weight"]


def test_kept_connections_are_counted_whatever_the_grain(record):
    for group in record["results"]:
        for trial in group["trials"]:
            share = sum(trial["keep_fraction"].values()) / len(trial["keep_fraction"])
            assert trial["kept"] == pytest.approx(share * trial["edges"], abs=3)
            assert share == pytest.approx(1.0 if group["arm"] == "random" else 0.5, abs=0.02)


def test_chips_and_starts_are_compared_each_with_its_like(record):
    found = {(row["arm"], row["between"]) for row in record["agreements"]}
    assert all((row["overrides"], row["part"]) == ({}, "test") for row in record["agreements"])
    assert found == {
        (arm, between) for arm in ("pruned", "pruned-cells") for between in ("chips", "starts")
    }
    for row in record["agreements"]:
        # Two chips, two starts of each: two pairs of either kind.
        assert row["n"] == 2
        assert -1.0 <= row["mean"] < 1.0


def test_another_start_is_another_search_on_the_same_chip(record):
    (one, other) = (group for group in record["results"] if group["arm"] == "pruned")
    for first, second in zip(one["trials"], other["trials"], strict=True):
        assert first["seed"] == second["seed"]
        assert first["pulses"]["form"] == second["pulses"]["form"]
        assert first["history"] != second["history"]


@pytest.mark.parametrize("grain", ["pair", "cell"])
def test_masks_come_back_as_they_were_saved(tmp_path, grain):
    layers = torch.nn.Conv2d(2, 3, 3), torch.nn.Flatten(), torch.nn.Linear(3, 5)
    model = prune_(torch.nn.Sequential(*layers), SimulatedChip(seed=1), grain=grain)
    weights = pruned_weights(model)
    save_masks(tmp_path / "masks.npz", weights)
    read = read_masks(tmp_path / "masks.npz")
    assert set(read) == set(weights) == {"0.weight", "2.weight"}
    assert all(torch.equal(read[name], weight.mask) for name, weight in weights.items())
    assert len(anatomy_of(weights["0.weight"])["kept_by_position"]) == 3


@pytest.mark.parametrize("grain", ["pair", "cell"])
def test_all_pairs_of_a_weight_are_edges_of_one_input(grain):
    model = torch.nn.Sequential(torch.nn.Linear(40, 3))
    prune_(model, SimulatedChip("ideal", seed=0), grain=grain, pairs_per_weight=3)
    (weight,) = pruned_weights(model).values()
    weight.mask.fill_(True)
    assert anatomy_of(weight)["idle_inputs"] == 0
    weight.mask.view(3, 3, 40, -1)[:, :, 7] = False
    assert anatomy_of(weight)["idle_inputs"] == 1
    weight.mask.view(3, 3, 40, -1)[:, 1:, 8] = False
    assert anatomy_of(weight)["idle_inputs"] == 1
