"""A swapped recurrent network computes what the plain one does, and reads once per time step."""

import itertools

import pytest
import torch
from networks import Holder, assert_same, pruned, twin, weights_of
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence

from secateur.network import detach_, quantise_

KINDS = {
    "tanh": (nn.RNN, {}),
    "relu": (nn.RNN, {"nonlinearity": "relu"}),
    "gru": (nn.GRU, {}),
    "lstm": (nn.LSTM, {}),
    "lstm projected": (nn.LSTM, {"proj_size": 2}),
    "gru without bias": (nn.GRU, {"bias": False}),
}


def swapped(kind: str, **settings) -> tuple[nn.Module, nn.Module]:
    make, own = KINDS[kind]
    plain = Holder(make(3, 4, **own, **settings)).double()
    return plain, quantise_(twin(plain), input_bits=None)


def state_of(kind: str, layers: int, *batch: int) -> list[torch.Tensor]:
    widths = {"lstm": [4, 4], "lstm projected": [2, 4]}.get(kind, [4])
    return [torch.randn(layers, *batch, width, dtype=torch.float64) for width in widths]


def call(model, inputs, *state):
    if not state:
        return model(inputs)
    return model(inputs, state if len(state) == 2 else state[0])


@pytest.mark.parametrize(
    ("kind", "both", "given"), list(itertools.product(KINDS, [False, True], [False, True]))
)
def test_two_layers_are_those_of_the_plain_network(kind, both, given):
    plain, chip_like = swapped(kind, num_layers=2, bidirectional=both, batch_first=given)
    inputs = [torch.randn(5, 3, 3, dtype=torch.float64)]
    batch = 5 if given else 3
    state = state_of(kind, 4 if both else 2, batch) if given else []
    assert_same(plain, chip_like, call, inputs + state)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("given", [False, True])
def test_one_sequence_without_a_batch(kind, given):
    plain, chip_like = swapped(kind, bidirectional=True, batch_first=given)
    inputs = [torch.randn(5, 3, dtype=torch.float64)]
    assert_same(plain, chip_like, call, inputs + (state_of(kind, 2) if given else []))


@pytest.mark.parametrize(("kind", "given"), list(itertools.product(KINDS, [False, True])))
def test_packed_sequences_in_any_order(kind, given):
    plain, chip_like = swapped(kind, num_layers=2, bidirectional=True)
    lengths = torch.tensor([2, 5, 1, 3])

    def packed(model, inputs, *state):
        sequence = pack_padded_sequence(inputs, lengths, enforce_sorted=False)
        outputs, last = call(model, sequence, *state)
        assert torch.equal(outputs.batch_sizes, sequence.batch_sizes)
        assert torch.equal(outputs.unsorted_indices, sequence.unsorted_indices)
        return outputs.data, last

    inputs = [torch.randn(5, 4, 3, dtype=torch.float64)]
    assert_same(plain, chip_like, packed, inputs + (state_of(kind, 4, 4) if given else []))


def test_sorted_packed_sequences():
    plain, chip_like = swapped("gru")

    def packed(model, inputs):
        outputs, last = model(pack_padded_sequence(inputs, [5, 3, 1]))
        return outputs.data, last

    assert_same(plain, chip_like, packed, [torch.randn(5, 3, 3, dtype=torch.float64)])


def test_dropout_between_layers_is_off_in_evaluation_and_on_in_training():
    plain, chip_like = swapped("lstm", num_layers=2, dropout=0.5)
    inputs = torch.randn(4, 2, 3, dtype=torch.float64)
    torch.testing.assert_close(chip_like.eval()(inputs)[0], plain.eval()(inputs)[0])
    chip_like.train()
    assert not torch.allclose(chip_like(inputs)[0], chip_like(inputs)[0])


@pytest.mark.parametrize("shape", [(1, 2, 4), (2, 1, 4), (2, 2, 3)])
def test_an_initial_state_of_another_shape_is_refused(shape):
    plain, chip_like = swapped("gru", num_layers=2)
    for model in (plain, chip_like):
        with pytest.raises(RuntimeError, match=r"[Ee]xpected"):
            model(torch.randn(3, 2, 3).double(), torch.zeros(shape).double())


@pytest.mark.parametrize("kind", KINDS)
def test_a_detached_network_is_a_plain_one_again(kind):
    plain, chip_like = swapped(kind, num_layers=2, bidirectional=True)
    again = detach_(chip_like)
    assert type(again.layer) is type(plain.layer)
    assert again.state_dict().keys() == plain.state_dict().keys()
    inputs = torch.randn(5, 3, 3, dtype=torch.float64)
    torch.testing.assert_close(again(inputs)[0], plain(inputs)[0])


def test_settings_and_biases_keep_their_names():
    plain, chip_like = swapped("lstm", num_layers=2)
    layer = chip_like.layer
    assert (layer.hidden_size, layer.num_layers, layer.batch_first) == (4, 2, False)
    assert torch.equal(layer.bias_hh_l1, plain.layer.bias_hh_l1)
    assert "LSTM(3, 4, num_layers=2)" in repr(chip_like)
    layer.flatten_parameters()


def test_each_matrix_is_read_once_per_time_step():
    model = pruned(Holder(nn.LSTM(3, 4, num_layers=2, bidirectional=True)))
    before = [weight.uses.count for weight in weights_of(model)]
    model(torch.randn(7, 2, 3))
    after = [weight.uses.count for weight in weights_of(model)]
    assert [b - a for a, b in zip(before, after, strict=True)] == [7] * 8


def test_converters_work_from_the_first_state_which_is_zero():
    model = pruned(Holder(nn.GRU(3, 4)), input_bits=4)
    outputs, _ = model(torch.randn(6, 2, 3))
    assert torch.isfinite(outputs).all()
    model.eval()
    assert torch.isfinite(model(torch.randn(6, 2, 3))[0]).all()


def test_the_converters_of_a_recurrent_layer_look_at_every_time_step():
    model = quantise_(nn.ModuleList([nn.GRU(3, 4), nn.Linear(4, 2)]), input_bits=4)
    assert {c.every for c in model[0].converters.values()} == {1}
    assert model[1].converter.every == 8
