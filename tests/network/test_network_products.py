"""What a pruned layer computes is what the chip's own multiplication gives."""

import pytest
import torch
import torch.nn.functional as F
from networks import QUIET, Holder, Tagger, chip_of, pruned, twin, weights_of
from torch import nn

from secateur.chip import FixedVoltage, SimulatedChip, VoltageRamp
from secateur.circuit import ReadPerProduct, ReadPerStep
from secateur.device import Technology
from secateur.network import ChipWeight, detach_, program_, prune_, pruned_weights

FORMINGS = {"full": FixedVoltage(), "half": FixedVoltage(0.5), "ramp": VoltageRamp()}


def currents(layer: nn.Module, voltages: torch.Tensor) -> torch.Tensor:
    """The chip's multiplication (n, inputs) -> (n, outputs), in units of the weights."""
    source = layer.weight
    return source.chip.multiply(source.region, voltages, key=0) * float(source.gain)


def test_a_linear_layer_is_one_multiplication_of_the_chip():
    model = pruned(Holder(nn.Linear(7, 5)), technology=QUIET)
    inputs = torch.randn(4, 7)
    expected = currents(model.layer, inputs) + model.layer.bias
    torch.testing.assert_close(model(inputs), expected)


def test_a_convolution_is_one_multiplication_per_window():
    model = pruned(Holder(nn.Conv2d(3, 5, 3, stride=2, padding=1)), technology=QUIET)
    inputs = torch.randn(2, 3, 7, 6)
    windows = F.unfold(inputs, 3, stride=2, padding=1).transpose(1, 2)
    sums = currents(model.layer, windows.reshape(-1, 27)).view(2, -1, 5).transpose(1, 2)
    expected = sums.reshape(2, 5, 4, 3) + model.layer.bias.view(5, 1, 1)
    torch.testing.assert_close(model(inputs), expected)


def test_each_group_of_a_convolution_meets_its_own_output_lines():
    model = pruned(Holder(nn.Conv1d(4, 6, 3, groups=2, bias=False)), technology=QUIET)
    inputs = torch.randn(1, 4, 3)
    per_group = [currents(model.layer, part.reshape(1, 6)) for part in inputs.chunk(2, dim=1)]
    expected = torch.cat([per_group[0][:, :3], per_group[1][:, 3:]], dim=1)
    torch.testing.assert_close(model(inputs)[:, :, 0], expected)


def test_a_transposed_convolution_is_one_multiplication_per_input():
    layer = nn.ConvTranspose2d(3, 5, 2, stride=2, bias=False)
    model = pruned(Holder(layer), technology=QUIET)
    inputs = torch.randn(2, 3, 4, 4)
    sums = currents(model.layer, inputs.permute(0, 2, 3, 1).reshape(-1, 3))
    columns = sums.view(2, 16, 20).transpose(1, 2)
    torch.testing.assert_close(model(inputs), F.fold(columns, (8, 8), 2, stride=2))


@pytest.mark.parametrize("technology", [QUIET, "ideal"])
@pytest.mark.parametrize("grain", ["pair", "cell"])
@pytest.mark.parametrize("circuit", [ReadPerStep(), ReadPerProduct()])
def test_without_noise_every_layer_is_the_plain_one_with_the_detached_weights(
    technology, grain, circuit
):
    model = pruned(Tagger(), technology=technology, grain=grain, circuit=circuit)
    inputs = torch.randn(4, 3, 6)
    model(inputs)
    plain = detach_(twin(model)).eval()
    assert not any(isinstance(module, ChipWeight) for module in plain.modules())
    torch.testing.assert_close(model.eval()(inputs), plain(inputs), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("forming", FORMINGS)
@pytest.mark.parametrize("grain", ["pair", "cell"])
def test_weights_are_differences_of_the_pairs_that_are_there(forming, grain):
    chip = SimulatedChip(QUIET, forming=FORMINGS[forming])
    model = prune_(Holder(nn.Linear(40, 30)), chip, grain=grain)
    (weight,) = weights_of(model)
    cells = chip.conductance(weight.region)
    expected = (cells[..., 0] - cells[..., 1]) * float(weight.gain)
    torch.testing.assert_close(weight().weight, expected)
    formed = chip.status(weight.region) != chip.PRISTINE
    share, single = formed.float().mean(), (formed.sum(dim=-1) == 1).float().mean()
    assert {"full": share > 0.99, "half": 0.4 < share < 0.6, "ramp": single > 0.8}[forming]
    available = formed if grain == "cell" else formed.any(dim=-1)
    assert torch.equal(weight.available, available)
    assert not (weight.mask & ~available).any()
    assert int(weight.mask.sum()) == round(0.5 * int(available.sum()))


@pytest.mark.parametrize("grain", ["pair", "cell"])
def test_the_remembered_weight_of_an_edge_is_what_it_contributes_when_kept(grain):
    model = pruned(Holder(nn.Linear(20, 20)), technology="ideal", grain=grain)
    (weight,) = weights_of(model)
    summed = weight.kept_weight * weight.mask
    if grain == "cell":
        summed = summed.sum(dim=-1)
    torch.testing.assert_close(weight().weight, summed)


def test_weights_have_the_spread_of_a_kaiming_layer():
    for layer in (nn.Linear(128, 64), nn.Conv2d(32, 48, 3), nn.Conv2d(32, 48, 3, groups=4)):
        model = pruned(Holder(layer))
        fan_in = layer.in_features if isinstance(layer, nn.Linear) else 32 * 9 // layer.groups
        root = weights_of(model)[0]().weight.square().mean().sqrt()
        torch.testing.assert_close(root, torch.tensor((2.0 / fan_in) ** 0.5), rtol=0.02, atol=0.0)


@pytest.mark.parametrize("circuit", [ReadPerStep(), ReadPerProduct()])
def test_a_forward_pass_reads_each_weight_once_and_recurrent_ones_at_each_step(circuit):
    model = pruned(Tagger(), circuit=circuit)
    before = {name: weight.uses.count for name, weight in pruned_weights(model).items()}
    model(torch.randn(5, 3, 6))
    for name, weight in pruned_weights(model).items():
        assert weight.uses.count - before[name] == (6 if name.startswith("remember") else 1)


def test_every_read_meets_fresh_noise_of_the_size_the_technology_says():
    model = pruned(Holder(nn.Linear(60, 50)))
    (weight,) = weights_of(model)
    known = weight.chip.statistics(weight.region)
    reads = torch.stack([weight().weight.detach() for _ in range(200)])
    assert not torch.equal(reads[0], reads[1])
    deviation = known.deviation * float(weight.gain)
    residual = (reads - known.difference * float(weight.gain)) / deviation
    torch.testing.assert_close(residual.std(), torch.tensor(1.0), rtol=0.01, atol=0.0)
    assert residual.mean().abs() < 0.01


def test_noise_for_every_product_differs_among_the_samples_of_a_batch():
    inputs = torch.randn(1, 30).expand(400, 30)
    once = pruned(Holder(nn.Linear(30, 8)), circuit=ReadPerStep())(inputs)
    assert once.std(dim=0).max() < 1e-5
    model = pruned(Holder(nn.Linear(30, 8)), circuit=ReadPerProduct())
    (weight,) = weights_of(model)
    deviation = weight.chip.statistics(weight.region).deviation * float(weight.gain)
    expected = (inputs[:1].square() @ deviation.square().T).sqrt().squeeze(0)
    torch.testing.assert_close(model(inputs).std(dim=0), expected, rtol=0.15, atol=0.0)


def test_trained_weights_are_written_to_the_chip_as_they_are():
    plain = nn.Sequential(nn.Linear(20, 16), nn.ReLU(), nn.Linear(16, 4))
    # A cell that was not formed cannot be written: here all are.
    chip = SimulatedChip("ideal", forming=FixedVoltage(voltage=5.0))
    model = program_(twin(plain), chip, tolerance=0.005, attempts=20)
    inputs = torch.randn(8, 20)
    torch.testing.assert_close(model(inputs), plain(inputs), rtol=0.05, atol=0.02)
    detached = detach_(model)
    for own, given in zip(detached.parameters(), plain.parameters(), strict=True):
        assert (own - given).abs().max() <= 0.011 * given.abs().max()


def test_writing_is_counted_and_its_error_is_the_technologys():
    plain = nn.Sequential(nn.Linear(60, 50, bias=False))
    chip = SimulatedChip(Technology.load("taox-40nm").with_values(programming_error=0.1))
    model = program_(twin(plain), chip)
    totals = chip.ledger.totals()
    assert totals["reset"] > 0
    assert totals["set"] > 0
    error = (detach_(model)[0].weight - plain[0].weight).detach()
    swing = plain[0].weight.detach().abs().max() * 1.09
    assert 0.11 < float(error.std() / swing) < 0.16


def test_a_programmed_model_has_biases_but_no_weights_to_train():
    model = program_(nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2)), SimulatedChip())
    assert [name for name, _ in model.named_parameters()] == ["0.bias", "1.bias"]
    before = chip_of_programmed(model).ledger.totals()
    model.train()(torch.randn(2, 4)).sum().backward()
    assert chip_of_programmed(model).ledger.totals() == before


def chip_of_programmed(model: nn.Module) -> SimulatedChip:
    return next(module.chip for module in model.modules() if isinstance(module, ChipWeight))


def test_detached_layers_are_plain_and_follow_training_mode_and_type():
    model = pruned(Tagger()).double().eval()
    assert chip_of(model).conductance(weights_of(model)[0].region).dtype == torch.float32
    plain = detach_(model)
    assert [type(module) for module in plain.children()] == [
        type(module) for module in Tagger().children()
    ]
    assert {parameter.dtype for parameter in plain.parameters()} == {torch.float64}
    assert not any(module.training for module in plain.modules())
    assert plain.state_dict().keys() == Tagger().state_dict().keys()
    plain(torch.randn(2, 3, 6, dtype=torch.float64)).sum().backward()
    assert all(parameter.grad is not None for parameter in plain.parameters())
