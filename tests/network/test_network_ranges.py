"""Ranges of converters at the output lines: wide enough where sums are few, kept by a failure."""

import pytest
import torch
from torch import nn

from secateur.chip import SimulatedChip
from secateur.circuit import Converters, Ideal, ReadPerStep
from secateur.network import calibrate_, prune_, pruned_weights, saturations


def saturated_share(layer: nn.Module, inputs: torch.Tensor) -> float:
    """Of a layer's sums behind converters of 8 bits, ranged on the same inputs."""
    model = nn.Sequential(layer)
    prune_(model, SimulatedChip("ideal", seed=0), circuit=Converters(Ideal(), output_bits=8))
    with torch.no_grad():
        for _ in range(4):
            model(inputs)
        model.eval()(inputs)
    (found,) = saturations(model).values()
    return found.share


def test_kernel_positions_that_touch_few_outputs_have_ranges_as_wide_as_any():
    draws = torch.Generator().manual_seed(0)
    few = saturated_share(nn.Linear(64, 32), torch.randn(400, 64, generator=draws))
    images = torch.randn(8, 64, 6, 6, generator=draws)
    for kernel in (2, 4):
        layer = nn.ConvTranspose2d(64, 8, kernel, stride=kernel, bias=False)
        assert saturated_share(layer, images) <= few + 0.002
    assert few < 0.002


def test_converters_with_errors_train_in_half_precision():
    level = Converters(ReadPerStep(), output_bits=8, gain_spread=0.05, offset_spread=0.02)
    model = nn.Sequential(nn.Linear(16, 12), nn.ReLU(), nn.Linear(12, 4))
    prune_(model, SimulatedChip(seed=0), circuit=level, input_bits=6)
    model.bfloat16()
    outputs = model(torch.rand(8, 16, dtype=torch.bfloat16))
    outputs.sum().backward()
    assert outputs.dtype == torch.bfloat16
    assert all(weight.scores.grad is not None for weight in pruned_weights(model).values())


def test_a_calibration_that_fails_leaves_everything_as_it_was():
    model = nn.Sequential(nn.Linear(16, 4))
    prune_(model, SimulatedChip(seed=0), circuit=Converters(Ideal(), output_bits=8), input_bits=6)
    model(torch.rand(32, 16))
    model.eval()
    inputs = torch.rand(5, 16)
    before = model(inputs)
    with pytest.raises(RuntimeError):
        calibrate_(model, [torch.rand(8, 16), torch.rand(8, 15)])
    assert not any(module.training for module in model.modules())
    assert torch.equal(model(inputs), before)
