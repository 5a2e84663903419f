"""A trace counts what a model multiplies, and what that uses of its chip, exactly."""

import itertools
from math import prod

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

from secateur.chip import Geometry, SimulatedChip
from secateur.device import Technology
from secateur.errors import ModelError
from secateur.network import program_, prune_, pruned_weights, quantise_
from secateur.network.trace import trace

QUIET = Technology.load("taox-40nm").with_values(read_noise=0.0)


class Around(nn.Module):
    """A model around one layer, called as that layer."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, *inputs, **keywords):
        return self.layer(*inputs, **keywords)


def on_chip(layer: nn.Module, *, bits: int | None = 4, rows: int = 512, columns: int = 512):
    model = Around(layer)
    chip = SimulatedChip(QUIET, seed=0, geometry=Geometry(rows, columns))
    return prune_(model, chip, input_bits=bits), chip


def pairs_multiplied(layer: nn.Module, inputs: Tensor) -> int:
    """Pairs of an input and an output that a weight joins: each is one multiplication."""
    nn.init.ones_(layer.weight)
    joined = torch.autograd.functional.jacobian(layer, inputs)
    return int((joined != 0).sum())


CONVOLUTIONS = {
    "1d": (nn.Conv1d(3, 4, 3, stride=2, bias=False), (2, 3, 9)),
    "2d": (nn.Conv2d(2, 3, (3, 2), stride=(2, 1), bias=False), (1, 2, 7, 5)),
    "2d dilated": (nn.Conv2d(2, 3, 2, dilation=2, bias=False), (1, 2, 6, 5)),
    "2d grouped": (nn.Conv2d(4, 6, 3, groups=2, bias=False), (1, 4, 5, 6)),
    "depthwise": (nn.Conv2d(4, 4, 3, groups=4, bias=False), (2, 4, 5, 5)),
    "3d": (nn.Conv3d(2, 2, 2, bias=False), (1, 2, 3, 4, 3)),
    "1d transposed": (nn.ConvTranspose1d(3, 2, 3, stride=2, bias=False), (2, 3, 4)),
    "2d transposed": (nn.ConvTranspose2d(4, 6, 3, bias=False), (1, 4, 3, 2)),
    "2d transposed, grouped": (nn.ConvTranspose2d(4, 6, 2, groups=2, bias=False), (1, 4, 3, 3)),
    "3d transposed": (nn.ConvTranspose3d(2, 3, 2, stride=2, bias=False), (1, 2, 2, 2, 2)),
}


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_a_convolution_is_counted_as_its_matrix_has_entries(name):
    layer, shape = CONVOLUTIONS[name]
    expected = pairs_multiplied(layer, torch.randn(shape))
    for model in (Around(layer), on_chip(type(layer)(**settings(layer)))[0]):
        counted = trace(model, torch.randn(shape))
        assert counted.macs == expected
        assert counted.other_macs == 0


def settings(layer) -> dict:
    names = ("in_channels", "out_channels", "kernel_size", "stride", "dilation", "groups")
    return {name: getattr(layer, name) for name in names}


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_columns_give_the_outputs_and_those_of_transposed_ones_before_they_are_added(name):
    layer, shape = CONVOLUTIONS[name]
    counted = trace(Around(layer), torch.randn(shape)).column_outputs
    if layer.transposed:
        positions = prod(shape) // layer.in_channels
        assert counted == positions * layer.out_channels * prod(layer.kernel_size)
    else:
        assert counted == layer(torch.randn(shape)).numel()


@given(st.integers(1, 9), st.integers(1, 9), st.lists(st.integers(1, 4), max_size=3))
def test_a_linear_layer_is_a_matrix_for_each_vector(inputs, outputs, batch):
    (product,) = trace(Around(nn.Linear(inputs, outputs)), torch.randn(*batch, inputs)).products
    assert (product.rows, product.columns, product.vectors) == (inputs, outputs, prod(batch))
    assert product.macs == pairs_multiplied(nn.Linear(inputs, outputs), torch.randn(inputs)) * prod(
        batch
    )


RECURRENT = list(itertools.product((nn.RNN, nn.GRU, nn.LSTM), (1, 2), (False, True)))


@pytest.mark.parametrize(("kind", "layers", "both"), RECURRENT)
def test_every_matrix_of_a_recurrent_network_is_met_once_a_step(kind, layers, both):
    plain = kind(3, 4, num_layers=layers, bidirectional=both)
    matrices = sum(p.numel() for n, p in plain.named_parameters() if "weight" in n)
    inputs = torch.randn(5, 2, 3)
    for model in (Around(plain), on_chip(kind(3, 4, layers, bidirectional=both))[0]):
        counted = trace(model, inputs)
        assert counted.macs == 5 * 2 * matrices
        assert counted.other_macs == 0
        assert {product.vectors for product in counted.products} == {5 * 2}


def test_ended_sequences_are_not_multiplied():
    plain = nn.LSTM(3, 4, proj_size=2)
    matrices = sum(p.numel() for n, p in plain.named_parameters() if "weight" in n)
    packed = pack_padded_sequence(torch.randn(5, 3, 3), torch.tensor([5, 3, 1]))
    assert trace(Around(plain), packed).macs == (5 + 3 + 1) * matrices


@pytest.mark.parametrize("where", ["chip", "digital"])
def test_attention_multiplies_its_projections_and_its_own_rows(where):
    layer = nn.MultiheadAttention(8, 2, batch_first=True)
    model = on_chip(layer)[0] if where == "chip" else Around(layer)
    query, key = torch.randn(1, 3, 8), torch.randn(1, 5, 8)
    counted = trace(model, query, key, key)
    # Query, key and value projections, output projection; then query x key and weights x value.
    assert sum(p.macs for p in counted.products) == (3 + 5 + 5 + 3) * 8 * 8
    assert counted.other_macs == 3 * 5 * 8 * 2
    assert [p.name for p in counted.products] == ["layer.in_proj_weight", "layer.out_proj.weight"]


def test_parts_of_a_packed_projection_meet_their_own_cells():
    model, chip = on_chip(nn.MultiheadAttention(8, 2, batch_first=True))
    query, key = torch.randn(1, 3, 8), torch.randn(1, 5, 8)
    usage = trace(model, query, key, key).products[0].usage
    region = pruned_weights(model)["layer.in_proj_weight"].region
    third = chip.conductance(region).double().sum(dim=(1, 2)).view(3, 8).sum(dim=1)
    assert usage.conductance == pytest.approx(float(3 * third[0] + 5 * third[1] + 5 * third[2]))
    assert usage.lines == (3 + 5 + 5) * 8


def test_a_matrix_cut_into_tiles_is_converted_once_for_each():
    model, chip = on_chip(nn.Linear(10, 7), rows=4, columns=8)
    usage = trace(model, torch.randn(1, 10)).products[0].usage
    # Rows 4 + 4 + 2, pairs of columns 4 + 3: every line is driven in both halves.
    assert (usage.lines, usage.conversions) == (10 * 2, 7 * 3)
    tiles = [tile.macro for tile in chip.placement.regions[0].tiles]
    assert usage.turns == max(tiles.count(macro) for macro in tiles)


def test_cells_met_are_those_of_the_chip():
    model, chip = on_chip(nn.Linear(10, 7))
    usage = trace(model, torch.randn(3, 10)).products[0].usage
    everything = float(chip.conductance(chip.placement.regions[0]).double().sum())
    assert usage.conductance == pytest.approx(3 * everything)
    assert (usage.lines, usage.conversions, usage.turns) == (30, 21, 3)


@pytest.mark.parametrize("layer", [nn.Conv2d, nn.ConvTranspose2d])
def test_a_group_is_read_on_its_own(layer):
    model, chip = on_chip(layer(4, 6, 3, groups=2, bias=False))
    product = trace(model, torch.randn(1, 4, 5, 5)).products[0]
    positions = product.vectors // 2
    everything = float(chip.conductance(chip.placement.regions[0]).double().sum())
    assert product.usage.conductance == pytest.approx(positions * everything)
    assert product.usage.lines == product.vectors * product.rows
    assert product.usage.conversions == product.column_outputs
    assert product.usage.turns == product.vectors


def test_a_traced_model_is_left_as_it_was():
    model, chip = on_chip(nn.Linear(6, 4))
    model.train()
    state = {name: value.clone() for name, value in model.state_dict().items()}
    pulses, held = chip.ledger.totals(), chip.conductance(chip.placement.regions[0])
    counted = trace(model, torch.randn(2, 6))
    assert counted == trace(model, torch.randn(2, 6))
    assert model.training
    assert chip.ledger.totals() == pulses
    assert torch.equal(chip.conductance(chip.placement.regions[0]), held)
    after = model.state_dict()
    assert state.keys() == after.keys()
    assert all(torch.equal(value, after[name]) for name, value in state.items())
    assert pruned_weights(model)["layer.weight"].chip is chip


def test_bits_are_those_of_the_converters():
    assert {
        p.bits for p in trace(on_chip(nn.GRU(3, 4), bits=5)[0], torch.randn(2, 3)).products
    } == {5}
    (product,) = trace(quantise_(Around(nn.Linear(3, 2)), input_bits=3), torch.randn(3)).products
    assert (product.bits, product.usage) == (3, None)
    assert trace(on_chip(nn.Linear(3, 2), bits=None)[0], torch.randn(3)).products[0].bits is None


def test_programmed_models_use_their_chip_too():
    chip = SimulatedChip(QUIET, seed=0)
    model = program_(Around(nn.Linear(6, 4)), chip, input_bits=4)
    usage = trace(model, torch.randn(6)).products[0].usage
    everything = float(chip.conductance(chip.placement.regions[0]).double().sum())
    assert usage.conductance == pytest.approx(everything)


def test_digital_layers_beside_those_on_the_chip_have_no_usage():
    model = nn.Sequential(nn.Linear(6, 4), nn.Linear(4, 2))
    prune_(model, SimulatedChip(QUIET), where=lambda name, _: name == "0", input_bits=4)
    first, second = trace(model, torch.randn(6)).products
    assert first.usage is not None
    assert (second.name, second.usage, second.macs) == ("1.weight", None, 8)


def test_layers_that_cannot_be_swapped_count_as_other_products():
    normed = nn.utils.parametrizations.weight_norm(nn.Linear(6, 4))
    counted = trace(nn.Sequential(normed), torch.randn(3, 6))
    assert (counted.products, counted.other_macs) == ((), 3 * 24)


def test_a_layer_used_twice_is_one_product_of_twice_the_vectors():
    layer = nn.Linear(4, 4)
    (product,) = trace(nn.Sequential(layer, layer), torch.randn(3, 4)).products
    assert product.vectors == 6


def test_a_model_without_weights_has_no_trace():
    with pytest.raises(ModelError, match="multiplies nothing"):
        trace(nn.Sequential(nn.ReLU()), torch.randn(3))
