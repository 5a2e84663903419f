"""The account that `secateur cost` prints: complete, consistent, and plain JSON."""

import json

import pytest
import torch
from torch import nn

from secateur.chip import SimulatedChip
from secateur.cost import (
    COST_MODELS,
    Search,
    cost_model,
    counts,
    pulses_to_write,
    statement,
    tornado,
)
from secateur.network import prune_
from secateur.network.trace import trace
from secateur.tasks.fashion_mnist import FashionNetwork
from secateur.tasks.spoken_digits import SpokenNetwork


def stated(
    network: nn.Module, shape: tuple[int, ...], *, model: str, task: str, bits: int, pairs: int = 1
):
    torch.manual_seed(0)
    chip = SimulatedChip("taox-40nm", seed=0)
    writing = pulses_to_write(network, chip.technology, sample=2000)
    prune_(network, chip, input_bits=bits, pairs_per_weight=pairs)
    counted = trace(network, torch.zeros(1, *shape))
    search = Search(10_000, "source: made up")
    return statement(
        cost_model(model), counted, chip, task=task, search=search, writing=writing
    ), counted, chip  # fmt: skip


@pytest.fixture(scope="module")
def paper() -> dict:
    """The paper's Fashion-MNIST network by both models."""
    return {
        name: stated(FashionNetwork(), (1, 14, 14), model=name, task="fashion-mnist", bits=4)[0]
        for name in COST_MODELS
    }


def test_the_papers_images_network_has_the_published_counts_and_saving(paper):
    found = paper["calibrated"]
    assert (found["counts"]["macs"], found["counts"]["column_outputs"]) == (1_057_024, 10_954)
    assert found["saving_percent"] == pytest.approx(82.1, abs=1.0)
    assert "counts are met" in found["notes"][0]


def test_the_papers_speech_network_has_them_too():
    account, _, _ = stated(
        SpokenNetwork(), (1, 23, 20), model="calibrated", task="spoken-digits", bits=3
    )
    counted = account["counts"]
    assert (counted["macs"], counted["column_outputs"]) == (394_112, 15_178)
    assert account["saving_percent"] == pytest.approx(51.2, abs=1.0)
    assert "counts are met" in account["notes"][0]


def test_a_network_with_other_counts_is_told_from_the_papers():
    account, _, _ = stated(
        FashionNetwork(width=0.5), (1, 14, 14), model="calibrated", task="fashion-mnist", bits=4
    )
    assert "counts are met" not in account["notes"][0]
    assert "1 057 024" in account["notes"][0]


def test_the_claims_that_do_not_follow_are_named_with_what_they_would_take(paper):
    notes = [note for note in paper["calibrated"]["notes"] if note.startswith("Does not follow")]
    told = " ".join(notes)
    for claim in ("99.8 %", "78.3 %", "67.9 %", "99.7 %"):
        assert claim in told
    assert "0.21 pJ" in told
    assert len(notes) == 4


@pytest.mark.parametrize("name", COST_MODELS)
def test_an_account_is_plain_and_adds_up(paper, name):
    account = paper[name]
    assert json.loads(json.dumps(account, allow_nan=False)) == account
    layers = account["layers"]
    for key in ("macs", "column_outputs", "conversions", "read_pulses", "digital_operations"):
        assert account["counts"][key] == sum(layer[key] for layer in layers)
    assert account["energy_J"] == pytest.approx(sum(layer["energy_J"] for layer in layers))
    assert account["energy_J"] == pytest.approx(sum(account["parts_J"].values()))
    short = account["models"][name]
    assert short["energy_J"] == account["energy_J"]
    assert short["saving_percent"] == account["saving_percent"]
    saved = 1 - account["energy_J"] / account["references_J"]["gpu"]
    assert account["saving_percent"] == pytest.approx(100 * saved)


def test_writing_takes_a_pair_a_weight_however_many_a_search_has():
    found = []
    for pairs in (1, 2):
        torch.manual_seed(0)
        network = nn.Sequential(nn.Linear(30, 20))
        whole = stated(network, (1, 30), model="components", task="digits", bits=4, pairs=pairs)
        found.append(whole[0]["programming"])
    one, two = found
    assert one["write_and_verify"] == two["write_and_verify"]
    assert two["forming"]["pulses"] == 2 * one["forming"]["pulses"]


def test_counts_by_hand():
    counted = counts(prune_and_trace(nn.Sequential(nn.Linear(10, 4), nn.ReLU(), nn.Linear(4, 2))))
    assert counted == {
        "macs": 48, "column_outputs": 6, "conversions": 6 * 3, "bit_planes": 3,
        "read_pulses": 14 * 3, "digital_operations": 18,
    }  # fmt: skip


def test_digital_layers_are_counted_by_operations():
    counted = counts(trace(nn.Sequential(nn.Linear(10, 4)), torch.zeros(10)))
    assert (counted["conversions"], counted["read_pulses"]) == (0, 0)
    assert counted["digital_operations"] == 2 * 40


def prune_and_trace(network: nn.Module):
    prune_(network, SimulatedChip("taox-40nm"), input_bits=3)
    return trace(network, torch.zeros(1, 10))


def test_break_even_pays_forming_and_the_search(paper):
    account = paper["components"]
    programming, even = account["programming"], account["break_even"]
    pulsed = programming["forming"]["energy_J"] + programming["search"]["energy_J"]
    assert even["inferences"] == pytest.approx(pulsed / even["saved_J"])
    assert even["saved_J"] == pytest.approx(account["references_J"]["gpu"] - account["energy_J"])
    assert programming["write_and_verify"]["energy_J"] > pulsed


def test_the_widest_bar_comes_first_and_every_bar_can_be_had_by_hand(paper):
    account, counted, chip = stated(
        FashionNetwork(), (1, 14, 14), model="components", task="fashion-mnist", bits=4
    )
    bars = account["tornado"]
    swings = [abs(b["saving_percent_high"] - b["saving_percent_low"]) for b in bars]
    assert swings == sorted(swings, reverse=True)
    assert swings[-1] > 0
    model, law = cost_model("components"), chip.technology
    by_name = {bar.name: bar for bar in tornado(model, counted, law)}
    doubled = law.with_values(read_width=2 * law.read_width)
    assert by_name["read_width"].at_high == model.saving(counted, doubled)
    assert {"activity", "conversion_energy", "gpu_operation"} <= set(by_name)
    # What moves time, area or another reference does not move the saving.
    assert not {"conversion_time", "cell_area", "cpu_operation"} & set(by_name)
