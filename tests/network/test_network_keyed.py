"""Randomness is keyed: draws depend on seeds and counts, never on what was drawn before."""

import pytest
import torch
from networks import QUIET, Tagger, batches, conductances, perceptron, pruned, train, weights_of
from torch import nn

from secateur.chip import SimulatedChip
from secateur.circuit import ReadPerProduct
from secateur.errors import SettingError
from secateur.network import prune_, quantise_

SETTINGS = {
    "pairs": {},
    "cells": {"grain": "cell", "input_bits": 4},
    "products": {"circuit": ReadPerProduct(), "score_start": "constant"},
}


@pytest.mark.parametrize("name", SETTINGS)
def test_training_is_the_same_to_the_bit_whatever_else_is_drawn(name):
    first, second = pruned(**SETTINGS[name]), pruned(**SETTINGS[name])
    torch.rand(1000)
    losses = train(first, 5)
    repeated = []
    optimizer = torch.optim.SGD(second.parameters(), lr=0.5)
    for inputs, labels in batches(5):
        torch.rand(17)
        second[0].weight.chip.status(second[0].weight.region)
        second[0].weight.chip.read_back(torch.arange(4))
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(second(inputs), labels)
        loss.backward()
        optimizer.step()
        repeated.append(float(loss.detach()))
    assert repeated == losses
    assert torch.equal(conductances(second), conductances(first))


def test_putting_a_model_on_a_chip_leaves_torchs_own_generator_alone():
    before = torch.get_rng_state()
    model = pruned(Tagger(), input_bits=4)
    after_building = torch.get_rng_state()
    torch.set_rng_state(before)
    Tagger()
    assert torch.equal(torch.get_rng_state(), after_building)
    model(torch.randn(2, 3, 4))


def test_seeds_of_chip_and_search_make_a_difference_each_of_its_own():
    def made(chip: int, seed: int) -> nn.Module:
        return prune_(perceptron(), SimulatedChip(seed=chip), seed=seed)

    base, other_chip, other_seed = (weights_of(made(*s))[0] for s in ((0, 0), (1, 0), (0, 1)))
    assert torch.equal(base.scores, other_chip.scores)
    assert not torch.equal(base.scores, other_seed.scores)
    pristine = base.chip.ledger.reset + other_seed.chip.ledger.reset == 0
    cells = [weight.chip.conductance(weight.region).view(-1) for weight in (base, other_seed)]
    untouched = pristine[base.region.cells]
    assert torch.equal(cells[0][untouched], cells[1][untouched])
    cells = [weight.chip.conductance(weight.region) for weight in (base, other_chip)]
    assert not (cells[0] == cells[1]).any()


def test_noise_injected_in_training_is_keyed_and_off_in_evaluation():
    first, second = (quantise_(perceptron(), input_bits=None, weight_noise=0.1) for _ in range(2))
    inputs, _ = next(batches(1))
    noisy = first(inputs)
    torch.rand(5)
    assert torch.equal(second(inputs), noisy)
    assert not torch.equal(first(inputs), noisy)
    torch.testing.assert_close(first.eval()(inputs), perceptron()(inputs))


def test_injected_noise_has_the_size_asked_for():
    model = quantise_(nn.Sequential(nn.Linear(300, 200)), input_bits=None, weight_noise=0.1)
    source = model[0].weight
    noise = (source().weight - source.value).detach()
    expected = 0.1 * source.value.detach().abs().max()
    torch.testing.assert_close(noise.std(), expected, rtol=0.02, atol=0.0)


# --- Converters -----------------------------------------------------------------------------------


def test_ranges_of_converters_follow_training_and_are_frozen_in_evaluation():
    model = pruned(input_bits=4)
    train(model, 2)
    ranges = [layer.converter.full_scale for layer in (model[0], model[2])]
    assert all(full > 0 for full in ranges)
    model.eval()(100.0 * torch.randn(8, 12))
    assert [layer.converter.full_scale for layer in (model[0], model[2])] == ranges
    model.train()(100.0 * torch.randn(8, 12))
    assert all(
        layer.converter.full_scale > full
        for layer, full in zip((model[0], model[2]), ranges, strict=True)
    )


def test_a_model_pruned_in_evaluation_mode_stays_in_it():
    model = pruned(perceptron().eval(), input_bits=4)
    assert not any(module.training for module in model.modules())
    with pytest.raises(SettingError, match="no range yet"):
        model(torch.randn(2, 12))


@pytest.mark.parametrize("circuit", [None, ReadPerProduct()])
def test_without_noise_a_prediction_does_not_depend_on_its_batch(circuit):
    model = pruned(Tagger(), input_bits=4, technology=QUIET, circuit=circuit)
    inputs = torch.randn(12, 3, 6)
    model(inputs)
    model.eval()
    whole = model(inputs)
    order = torch.randperm(12)
    parts = torch.cat([model(part) for part in inputs[order].split([1, 4, 7])])
    torch.testing.assert_close(parts, whole[order], rtol=1e-4, atol=1e-5)


def test_inputs_meet_the_array_in_as_many_levels_as_the_converter_has():
    model = pruned(nn.Sequential(nn.Linear(1, 1, bias=False)), input_bits=3, keep_fraction=1.0,
                   technology=QUIET)  # fmt: skip
    line = torch.linspace(-1, 1, 501).unsqueeze(1)
    model(line)
    assert len(model.eval()(line).unique()) == 7
    model = pruned(nn.Sequential(nn.Linear(1, 1, bias=False)), input_bits=3, keep_fraction=1.0,
                   technology=QUIET)  # fmt: skip
    model(line.abs())
    assert len(model.eval()(line).unique()) == 8
