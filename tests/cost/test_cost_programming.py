"""Programming: pulses to joules and seconds, and after how many inferences they are paid back."""

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from secateur.chip import FixedVoltage, SimulatedChip
from secateur.cost import (
    break_even,
    chip_cost,
    constants,
    cost_of_writing,
    programming_cost,
    pulses_to_write,
    usual_search,
)
from secateur.device import Technology
from secateur.errors import ModelError
from secateur.network import program_, prune_

LAW = Technology.load("taox-40nm")
counts = st.integers(0, 10**9)


def test_pulses_by_hand():
    law = LAW.with_values(
        switching_voltage=2.0, switching_current=1e-4, switching_width=1e-6,
        breakdown_voltage=3.0, compliance_current=1e-4, forming_width=1e-6,
        pristine_conductance=1e-7, read_voltage=0.2, high_conductance=1e-5, read_width=1e-7,
    )  # fmt: skip
    assert programming_cost(law, set_=2, reset=1).energy == pytest.approx(3 * 200e-12)
    assert programming_cost(law, set_=2, reset=1).time == pytest.approx(3e-6)
    # 3 V x 100 µA x 1 µs each; a pulse that does not break a cell down meets 10 MOhm.
    assert programming_cost(law, form=5, formed=2).energy == pytest.approx(
        2 * 300e-12 + 3 * 0.9e-12
    )
    assert programming_cost(law, form=5, formed=2).time == pytest.approx(5e-6)
    assert programming_cost(law, verified=10).energy == pytest.approx(10 * 0.04e-12)
    assert programming_cost(law, verified=10).time == pytest.approx(1e-6)


@given(counts, counts, counts, counts)
def test_costs_of_pulses_add_up(set_, reset, form, verified):
    whole = programming_cost(LAW, formed=form, form=form, set_=set_, reset=reset, verified=verified)
    parts = programming_cost(LAW, formed=form, form=form) + programming_cost(
        LAW, set_=set_, reset=reset, verified=verified
    )
    assert (whole.energy, whole.time) == pytest.approx((parts.energy, parts.time))


def test_a_chip_that_was_formed_by_other_pulses_pays_for_those():
    def forming(**how):
        chip = SimulatedChip(LAW, forming=FixedVoltage(0.999999, **how))
        chip.place("weight", (50, 50))
        return chip_cost(chip)

    usual, strong, long = forming(), forming(compliance=150e-6), forming(width=2e-6)
    assert strong.energy == pytest.approx(2 * usual.energy, rel=1e-3)
    assert (strong.time, long.time) == (usual.time, pytest.approx(2 * usual.time))
    assert long.energy == pytest.approx(2 * usual.energy, rel=1e-3)


def test_no_pulse_costs_nothing():
    assert chip_cost(SimulatedChip(LAW)) == programming_cost(LAW) == programming_cost(LAW, form=0)
    assert programming_cost(LAW).energy == 0.0


def test_a_sample_of_the_weights_tells_the_pulses_of_writing_them_all():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(100, 200), nn.Linear(200, 30, bias=False))
    told = pulses_to_write(network, LAW, sample=8000)
    chip = SimulatedChip(LAW, seed=1)
    program_(network, chip)
    for kind, pulses in chip.ledger.totals().items():
        assert told[kind] == pytest.approx(pulses, rel=0.05)
    written = cost_of_writing(LAW, pulses=told)
    # Beside the ledger's pulses: a read after each SET and RESET.
    assert written.energy == pytest.approx(chip_cost(chip).energy, rel=0.06)
    assert written.energy > chip_cost(chip).energy * 0.95


def test_a_network_without_weights_cannot_be_written():
    with pytest.raises(ModelError):
        pulses_to_write(nn.Sequential(nn.ReLU()), LAW)


def test_a_usual_search_begins_with_the_first_masks():
    chip = SimulatedChip(LAW)
    prune_(nn.Sequential(nn.Linear(50, 40)), chip, input_bits=4)
    begun = int(chip.ledger.switching.sum())
    assert begun > 0
    # A flip pulses both cells of its pair; about one in a thousand was not formed.
    formed = int(chip.conducting(torch.arange(2 * 50 * 40)).sum())
    search = usual_search(chip)
    assert search.pulses == pytest.approx(begun + 2.6 * formed)
    assert search.origin.startswith("assumption: 2.6 flips per edge")


def test_writing_trained_weights_takes_more_pulses_than_a_search():
    chip = SimulatedChip(LAW)
    network = nn.Sequential(nn.Linear(50, 40))
    written = pulses_to_write(network, LAW)
    prune_(network, chip, input_bits=4)
    assert written["set"] + written["reset"] > usual_search(chip).pulses


def test_break_even_is_where_the_savings_reach_what_was_invested():
    assert break_even(6.0, saved=2.0) == 3.0
    assert break_even(0.0, saved=2.0) == 0.0
    assert break_even(6.0, saved=0.0) is None
    assert break_even(6.0, saved=-1.0) is None


def test_the_usual_search_is_as_long_as_the_recorded_one():
    path = Path(__file__).parents[2] / "results/fashion-mnist.json"
    rows = json.loads(path.read_text(encoding="utf-8"))["rows"]
    recorded = next(row for row in rows if row["arm"] == "pruned")
    flips = constants("search")["flips_per_edge"].value
    assert flips == pytest.approx(recorded["summary"]["flips_per_edge"]["mean"], rel=0.05)
