"""Converters at the output lines: every tile's sums digitised on their own, and added as numbers.

The reference is the slow way: windows unfolded, the cells of each tile multiplied, one column at
a time digitised by the converter that its place on the macro gives it.
"""

import copy

import pytest
import torch
import torch.nn.functional as F
from networks import QUIET, Holder, Tagger, pruned, train, twin, weights_of
from torch import Tensor, nn

from secateur.chip import Geometry, SimulatedChip
from secateur.circuit import BoundConverters, Converters, Ideal, ReadPerProduct, ReadPerStep
from secateur.errors import SettingError
from secateur.keyed import key_of, normals, philox
from secateur.network import (
    calibrate_,
    load_,
    program_,
    prune_,
    pruned_weights,
    saturations,
    save,
)
from secateur.network.trace import trace

SMALL = Geometry(rows=20, columns=24)
SHARE = 3
SEED = 5
ERRORS = {"gain_spread": 0.05, "offset_spread": 0.02}


def on_small_macros(layer: nn.Module, **settings) -> nn.Module:
    """A layer on macros that it does not fit, calibrated and in evaluation."""
    chip = SimulatedChip(QUIET, seed=SEED, geometry=SMALL)
    level = Converters(Ideal(), columns_per_converter=SHARE, **settings)
    model = prune_(Holder(layer), chip, circuit=level, input_bits=4)
    for batch in range(2):
        model(some_inputs(layer, batch))
    return model.eval()


def without_converters(model: nn.Module) -> nn.Module:
    """A copy whose sums are not converted."""
    plain = copy.deepcopy(model)
    del plain.layer.weight.level
    plain.layer.weight.level = Ideal()
    return plain


def some_inputs(layer: nn.Module, seed: int, count: int = 3) -> Tensor:
    draws = torch.Generator().manual_seed(seed)
    if isinstance(layer, nn.Linear):
        return torch.randn(count, layer.in_features, generator=draws)
    return torch.randn(count, layer.in_channels, 7, 6, generator=draws)


def converter_of(macro: int, pair_column: int) -> tuple[float, float]:
    """Gain error and offset over full scale of the converter of a column, in spreads."""
    place = torch.tensor([[macro], [pair_column // SHARE], [0], [0]])
    gain, offset, *_ = normals(philox(place, key=key_of(SEED, "converter"))).squeeze(1).tolist()
    return gain, offset


def columns_digitised(model: nn.Module, vectors: Tensor, group: slice, errors) -> Tensor:
    """Digital sums (n, columns) of vectors (n, rows of `group`), one tile and column at a time."""
    weight, level = model.layer.weight, model.layer.weight.level
    region, bits = weight.region, level.settings.output_bits
    inputs, outputs = region.matrix
    known = weight.chip.statistics(region).difference * float(weight.gain)
    flat = known.reshape(region.shape[0], -1)
    matrix = flat if region.inputs_first else flat.T
    total = torch.zeros(len(vectors), outputs)
    rows = torch.zeros(inputs, dtype=torch.bool)
    rows[group] = True
    spans = [first for first, _ in level.layout.spans]
    for tile in region.tiles:
        full_scale = level.ranges[spans.index(tile.first_input)]
        step = full_scale / (2 ** (bits - 1) - 1)
        own = torch.zeros(inputs, dtype=torch.bool)
        own[tile.first_input : tile.first_input + tile.rows] = True
        if not bool((own & rows).any()):
            continue
        for n in range(tile.pair_columns):
            column = tile.first_output + n
            used = own & rows
            analog = vectors[:, used[group]] @ matrix[used, column]
            gain, offset = converter_of(tile.macro, tile.pair_column + n)
            analog = analog * (1.0 + errors.get("gain_spread", 0.0) * gain)
            analog = analog + errors.get("offset_spread", 0.0) * offset * full_scale
            codes = (analog / step).round().clamp(-(2 ** (bits - 1) - 1), 2 ** (bits - 1) - 1)
            total[:, column] += codes * step
    return total


def by_columns(model: nn.Module, inputs: Tensor, errors) -> Tensor:
    """Outputs of a layer, without bias, from its digitised columns."""
    layer = model.layer
    everything = slice(None)
    if hasattr(layer, "in_features"):
        return columns_digitised(model, inputs, everything, errors)
    if not layer.transposed:
        windows = F.unfold(inputs, layer.kernel_size, padding=layer.padding, stride=layer.stride)
        n, rows, places = windows.shape
        vectors = windows.transpose(1, 2).reshape(n * places, rows)
        per_group = layer.out_channels // layer.groups
        parts = []
        for g, part in enumerate(vectors.chunk(layer.groups, dim=1)):
            sums = columns_digitised(model, part, everything, errors)
            parts.append(sums[:, g * per_group : (g + 1) * per_group])
        sums = torch.cat(parts, dim=1).view(n, places, -1).transpose(1, 2)
        height = (inputs.shape[2] + 2 * layer.padding[0] - layer.kernel_size[0]) // layer.stride[0]
        return sums.reshape(n, layer.out_channels, height + 1, -1)
    n, channels, height, width = inputs.shape
    size = [
        (s - 1) * layer.stride[d] - 2 * layer.padding[d] + layer.kernel_size[d]
        for d, s in enumerate((height, width))
    ]
    parts = []
    for g, part in enumerate(inputs.chunk(layer.groups, dim=1)):
        vectors = part.permute(0, 2, 3, 1).reshape(-1, channels // layer.groups)
        group = slice(g * channels // layer.groups, (g + 1) * channels // layer.groups)
        sums = columns_digitised(model, vectors, group, errors)
        columns = sums.view(n, height * width, -1).transpose(1, 2)
        parts.append(
            F.fold(columns, size, layer.kernel_size, padding=layer.padding, stride=layer.stride)
        )
    return torch.cat(parts, dim=1)


LAYERS = {
    "fits": nn.Linear(18, 10, bias=False),
    "linear": nn.Linear(45, 15, bias=False),
    "convolution": nn.Conv2d(7, 14, (3, 2), padding=1, bias=False),
    "strided": nn.Conv2d(5, 4, 3, stride=2, padding=1, bias=False),
    "grouped": nn.Conv2d(12, 8, 3, groups=2, bias=False),
    "transposed": nn.ConvTranspose2d(25, 4, 2, bias=False),
    "transposed, strided": nn.ConvTranspose2d(6, 5, (3, 2), stride=2, padding=1, bias=False),
    "transposed, grouped": nn.ConvTranspose2d(24, 4, 2, stride=2, groups=2, bias=False),
}


@pytest.mark.parametrize("errors", [{}, ERRORS], ids=["trimmed", "with errors"])
@pytest.mark.parametrize("name", LAYERS)
def test_outputs_are_the_sums_of_digitised_columns(name, errors):
    layer = copy.deepcopy(LAYERS[name])
    model = on_small_macros(layer, output_bits=5, **errors)
    inputs = some_inputs(layer, 9)
    expected = by_columns(model, model.layer.converter(inputs), errors)
    found = model(inputs)
    level = model.layer.weight.level
    step = max(level.ranges) / 15
    # Half-way between two levels the last bit of a sum decides.
    off = (found - expected).abs() > 1e-4 * step
    assert float(off.float().mean()) < 2e-3
    torch.testing.assert_close(found[~off], expected[~off], rtol=1e-4, atol=1e-3 * step)
    assert len(level.ranges) == {"fits": 1, "linear": 3}.get(name, len(level.ranges))


@pytest.mark.parametrize("name", LAYERS)
def test_with_bits_enough_outputs_are_those_of_the_plain_product(name):
    layer = copy.deepcopy(LAYERS[name])
    model = on_small_macros(layer, output_bits=16, headroom=100.0)
    inputs = some_inputs(layer, 1)
    weight, level = model.layer.weight, model.layer.weight.level
    level.ranges = [2.0 * known for known in level.ranges]
    plain = without_converters(model)
    converted = max(level.ranges) / 2**15 * len(level.ranges) * 6
    torch.testing.assert_close(model(inputs), plain(inputs), rtol=0, atol=converted)
    assert int(level.saturated) == 0
    assert weight.level.conversions > 0


@pytest.mark.parametrize("bits", [3, 8])
def test_conversions_and_saturations_are_counted_and_reported(bits):
    model = on_small_macros(nn.Linear(45, 15, bias=False), output_bits=bits)
    saturations(model, reset=True)
    inputs = 1.0 * some_inputs(nn.Linear(45, 15), 3, count=400)
    weight, level = model.layer.weight, model.layer.weight.level
    level.ranges = [0.5 * known for known in level.ranges]
    model(inputs)
    (found,) = saturations(model).values()
    assert list(saturations(model)) == list(pruned_weights(model))
    assert found.conversions == 400 * 15 * 3
    known = (weight.chip.statistics(weight.region).difference * float(weight.gain)).T
    given, beyond, levels = model.layer.converter(inputs), 0, 2 ** (bits - 1) - 1
    for (first, last), full_scale in zip(level.layout.spans, level.ranges, strict=True):
        sums = given[:, first:last] @ known[first:last]
        beyond += int((sums.abs() >= full_scale * (levels + 0.5) / levels).sum())
    assert found.saturated == pytest.approx(beyond, abs=2)
    assert found.share == found.saturated / found.conversions > 0.01
    assert saturations(model, reset=True)
    assert next(iter(saturations(model).values())).conversions == 0
    model.train()(inputs)
    assert next(iter(saturations(model).values())).conversions == 0


# --- Bit-planes --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LAYERS)
def test_bit_serial_inputs_are_digitised_plane_by_plane(name):
    layer = copy.deepcopy(LAYERS[name])
    model = on_small_macros(layer, output_bits=6, bit_serial=True, **ERRORS)
    inputs = some_inputs(layer, 9)
    given, levels = model.layer.converter(inputs), model.layer.converter.levels()
    whole = (given / levels.step).round().long() & (2**levels.bits - 1)
    expected = torch.zeros(())
    for bit in range(levels.bits):
        plane = (whole >> bit & 1).float() * levels.step
        shift = 2**bit if bit < levels.bits - 1 or not levels.signed else -(2**bit)
        expected = expected + shift * by_columns(model, plane, ERRORS)
    step = max(model.layer.weight.level.ranges) / 31
    off = (model(inputs) - expected).abs() > 0.5 * step
    assert levels.signed
    assert float(off.float().mean()) < 2e-2


@pytest.mark.parametrize("name", LAYERS)
def test_planes_that_nobody_converts_are_one_product(name):
    layer = copy.deepcopy(LAYERS[name])
    model = on_small_macros(layer, output_bits=None, bit_serial=True)
    inputs = some_inputs(layer, 2)
    plain = without_converters(model)
    torch.testing.assert_close(model(inputs), plain(inputs))


def test_bit_serial_inputs_need_a_converter_before_them():
    level = Converters(Ideal(), bit_serial=True)
    model = prune_(Holder(nn.Linear(4, 3)), SimulatedChip(QUIET), circuit=level)
    with pytest.raises(SettingError, match="input_bits"):
        model(torch.randn(2, 4))


# --- Ranges ------------------------------------------------------------------------------------


def test_evaluation_keeps_the_ranges_and_training_moves_them():
    model = on_small_macros(nn.Linear(45, 15))
    level = model.layer.weight.level
    before = list(level.ranges)
    model(10.0 * some_inputs(nn.Linear(45, 15), 4))
    assert level.ranges == before
    model.train()(some_inputs(nn.Linear(45, 15), 4))
    assert level.ranges != before
    assert all(known > 0.0 for known in before)


def test_evaluation_before_any_training_is_refused_with_the_remedy():
    model = pruned(circuit=Converters(), input_bits=None).eval()
    with pytest.raises(SettingError, match=r"output lines has no range yet.*calibrate_"):
        model(torch.randn(3, 12))


@pytest.mark.parametrize("bit_serial", [False, True])
def test_a_range_is_an_average_over_products(bit_serial):
    level = Converters(Ideal(), headroom=100.0, momentum=0.25, bit_serial=bit_serial)
    model = prune_(Holder(nn.Linear(8, 6)), SimulatedChip(QUIET), circuit=level, input_bits=4)
    bound, expected = model.layer.weight.level, None
    known = model.layer.weight.chip.statistics(model.layer.weight.region).difference
    known = known * float(model.layer.weight.gain)
    for scale in (1.0, 2.0, 0.5):
        model(scale * some_inputs(nn.Linear(8, 6), 1))
        given = model.layer.converter.eval()(scale * some_inputs(nn.Linear(8, 6), 1))
        model.layer.converter.train()
        step = model.layer.converter.levels().step
        codes = (given / step).round().long()
        planes = [(codes >> b & 1).float() * step for b in range(4)] if bit_serial else [given]
        peak = max(float((plane @ known.T).abs().max()) for plane in planes)
        expected = peak if expected is None else expected + 0.25 * (peak - expected)
        assert bound.ranges[0] == pytest.approx(expected, rel=1e-5)


def test_calibration_finds_ranges_without_touching_anything_else():
    plain = nn.Sequential(nn.Linear(12, 24), nn.BatchNorm1d(24), nn.ReLU(), nn.Linear(24, 4))
    model = program_(
        plain, SimulatedChip(QUIET), circuit=Converters(ReadPerStep()), input_bits=6
    ).train()
    pulses = model[0].weight.chip.ledger.totals()
    before = {n: t.clone() for n, t in model.state_dict().items() if "extra" not in n}
    batches = [torch.randn(16, 12) for _ in range(3)]
    assert calibrate_(model, batches) is model
    assert all(module.training for module in model.modules())
    after = model.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert model[0].weight.chip.ledger.totals() == pulses
    levels = [m for m in model.modules() if isinstance(m, BoundConverters)]
    assert all(level.products == 3 and level.ranges[0] > 0.0 for level in levels)
    assert bool(model.eval()(batches[0]).isfinite().all())
    again = [list(level.ranges) for level in levels]
    calibrate_(model, [10.0 * batch for batch in batches])
    assert all(
        a[0] > 1.5 * b.ranges[0] or a != b.ranges for a, b in zip(again, levels, strict=True)
    )
    with pytest.raises(SettingError, match="nothing to calibrate on"):
        calibrate_(model, [])


def test_ranges_are_saved_with_the_model(tmp_path):
    settings = {"circuit": Converters(ReadPerStep(), **ERRORS), "input_bits": 4}
    model = pruned(**settings)
    train(model)
    save(model.eval(), tmp_path / "model.safetensors")
    other = load_(pruned(**settings), tmp_path / "model.safetensors").eval()
    inputs = torch.randn(5, 12)
    assert torch.equal(other(inputs), model(inputs))
    with pytest.raises(SettingError, match="Converters"):
        load_(
            pruned(circuit=Converters(output_bits=7), input_bits=4), tmp_path / "model.safetensors"
        )


# --- Gradient and parts ------------------------------------------------------------------------


@pytest.mark.parametrize("bit_serial", [False, True])
@pytest.mark.parametrize("name", LAYERS)
def test_the_gradient_is_that_of_the_plain_product_inside_the_range(name, bit_serial):
    layer = copy.deepcopy(LAYERS[name])
    model = on_small_macros(layer, bit_serial=bit_serial, headroom=1000.0, **ERRORS)
    model.layer.weight.level.ranges = [10.0 * r for r in model.layer.weight.level.ranges]
    plain = without_converters(model)
    found = []
    for network in (model, plain):
        inputs = some_inputs(layer, 1).requires_grad_()
        outputs = network(inputs)
        upstream = torch.randn(outputs.shape, generator=torch.Generator().manual_seed(1))
        (outputs * upstream).sum().backward()
        found.append((inputs.grad, network.layer.weight.scores.grad))
    torch.testing.assert_close(*found, rtol=1e-4, atol=1e-5)


def test_nothing_flows_through_a_saturated_sum():
    model = on_small_macros(nn.Linear(18, 10, bias=False))
    model.layer.weight.level.ranges = [1e-3]
    inputs = some_inputs(nn.Linear(18, 10), 1).requires_grad_()
    model(inputs).sum().backward()
    assert float(inputs.grad.abs().sum()) == 0.0


def test_heads_of_attention_meet_the_converters_of_their_own_columns():
    level = Converters(Ideal(), columns_per_converter=1, output_bits=16, **ERRORS)
    chip = SimulatedChip(QUIET, seed=SEED)
    model = prune_(Holder(nn.MultiheadAttention(6, 2, bias=False)), chip, circuit=level)
    reading = model.layer.in_proj_weight()
    inputs = torch.randn(40, 6)
    reading.product(F.linear, inputs)
    whole = reading.product(F.linear, inputs)
    reading.circuit.eval()
    parts = [reading.part(n * 6, (n + 1) * 6).product(F.linear, inputs) for n in range(3)]
    whole = reading.product(F.linear, inputs)
    torch.testing.assert_close(torch.cat(parts, dim=1), whole, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(whole, F.linear(inputs, reading.weight), atol=1e-2)


def test_a_recurrent_network_looks_at_every_time_step():
    model = pruned(Tagger(), circuit=Converters(), input_bits=4)
    for name, weight in pruned_weights(model).items():
        assert weight.level.every == (1 if name.startswith("remember") else 8)


@pytest.mark.parametrize("bit_serial", [False, True])
def test_noise_is_keyed_and_fresh(bit_serial):
    model = pruned(circuit=Converters(ReadPerProduct(), bit_serial=bit_serial), input_bits=4)
    train(model)
    model.eval()
    inputs = torch.randn(5, 12)
    copied = twin(model)
    first = model(inputs)
    assert torch.equal(copied(inputs), first)
    assert not torch.equal(model(inputs), first)


def test_converters_are_traced_before_any_range_is_known():
    model = pruned(circuit=Converters(), input_bits=4)
    assert trace(model, torch.randn(1, 12)).macs == 12 * 24 + 24 * 4
    assert weights_of(model)[0].level.ranges == [0.0]
