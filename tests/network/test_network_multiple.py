"""A weight that is the sum of several pairs: a layer whose inputs drive as many rows each."""

import copy

import pytest
import torch
from networks import QUIET, Holder, Tagger, batches, perceptron, train
from torch import Tensor, nn

from secateur import (
    Converters,
    FixedVoltage,
    Ideal,
    ReadPerProduct,
    ReadPerStep,
    SimulatedChip,
    Wired,
    prune_,
)
from secateur.device import Technology
from secateur.errors import ChipError, ModelError, SettingError
from secateur.network import check_shares, detach_, load_, pruned_weights, quantise_, save, settle_
from secateur.network.trace import trace


class Rows(nn.Module):
    """The reference: a plain layer with as many inputs, each given `times` over."""

    def __init__(self, layer: nn.Module, times: int) -> None:
        super().__init__()
        self.layer, self.times, self.groups = layer, times, getattr(layer, "groups", 1)

    def forward(self, inputs: Tensor) -> Tensor:
        if isinstance(self.layer, nn.Linear):
            return self.layer(torch.cat([inputs] * self.times, dim=-1))
        groups = inputs.chunk(self.groups, dim=1)
        return self.layer(torch.cat([g for group in groups for g in [group] * self.times], dim=1))


def layer_of(kind: str, times: int) -> nn.Module:
    torch.manual_seed(0)
    return {
        "linear": lambda n: nn.Linear(6 * n, 5),
        "convolution": lambda n: nn.Conv2d(4 * n, 5, 3, stride=2, padding=1),
        "groups": lambda n: nn.Conv1d(4 * n, 6, 3, groups=2),
        "volume": lambda n: nn.Conv3d(2 * n, 3, 2),
        "transposed": lambda n: nn.ConvTranspose2d(4 * n, 3, 2, stride=2, output_padding=1),
        "one input": lambda n: nn.Conv2d(n, 4, 3),
    }[kind](times)


def inputs_of(kind: str) -> Tensor:
    torch.manual_seed(1)
    shape = {
        "linear": (7, 6), "convolution": (2, 4, 6, 6), "groups": (2, 4, 9),
        "volume": (2, 2, 4, 4, 4), "transposed": (2, 4, 3, 3), "one input": (2, 1, 5, 5),
    }[kind]  # fmt: skip
    return torch.rand(shape)


def both(kind: str, *, times: int, chip=None, **settings) -> tuple[nn.Module, nn.Module]:
    """The layer with several pairs a weight, and the reference, on chips that are alike."""
    made = chip or (lambda: SimulatedChip("taox-40nm", seed=3))
    ours = prune_(Holder(layer_of(kind, 1)), made(), pairs_per_weight=times, **settings)
    theirs = prune_(Rows(layer_of(kind, times), times), made(), **settings)
    ours.layer.bias.data.copy_(theirs.layer.bias)
    (own,), (other,) = pruned_weights(ours).values(), pruned_weights(theirs).values()
    own.set_gain(float(other.gain))
    own.scores.data.copy_(other.scores)
    return ours.train(), theirs.train()


KINDS = ("linear", "convolution", "groups", "volume", "transposed", "one input")


@pytest.mark.parametrize("grain", ["pair", "cell"])
@pytest.mark.parametrize("kind", KINDS)
def test_it_computes_and_learns_as_a_layer_whose_inputs_drive_several_rows(kind, grain):
    ours, theirs = both(kind, times=3, grain=grain)
    given = inputs_of(kind)
    results = []
    for model in (ours, theirs):
        inputs = given.clone().requires_grad_()
        outputs = model(inputs)
        outputs.square().sum().backward()
        (weight,) = pruned_weights(model).values()
        results.append((outputs, inputs.grad, weight.scores.grad, weight.mask.float()))
    for own, other in zip(*results, strict=True):
        assert own.shape == other.shape
        assert torch.allclose(own, other, rtol=1e-4, atol=1e-5)


LEVELS = {
    "ideal": Ideal(),
    "per step": ReadPerStep(),
    "per product": ReadPerProduct(),
    "converters": Converters(ReadPerProduct(), output_bits=8, bit_serial=True),
    "wires": Wired(ReadPerStep(), input_line_resistance=2.0, output_line_resistance=2.0),
}


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("kind", ["linear", "convolution", "groups", "transposed"])
def test_at_every_level_of_fidelity(kind, level):
    ours, theirs = both(kind, times=2, circuit=LEVELS[level], input_bits=4)
    given = inputs_of(kind)
    for _ in range(2):
        own, other = ours(given), theirs(given)
        assert own.isfinite().all()
        assert torch.allclose(own, other, atol=1e-4 * float(other.detach().abs().max()))


@pytest.mark.parametrize("model", [perceptron, Tagger])
def test_a_model_taken_off_the_chip_has_the_sums_as_weights(model):
    made = SimulatedChip("ideal", seed=1)
    inputs = torch.randn(3, 12) if model is perceptron else torch.randn(3, 3, 10)
    pruned = prune_(model(), made, pairs_per_weight=2, circuit=Ideal()).eval()
    shapes = {name: tuple(p.shape) for name, p in model().named_parameters()}
    expected = pruned(inputs)
    plain = detach_(copy.deepcopy(pruned))
    assert {name: tuple(p.shape) for name, p in plain.named_parameters()} == shapes
    assert torch.allclose(plain(inputs), expected, atol=1e-5)


def test_every_pair_of_a_weight_is_an_edge_of_its_own():
    model = prune_(perceptron(), SimulatedChip(QUIET, seed=2), pairs_per_weight=3, grain="cell")
    first, last = pruned_weights(model).values()
    assert (first.scores.numel(), last.scores.numel()) == (3 * 2 * 12 * 24, 3 * 2 * 24 * 4)
    assert first.edges > 0.99 * first.scores.numel()
    assert first.shape == (24, 12)
    assert int(first.mask.sum()) == round(first.edges / 2)
    before = first.mask.clone()
    losses = train(model, steps=30, optimizer=torch.optim.SGD(model.parameters(), lr=1.0))
    assert losses[-1] < losses[0]
    settle_(model)
    assert bool((first.mask != before).any())
    assert int(first.mask.sum()) == round(first.edges / 2)
    assert int(first.chip.ledger.set.sum()) > 0


@pytest.mark.parametrize("grain", ["pair", "cell"])
def test_layers_can_have_pairs_of_their_own_number(grain):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 6, 3), nn.Flatten(), nn.Linear(24, 20), nn.Linear(20, 4))
    shapes = {name: tuple(p.shape) for name, p in model.named_parameters()}
    numbers = {"0": 4, "2.weight": 2, "*": 1}
    chip = SimulatedChip(QUIET, seed=2)
    prune_(model, chip, pairs_per_weight=numbers, grain=grain, keep_fraction={"0": 0.3, "*": 0.5})
    weights, edges_a_pair = pruned_weights(model), 2 if grain == "cell" else 1
    pairs = {name: weight.pairs for name, weight in weights.items()}
    assert pairs == {"0.weight": 4, "2.weight": 2, "3.weight": 1}
    for name, weight in weights.items():
        assert weight.shape == shapes[name]
        assert weight.scores.numel() == edges_a_pair * pairs[name] * weight.shape.numel()
        share = 0.3 if name == "0.weight" else 0.5
        assert int(weight.mask.sum()) == round(share * weight.edges)
    used = sum(pairs[name] * weight.shape.numel() for name, weight in weights.items())
    assert chip.placement.cells == 2 * used
    # The layers that take most rows are placed first, whatever their order in the model.
    first = {name: weight.region.cells.start for name, weight in weights.items()}
    assert sorted(first, key=first.get) == ["2.weight", "0.weight", "3.weight"]
    before = [weight.mask.clone() for weight in weights.values()]
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    model(torch.rand(8, 1, 4, 4)).square().sum().backward()
    optimizer.step()
    settle_(model)
    for mask, weight in zip(before, weights.values(), strict=True):
        assert int((mask ^ weight.mask).sum()) == weight.flips > 0


def test_a_share_is_one_of_all_the_pairs_of_a_weight():
    model, share = Holder(nn.Linear(2, 2)), 0.1
    with pytest.raises(SettingError, match="keeps none of 4 edges"):
        check_shares(model, share)
    with pytest.raises(SettingError, match="keeps none of 4 edges"):
        prune_(model, SimulatedChip(QUIET, seed=0), keep_fraction=share)
    check_shares(model, share, pairs_per_weight={"*": 8})
    prune_(model, SimulatedChip(QUIET, seed=0), keep_fraction=share, pairs_per_weight={"*": 8})
    (weight,) = pruned_weights(model).values()
    assert int(weight.mask.sum()) == round(share * weight.edges) == 3


def test_scores_begin_in_the_scale_of_the_rows_that_an_output_sums():
    model = nn.Sequential(nn.Linear(50, 40), nn.Linear(40, 30))
    prune_(model, SimulatedChip(QUIET, seed=0), pairs_per_weight={"0": 4, "*": 1})
    for fan_in, weight in zip((4 * 50, 40), pruned_weights(model).values(), strict=True):
        assert float(weight.scores.amax()) == pytest.approx((3 / fan_in) ** 0.5, rel=0.01)


def test_one_number_for_all_is_the_same_as_that_number_for_each(tmp_path):
    models = [
        prune_(perceptron(), SimulatedChip("taox-40nm", seed=2), pairs_per_weight=pairs).eval()
        for pairs in (2, {"0.weight": 2, "*": 2})
    ]
    inputs = next(batches(1))[0]
    assert torch.equal(models[0](inputs), models[1](inputs))
    save(models[0], tmp_path / "model.safetensors")
    load_(models[1], tmp_path / "model.safetensors")
    other = prune_(
        perceptron(), SimulatedChip("taox-40nm", seed=2), pairs_per_weight={"0": 2, "*": 1}
    )
    with pytest.raises(SettingError, match=r"2\.weight\.pairs_per_weight is absent"):
        load_(other, tmp_path / "model.safetensors")


def test_more_pairs_give_a_weight_more_values_to_choose_from():
    """Of equal cells, m pairs give the whole numbers from -m to m."""
    technology = Technology.load("ideal").with_values(high_device_spread=0.0)
    chip = SimulatedChip(technology, seed=0, forming=FixedVoltage(1 - 1e-6))
    for pairs, sizes in ((1, 2), (2, 3), (3, 4)):
        model = Holder(nn.Linear(40, 50, bias=False))
        prune_(model, chip, pairs_per_weight=pairs, grain="cell", circuit=Ideal())
        (weight,) = pruned_weights(model).values()
        steps = weight.plain() / (weight.gain * technology.high_conductance)
        assert len(steps.round(decimals=2).abs().unique()) == sizes


def test_its_cost_is_that_of_its_rows_and_its_work_that_of_its_weights():
    ours, theirs = both("convolution", times=2, input_bits=4)
    given = inputs_of("convolution")[:1]
    (own,), (other,) = trace(ours, given).products, trace(theirs, given).products
    plain = trace(quantise_(Holder(layer_of("convolution", 1)), input_bits=4), given)
    assert own.macs == plain.macs == other.macs // 2
    assert own.usage == other.usage
    assert own.column_outputs == other.column_outputs


def test_what_cannot_be_is_refused_before_anything_is_formed():
    chip = SimulatedChip("taox-40nm", seed=0, macros=1)
    for wrong in (0, -1, 1.5, "2"):
        with pytest.raises(SettingError, match=f"pairs_per_weight is {wrong!r}"):
            prune_(perceptron(), chip, pairs_per_weight=wrong)
    grouped = Holder(nn.ConvTranspose1d(4, 4, 2, groups=2))
    with pytest.raises(ModelError, match=r"transposed convolution in groups.*layer\.weight"):
        prune_(grouped, chip, pairs_per_weight=2)
    prune_(copy.deepcopy(grouped), SimulatedChip("taox-40nm", seed=0))
    both = nn.Sequential(grouped, nn.Linear(4, 4))
    prune_(both, SimulatedChip("taox-40nm", seed=0), pairs_per_weight={"0*": 1, "*": 2})
    assert [weight.pairs for weight in pruned_weights(both).values()] == [1, 2]
    wide = Holder(nn.Linear(400, 200))
    with pytest.raises(ChipError):
        prune_(wide, chip, pairs_per_weight=2)
    assert chip.placement.cells == 0
    prune_(wide, chip)


def test_a_model_is_saved_and_loaded_and_copied_with_all_its_pairs(tmp_path):
    model = prune_(perceptron(), SimulatedChip("taox-40nm", seed=2), pairs_per_weight=2)
    train(model, steps=3)
    other = prune_(perceptron(), SimulatedChip("taox-40nm", seed=2), pairs_per_weight=2)
    other.load_state_dict(model.state_dict())
    for mine, its in zip(
        pruned_weights(model).values(), pruned_weights(other).values(), strict=True
    ):
        assert torch.equal(mine.mask, its.mask)
    save(model, tmp_path / "model.safetensors")
    single = prune_(perceptron(), SimulatedChip("taox-40nm", seed=2))
    with pytest.raises(SettingError, match="pairs_per_weight"):
        load_(single, tmp_path / "model.safetensors")
    twin = copy.deepcopy(model).eval()
    inputs = next(batches(1))[0]
    assert torch.equal(twin(inputs), model.eval()(inputs))
