"""Hardships are put to copies: the model, its chip and what is reported stay as they were."""

import copy

import pytest
import torch

from secateur.chip import SimulatedChip
from secateur.device import Technology
from secateur.errors import SettingError
from secateur.experiment.recipe import Recipe, Stress
from secateur.experiment.runner import run_experiment
from secateur.experiment.stress import fail_cells, stressed
from secateur.network import program_, prune_


@pytest.fixture
def model() -> torch.nn.Module:
    return prune_(torch.nn.Sequential(torch.nn.Linear(40, 30)), SimulatedChip(seed=2))


def chip_of(model: torch.nn.Module) -> SimulatedChip:
    return model[0].weight.chip


def measure(model: torch.nn.Module) -> dict[str, float]:
    chip = chip_of(model)
    return {"sum": float(chip.conductance(chip.placement.regions[0]).sum())}


def test_a_share_of_the_cells_fails_half_of_them_low_half_high(model):
    chip = chip_of(model)
    (region,) = chip.placement.regions
    before, pulses = chip.status(region), chip.ledger.totals()
    fail_cells(chip, 0.2, seed=1)
    after, sent = chip.status(region), chip.ledger.totals()
    lows, highs = sent["reset"] - pulses["reset"], sent["set"] - pulses["set"]
    # Those that end high are lowered first.
    assert lows == pytest.approx(480, abs=5 * 480**0.5)
    assert highs == pytest.approx(240, abs=5 * 240**0.5)
    # Half of those that are brought low were low before, and so with the others.
    assert int((before != after).sum()) == pytest.approx(lows / 2, abs=90)
    assert not bool((before == chip.PRISTINE).logical_xor(after == chip.PRISTINE).any())


def test_written_cells_fail_to_either_state_too():
    model = program_(torch.nn.Sequential(torch.nn.Linear(60, 50)), SimulatedChip(seed=2))
    chip = chip_of(model)
    (region,) = chip.placement.regions
    pulses = chip.ledger.set.clone()
    fail_cells(chip, 0.5, seed=1)
    raised = (chip.ledger.set > pulses).view(*region.shape, 2)
    sound = chip.status(region) != chip.PRISTINE
    failed_high = chip.conductance(region)[raised & sound]
    assert float(failed_high.median()) == pytest.approx(chip.technology.high_conductance, rel=0.05)


def test_what_fails_at_a_small_share_fails_at_a_larger_one(model):
    small, large = copy.deepcopy(model), copy.deepcopy(model)
    fail_cells(chip_of(small), 0.1, seed=3)
    fail_cells(chip_of(large), 0.3, seed=3)
    few, many = (
        chip_of(m).ledger.switching - chip_of(model).ledger.switching for m in (small, large)
    )
    assert bool((many >= few).all())
    assert int(many.sum()) > 2 * int(few.sum()) > 0


def test_the_model_itself_is_left_as_it_is(model):
    before, pulses = measure(model), chip_of(model).ledger.totals()
    renewed = []
    found = stressed(
        model, Stress(ages=(3e7,), failed=(0.5,)), measure=measure, renew=renewed.append, seed=0
    )
    assert [(row["kind"], row["value"]) for row in found] == [("age", 3e7), ("failed", 0.5)]
    assert all(row["figures"] != before for row in found)
    assert len(renewed) == 2
    assert measure(model) == before
    assert chip_of(model).ledger.totals() == pulses


def test_compensation_gives_back_what_drift_has_taken():
    law = {"law": "power", "exponent": 0.1, "exponent_spread": 0.0, "reference_age": 20.0}
    chip = SimulatedChip(Technology.load("taox-40nm").with_values(drift_law=law), seed=2)
    model = prune_(torch.nn.Sequential(torch.nn.Linear(40, 30)), chip)
    inputs = torch.rand(20, 40)
    before = model(inputs)

    def error(twin):
        return {"error": float(((twin(inputs) - before).norm() / before.norm()).detach())}

    stress = Stress(ages=(3e7,), remedies=("norms", "global", "column", "column + norms"))
    (row,) = stressed(model, stress, measure=error, renew=lambda _: None, seed=0)
    plain, tried = row["figures"]["error"], {n: f["error"] for n, f in row["remedied"].items()}
    # A quarter of the current is left. Read noise stays: 2 % of a cell is 13 % of a pair.
    assert plain > 0.6
    assert tried["norms"] == pytest.approx(plain, abs=0.02)
    assert max(tried["global"], tried["column"], tried["column + norms"]) < 0.2


def test_an_unknown_remedy_is_refused_by_name(model):
    with pytest.raises(SettingError, match="'colunm'"):
        stressed(model, Stress(remedies=("global+colunm",)), measure=measure,
                 renew=lambda _: None, seed=0)  # fmt: skip


def test_no_hardship_is_none():
    assert stressed(torch.nn.Linear(2, 2), Stress(ages=(1.0,)), measure=measure,
                    renew=lambda _: None, seed=0) == []  # fmt: skip


def test_a_run_records_the_hardships_of_arms_with_a_chip(tmp_path):
    recipe = Recipe.parse(
        {"task": "digits", "network": {"channels": 4, "hidden": 12},
         "training": {"epochs": 2, "batch_size": 30},
         "stress": {"ages": [86400.0], "failed": [0.0, 0.6],
                    "remedies": ["norms", "global", "column+norms"]},
         "run": {"arms": ["digital", "pruned"], "split": "validation"}}, where="test",
    )  # fmt: skip
    record = run_experiment(recipe, tmp_path / "run")
    digital, pruned = (group["trials"][0] for group in record["results"])
    assert digital["stress"] == []
    age, sound, broken = pruned["stress"]
    assert age["kind"] == "age"
    # Only the draws of read noise differ where nothing has failed.
    assert sound["figures"]["accuracy"] == pytest.approx(pruned["validation"]["accuracy"], abs=0.03)
    assert broken["figures"]["accuracy"] < sound["figures"]["accuracy"]
    assert list(broken["remedied"]) == ["norms", "global", "column+norms"]
    assert broken["remedied"]["norms"] != broken["figures"]
