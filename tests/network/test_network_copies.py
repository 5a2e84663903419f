"""Ties, copies, casts and state dicts of a pruned model behave as those of any model."""

import pytest
import torch
from networks import (
    QUIET,
    Holder,
    Tagger,
    batches,
    chip_of,
    conductances,
    perceptron,
    pruned,
    switching,
    train,
    twin,
    weights_of,
)
from torch import nn

from secateur.chip import SimulatedChip
from secateur.circuit import ReadPerProduct
from secateur.errors import SettingError
from secateur.network import detach_, prune_, pruned_weights, quantise_

LEVELS = {"read per step": {}, "read per product": {"circuit": ReadPerProduct()}}


class Autoencoder(nn.Module):
    """Two layers that share their weight, and a third beside them."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(12, 12)
        self.second = nn.Linear(12, 12)
        self.last = nn.Linear(12, 4)
        self.second.weight = self.first.weight

    def forward(self, inputs):
        return self.last(torch.relu(self.second(torch.relu(self.first(inputs)))))


# --- Ties -----------------------------------------------------------------------------------------


def test_a_weight_that_two_layers_share_is_one_set_of_edges_with_one_gradient():
    model = pruned(Autoencoder(), technology=QUIET)
    assert model.first.weight is model.second.weight
    assert list(pruned_weights(model)) == ["first.weight", "last.weight"]
    assert chip_of(model).placement.cells == 2 * (144 + 48)
    scores = [name for name, _ in model.named_parameters() if name.endswith(".scores")]
    assert scores == ["first.weight.scores", "last.weight.scores"]
    plain = detach_(twin(model))
    inputs, _ = next(batches(1))
    model(inputs).square().sum().backward()
    plain(inputs).square().sum().backward()
    weight = weights_of(model)[0]
    torch.testing.assert_close(
        weight.scores.grad, plain.first.weight.grad * weight.kept_weight, rtol=1e-4, atol=1e-5
    )
    train(model, 3)


def test_a_tie_holds_when_the_layers_are_detached():
    plain = detach_(pruned(Autoencoder()))
    assert plain.first.weight is plain.second.weight
    assert plain.first.bias is not plain.second.bias


@pytest.mark.parametrize("name", ["first", "second", "second.weight"])
def test_a_share_may_be_given_under_any_name_of_a_shared_weight(name):
    model = pruned(Autoencoder(), keep_fraction={name: 0.25, "last": 0.5})
    assert int(weights_of(model)[0].mask.sum()) == 36


def test_two_shares_for_one_shared_weight_are_refused():
    with pytest.raises(SettingError, match="two values for one shared weight"):
        pruned(Autoencoder(), keep_fraction={"first": 0.25, "second": 0.5, "last": 0.5})


def test_ties_within_a_recurrent_layer_hold_too():
    layer = nn.GRU(4, 4, num_layers=2)
    layer.weight_ih_l1 = layer.weight_ih_l0
    layer.bias_ih_l1 = layer.bias_ih_l0
    plain = Holder(layer)
    model = quantise_(twin(plain), input_bits=None)
    inputs = torch.randn(3, 2, 4)
    torch.testing.assert_close(model(inputs)[0], plain(inputs)[0])
    model = pruned(plain)
    assert [w.region.name.rpartition("_")[2] for w in weights_of(model)] == ["l0", "l0", "l1"]
    assert model.layer.weight_ih_l1 is model.layer.weight_ih_l0


def test_a_layer_that_sits_in_two_places_is_one_layer():
    shared = nn.Linear(12, 12)
    model = pruned(nn.Sequential(shared, nn.ReLU(), shared, nn.Linear(12, 4)))
    assert model[0] is model[2]
    assert len(weights_of(model)) == 2
    train(model, 2)
    plain = detach_(model)
    assert plain[0] is plain[2]
    assert type(plain[0]) is nn.Linear


# --- Copies ---------------------------------------------------------------------------------------


def test_a_deep_copy_is_a_snapshot_of_model_and_chip():
    model = pruned(input_bits=4)
    train(model, 3)
    copied = twin(model)
    assert chip_of(copied) is not chip_of(model)
    assert all(w.chip is chip_of(copied) for w in weights_of(copied))
    inputs, _ = next(batches(1))
    assert torch.equal(twin(model).eval()(inputs), twin(copied).eval()(inputs))

    cells, pulses = conductances(model), chip_of(model).ledger.switching.clone()
    train(copied, 5)
    assert switching(copied) > int(pulses.sum())
    assert torch.equal(conductances(model), cells)
    assert torch.equal(chip_of(model).ledger.switching, pulses)


def test_a_copy_goes_on_exactly_like_the_original():
    model = pruned(interval=2, input_bits=4)
    train(model, 3)
    copied = twin(model)
    assert train(copied, 4) == train(model, 4)
    assert torch.equal(conductances(copied), conductances(model))
    changes = [weights_of(m)[0].search.changes for m in (copied, model)]
    assert changes[0] == changes[1] > 3


# --- Data types -----------------------------------------------------------------------------------


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_a_cast_changes_what_the_layers_work_in_but_not_the_chip(dtype, level):
    model = pruned(Tagger(), technology=QUIET, **LEVELS[level])
    kept = [
        (w.scores.detach().clone(), w.kept_weight.clone(), w.gain.clone())
        for w in weights_of(model)
    ]
    cells, inputs = conductances(model), torch.randn(4, 3, 6)
    expected = twin(model).eval()(inputs)
    model.to(dtype)
    tolerance = {torch.float16: 0.02, torch.bfloat16: 0.1, torch.float64: 1e-4}[dtype]
    outputs = model.eval()(inputs.to(dtype))
    assert outputs.dtype == dtype
    torch.testing.assert_close(outputs.float(), expected, rtol=tolerance, atol=tolerance)
    model.to(torch.float32).to(dtype)
    for weight, values in zip(weights_of(model), kept, strict=True):
        assert weight.dtype == dtype
        for now, then in zip((weight.scores, weight.kept_weight, weight.gain), values, strict=True):
            assert now.dtype == then.dtype
            assert torch.equal(now, then)
    assert torch.equal(conductances(model), cells)
    assert conductances(model).dtype == torch.float32


def test_a_model_in_double_precision_stays_in_it_when_pruned():
    model = pruned(perceptron().double())
    outputs = model(torch.randn(2, 12, dtype=torch.float64))
    assert outputs.dtype == torch.float64
    outputs.sum().backward()
    assert {w.scores.grad.dtype for w in weights_of(model)} == {torch.float32}


def test_noise_for_every_product_survives_half_precision():
    inputs = torch.randn(1, 30, dtype=torch.float16).expand(300, 30)
    model = pruned(Holder(nn.Linear(30, 8)), circuit=ReadPerProduct())
    full = model(inputs.float()).std(dim=0)
    half = model.half()(inputs).float().std(dim=0)
    torch.testing.assert_close(half, full, rtol=0.25, atol=0.0)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("bits", [None, 4])
def test_autocast_works_in_every_layer(level, bits):
    model = pruned(Tagger(), technology=QUIET, input_bits=bits, **LEVELS[level])
    inputs = torch.randn(4, 3, 6)
    with torch.autocast("cpu", torch.bfloat16):
        outputs = model(inputs)
        outputs.float().square().sum().backward()
    assert outputs.dtype == torch.bfloat16
    assert all(w.scores.grad.abs().sum() > 0 for w in weights_of(model))


def test_channels_last_is_accepted():
    model = pruned(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3)))
    model.to(memory_format=torch.channels_last)
    inputs = torch.randn(2, 3, 8, 8).to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(model.parameters(), lr=5.0)
    before = switching(model)
    for _ in range(3):
        model(inputs).square().mean().backward()
        optimizer.step()
    assert switching(model) > before


# --- State dicts ----------------------------------------------------------------------------------


def test_a_state_dict_holds_tensors_under_names_that_say_what_they_are():
    model = pruned(Tagger(), input_bits=4)
    state = model.state_dict()
    assert all(isinstance(value, torch.Tensor) for value in state.values())
    plain = set(Tagger().state_dict())
    digital = {name for name in plain if "bias" in name or name.startswith("norm.")}
    assert digital <= set(state)
    own = {"scores", "mask", "kept_weight", "available", "gain", "_extra_state"}
    for name in plain - digital:
        assert {f"{name}.{part}" for part in own} <= set(state)


def test_a_state_dict_survives_a_file_that_holds_no_code(tmp_path):
    model = pruned(input_bits=4)
    train(model, 3)
    torch.save(model.state_dict(), tmp_path / "model.pt")
    loaded = torch.load(tmp_path / "model.pt", weights_only=True)
    expected = twin(model).eval()(torch.ones(1, 12))
    assert model.load_state_dict(loaded) == ([], [])
    assert torch.equal(model.eval()(torch.ones(1, 12)), expected)


def test_loading_the_state_the_chip_is_in_sends_no_pulse():
    model = pruned()
    train(model, 3)
    before, cells = switching(model), conductances(model)
    model.load_state_dict(twin(model).state_dict())
    assert switching(model) == before
    assert torch.equal(conductances(model), cells)


@pytest.mark.parametrize("grain", ["pair", "cell"])
def test_loading_another_mask_pulses_the_chip_into_it_and_counts_the_pulses(grain):
    model = pruned(grain=grain)
    state = {name: value.clone() for name, value in model.state_dict().items()}
    train(model, 6)
    before = chip_of(model).ledger.switching.clone()
    expected = 0
    for name, weight in pruned_weights(model).items():
        flipped = state[f"{name}.mask"] != weight.mask
        status = chip_of(model).status(weight.region)
        cells = flipped if grain == "cell" else flipped.unsqueeze(-1).expand_as(status)
        expected += int((cells & (status != SimulatedChip.PRISTINE)).sum())
    assert expected > 0
    model.load_state_dict(state)
    assert int((chip_of(model).ledger.switching - before).sum()) == expected
    for name, weight in pruned_weights(model).items():
        assert torch.equal(weight.mask, state[f"{name}.mask"])


def test_what_edges_weigh_is_known_from_the_chip_not_from_the_state_dict():
    giver, taker = pruned(seed=0, technology=QUIET), pruned(seed=1, technology=QUIET)
    train(giver, 4)
    taker.eval().load_state_dict(giver.state_dict())
    for given, taken in zip(weights_of(giver), weights_of(taker), strict=True):
        assert torch.equal(taken.scores, given.scores)
        assert torch.equal(taken.mask, given.mask)
        assert torch.equal(taken.gain, given.gain)
        read = taken().weight[taken.mask]
        torch.testing.assert_close(taken.kept_weight[taken.mask], read)
        assert not torch.isclose(given.kept_weight[taken.mask], read).any()


def test_a_mask_of_cells_that_this_chip_never_formed_is_refused():
    giver = pruned(nn.Sequential(nn.Linear(60, 60)), seed=0, grain="cell", keep_fraction=0.9)
    taker = pruned(nn.Sequential(nn.Linear(60, 60)), seed=1, grain="cell", keep_fraction=0.9)
    before, cells = switching(taker), conductances(taker)
    with pytest.raises(RuntimeError, match="mask found on another chip"):
        taker.load_state_dict(giver.state_dict())
    assert switching(taker) == before
    assert torch.equal(conductances(taker), cells)
    assert torch.equal(taker[0].weight.mask, twin(taker)[0].weight.mask)


def test_training_goes_on_after_a_state_dict_was_loaded():
    model = pruned()
    state = twin(model).state_dict()
    train(model, 3)
    model.load_state_dict(state)
    before = switching(model)
    train(model, 3)
    assert switching(model) > before


def test_two_models_may_share_a_chip():
    chip = SimulatedChip()
    first, second = prune_(perceptron(), chip), prune_(perceptron(), chip)
    cells = chip.ledger.switching.clone()
    train(first, 4)
    moved = chip.ledger.switching != cells
    assert all(moved[w.region.cells].any() for w in weights_of(first))
    assert not any(moved[w.region.cells].any() for w in weights_of(second))
    train(second, 4)
