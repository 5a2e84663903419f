"""Drift given back digitally: outputs of every kind of layer are multiplied, nothing is pulsed."""

import copy

import pytest
import torch
from networks import QUIET, Tagger, pruned
from torch import nn

from secateur.chip import column_scale, global_scale
from secateur.circuit import Converters
from secateur.errors import SettingError
from secateur.network import (
    calibrate_,
    calibration_currents,
    compensate_,
    detach_,
    load_,
    save,
    uncompensate_,
)

YEAR = 3e7


def drifting(spread: float) -> object:
    law = {"law": "power", "exponent": 0.1, "exponent_spread": spread, "reference_age": 20.0}
    # Pristine cells do not age: what they conduct would not be common.
    return QUIET.with_values(drift_law=law, pristine_conductance=1e-12)


def aged(model: nn.Module, **settings) -> nn.Module:
    fresh = calibration_currents(model)
    chip_of(model).advance(YEAR)
    return compensate_(model, fresh, **settings)


def chip_of(model: nn.Module):
    return next(m.chip for m in model.modules() if hasattr(m, "chip"))


@pytest.mark.parametrize("scale", [global_scale, column_scale])
def test_a_common_drift_is_given_back_in_every_kind_of_layer(scale):
    torch.manual_seed(0)
    model = pruned(Tagger(), technology=drifting(0.0)).eval()
    inputs = torch.rand(5, 3, 6)
    before, pulses = model(inputs), chip_of(model).ledger.totals()
    aged(model, scale=scale)
    torch.testing.assert_close(model(inputs), before, rtol=1e-3, atol=1e-4)
    assert chip_of(model).ledger.totals() == pulses
    uncompensate_(model)
    assert float((model(inputs) - before).detach().abs().max()) > 0.01


@pytest.mark.parametrize(
    "layer",
    [nn.Conv2d(4, 6, 3, groups=2), nn.ConvTranspose2d(4, 6, 2, groups=2), nn.Linear(9, 5)],
    ids=["grouped", "transposed", "linear"],
)
def test_each_output_has_a_factor_of_its_own(layer):
    model = pruned(nn.Sequential(layer), technology=drifting(0.002)).eval()
    inputs = torch.rand(3, 9) if isinstance(layer, nn.Linear) else torch.rand(3, 4, 5, 5)
    before, one = model(inputs), copy.deepcopy(model)
    errors = {}
    for scale in (global_scale, column_scale):
        helped = aged(copy.deepcopy(one), scale=scale)
        errors[scale] = float(((helped(inputs) - before).norm() / before.norm()).detach())
    assert errors[column_scale] < errors[global_scale] < 0.3
    factors = helped[0].weight.scale
    assert len(factors) == model[0].weight.shape[int(helped[0].weight.region.inputs_first)]


def test_a_digital_copy_has_the_factors_in_its_weights():
    model = aged(pruned(technology=drifting(0.002)).eval(), scale=column_scale)
    inputs = torch.rand(4, 12)
    outputs = model(inputs)
    torch.testing.assert_close(detach_(model)(inputs), outputs, rtol=1e-4, atol=1e-5)


def test_factors_are_multiplied_behind_the_converters():
    model = pruned(technology=drifting(0.0), circuit=Converters(output_bits=6), input_bits=6)
    calibrate_(model, [torch.rand(16, 12) for _ in range(4)])
    weight = model.eval()[0].weight
    raw = copy.deepcopy(model)
    raw[0].weight.scale = torch.tensor(2.0)
    inputs = torch.rand(4, 12)
    ours, plain = (m[0](inputs) - m[0].bias for m in (raw, model))
    torch.testing.assert_close(ours, 2.0 * plain, rtol=1e-5, atol=1e-5)
    assert weight.scale is None


def test_factors_are_saved_and_loaded_with_the_model(tmp_path):
    model = aged(pruned(technology=drifting(0.002)).eval(), scale=column_scale)
    save(model, tmp_path / "aged.safetensors")
    twin = load_(pruned(technology=drifting(0.002)).eval(), tmp_path / "aged.safetensors")
    inputs = torch.rand(4, 12)
    assert torch.equal(twin(inputs), model(inputs))
    state = copy.deepcopy(model.state_dict())
    uncompensate_(model)
    assert "0.weight.scale" not in model.state_dict()
    model.load_state_dict(state)
    assert torch.equal(model[0].weight.scale, twin[0].weight.scale)


def test_noise_of_the_calibration_does_not_pull_the_factors_down():
    noisy = drifting(0.0).with_values(read_noise=0.05)
    model = aged(pruned(technology=noisy).eval(), scale=column_scale)
    expected = (1 + YEAR / 20.0) ** 0.1
    assert float(model[0].weight.scale.mean()) == pytest.approx(expected, rel=0.02)


def test_a_line_that_gives_nothing_keeps_the_factor_one():
    dead = drifting(0.0).with_values(broken_output_fraction=0.3)
    model = aged(pruned(technology=dead).eval(), scale=column_scale)
    weight = model[0].weight
    nothing = chip_of(model).conductance(weight.region).sum(dim=(1, 2)) == 0.0
    assert bool(nothing.any())
    assert torch.equal(weight.scale == 1.0, nothing)


def test_currents_of_another_model_are_refused():
    fresh = calibration_currents(pruned(nn.Sequential(nn.Linear(3, 2))))
    with pytest.raises(SettingError, match="another model"):
        compensate_(pruned(), fresh)
