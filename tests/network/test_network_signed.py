"""One signed score a weight: its sign chooses the cell of each pair, its size how many pairs."""

import copy

import pytest
import torch
from networks import QUIET, Holder, batches, perceptron, train
from torch import Tensor, nn

from secateur import (
    Converters,
    FixedVoltage,
    Ideal,
    ReadPerProduct,
    SimulatedChip,
    VoltageRamp,
    prune_,
)
from secateur.errors import SettingError
from secateur.network import check_shares, detach_, load_, pruned_weights, save, settle_
from secateur.topology import FlipBudget, TopK

PAIRS = {"0": 3, "*": 2}


def signed(chip=None, **settings) -> nn.Module:
    chosen = {"keep_fraction": 0.2, "pairs_per_weight": PAIRS, "seed": 1, **settings}
    chip = chip or SimulatedChip(QUIET, seed=2)
    return prune_(perceptron(), chip, grain="cell", score_per="weight", **chosen)


def levels_of(weight) -> Tensor:
    """Cells that add less cells that take away, of each weight."""
    outputs, inputs = weight.shape
    conducting = weight.mask.view(outputs, weight.pairs, inputs, 2).sum(dim=1)
    return conducting[..., 0] - conducting[..., 1]


def test_each_weight_has_one_score_and_never_both_cells_of_a_pair():
    model = signed()
    plain = dict(perceptron().named_parameters())
    before = [weight.mask.clone() for weight in pruned_weights(model).values()]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5, weight_decay=1e-3)
    losses = train(model, steps=40, optimizer=optimizer)
    settle_(model)
    assert losses[-1] < losses[0]
    for first, (name, weight) in zip(before, pruned_weights(model).items(), strict=True):
        assert weight.scores.shape == plain[name].shape
        assert weight.edges > 0.99 * 2 * weight.pairs * weight.scores.numel()
        assert int(weight.mask.sum()) == round(0.2 * weight.edges)
        assert not bool(weight.mask.all(dim=-1).any())
        assert int((weight.mask ^ first).sum()) > 0
        assert int(weight.chip.ledger.set[weight.region.cells].sum()) > 0
        found = levels_of(weight)
        assert bool((found * weight.scores >= 0).all())
        # No two weights of one layer are in the wrong order, but for edges that are not there.
        whole = weight.available.view(*weight.shape[:1], weight.pairs, -1, 2).all(dim=3).all(dim=1)
        size, level = weight.scores.abs()[whole], found.abs()[whole]
        assert bool((level[size.argsort()].diff() >= 0).all())


def test_weights_are_read_with_the_sign_of_their_score():
    model = signed(SimulatedChip("ideal", seed=2), circuit=Ideal())
    for weight in pruned_weights(model).values():
        value, level = weight.plain(), levels_of(weight)
        assert bool((value[level > 0] > 0).all())
        assert bool((value[level < 0] < 0).all())
        assert float(value[level == 0].abs().max()) < float(value[level != 0].abs().min())


LAYERS = {
    "linear": (lambda: nn.Linear(6, 5), (7, 6)),
    "convolution": (lambda: nn.Conv2d(4, 5, 3, padding=1), (2, 4, 6, 6)),
    "groups": (lambda: nn.Conv1d(4, 6, 3, groups=2), (2, 4, 9)),
    "transposed": (lambda: nn.ConvTranspose2d(4, 3, 2, stride=2), (2, 4, 3, 3)),
    "one input, channels last": (
        lambda: nn.Conv2d(1, 4, 3).to(memory_format=torch.channels_last), (2, 1, 5, 5)),
}  # fmt: skip


@pytest.mark.parametrize("pairs", [1, 3])
@pytest.mark.parametrize("kind", LAYERS)
def test_a_score_has_the_gradient_of_its_weight(kind, pairs):
    """Reference: the layer taken off the chip, whose weights are parameters."""
    make, shape = LAYERS[kind]
    torch.manual_seed(0)
    chip = SimulatedChip("ideal", seed=3)
    settings = {"pairs_per_weight": pairs, "keep_fraction": 0.25, "circuit": Ideal()}
    model = prune_(Holder(make()), chip, grain="cell", score_per="weight", **settings).train()
    twin, inputs = detach_(copy.deepcopy(model)), torch.randn(shape)
    for one in (model, twin):
        one(inputs).square().sum().backward()
    (weight,) = pruned_weights(model).values()
    assert weight.scores.grad.shape == twin.layer.weight.shape
    torch.testing.assert_close(weight.scores.grad, twin.layer.weight.grad, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("level", [ReadPerProduct(), Converters(ReadPerProduct(), output_bits=8)])
def test_it_learns_at_other_levels_of_fidelity(level):
    model = signed(SimulatedChip("taox-40nm", seed=3), circuit=level, input_bits=4)
    losses = train(model, steps=40, optimizer=torch.optim.SGD(model.parameters(), lr=0.5))
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("rule", [
    TopK(scope="global", dead_band=0.3), FlipBudget(TopK(), 2), FlipBudget(TopK(dead_band=0.2), 4),
])  # fmt: skip
def test_rules_see_the_scores_of_cells(rule):
    model = signed(rule=rule, interval=2)
    train(model, steps=40, optimizer=torch.optim.SGD(model.parameters(), lr=0.5))
    settle_(model)
    weights = list(pruned_weights(model).values())
    asked = sum(round(0.2 * weight.edges) for weight in weights)
    assert sum(int(weight.mask.sum()) for weight in weights) == asked
    spent = weights[0].chip.ledger.switching
    assert int(spent.max()) <= (rule.flips if isinstance(rule, FlipBudget) else 40)
    assert int(spent.max()) > 0


def test_a_lost_cell_is_never_kept_again():
    model = signed()
    first, _ = pruned_weights(model).values()
    gone = first.mask.view(-1).nonzero().view(-1)[:20]
    assert first.lose(gone) == 20
    train(model, steps=10, optimizer=torch.optim.SGD(model.parameters(), lr=0.5))
    settle_(model)
    assert not bool(first.mask.view(-1)[gone].any())
    assert int(first.mask.sum()) == round(0.2 * first.edges)


@pytest.mark.parametrize("forming", [FixedVoltage(), FixedVoltage(0.5), VoltageRamp()])
def test_scores_of_the_other_sign_move_every_edge_beyond_the_dead_band(forming):
    """At the largest share that is allowed: near a half there would be no score to compare with."""
    chip = SimulatedChip("taox-40nm", seed=4, forming=forming)
    model = signed(chip, keep_fraction=0.4, rule=TopK(dead_band=0.35)).train()
    for weight in pruned_weights(model).values():
        weight.scores.data.neg_()
    model(next(batches(1))[0])
    for weight in pruned_weights(model).values():
        count = round(0.4 * weight.edges)
        threshold = weight.edge_scores.flatten().kthvalue(weight.mask.numel() - count + 1).values
        beyond = weight.edge_scores > 1.35 * threshold
        assert int(beyond.sum()) > count / 4
        assert bool(weight.mask[beyond].all())
        assert int(weight.mask.sum()) == count


def test_first_scores_are_in_the_scale_of_a_weight_and_by_weight_have_its_sign():
    model = signed(score_start="weight")
    for weight, fan_in in zip(pruned_weights(model).values(), (12, 24), strict=True):
        assert float(weight.scores.detach().abs().amax()) == pytest.approx((3 / fan_in) ** 0.5)
        whole = weight.kept_weight.sum(dim=-1).view(weight.shape[0], weight.pairs, -1).sum(dim=1)
        assert torch.equal(weight.scores.sign(), whole.sign())


def test_it_is_saved_and_loaded_to_the_bit(tmp_path):
    model = signed(SimulatedChip("taox-40nm", seed=5))
    train(model, steps=7, optimizer=torch.optim.SGD(model.parameters(), lr=0.5))
    save(model, tmp_path / "model.safetensors")
    other = load_(signed(SimulatedChip("taox-40nm", seed=5)), tmp_path / "model.safetensors")
    inputs = next(batches(1))[0]
    assert torch.equal(model.eval()(inputs), other.eval()(inputs))
    optimizers = [torch.optim.SGD(m.train().parameters(), lr=0.5) for m in (model, other)]
    ends = [train(m, steps=5, optimizer=o) for m, o in zip((model, other), optimizers, strict=True)]
    assert ends[0] == ends[1]
    edges = prune_(
        perceptron(), SimulatedChip("taox-40nm", seed=5), grain="cell", keep_fraction=0.2,
        pairs_per_weight=PAIRS, seed=1,
    )  # fmt: skip
    with pytest.raises(SettingError, match="score_per"):
        load_(edges, tmp_path / "model.safetensors")


def test_what_one_score_a_weight_cannot_mean_is_refused():
    chip = SimulatedChip(QUIET, seed=0)
    with pytest.raises(SettingError, match="score_per is 'weight' with the grain 'pair'"):
        prune_(perceptron(), chip, score_per="weight")
    with pytest.raises(SettingError, match=r"keep_fraction is 0\.41 with one score a weight"):
        prune_(perceptron(), chip, grain="cell", score_per="weight", keep_fraction=0.41)
    with pytest.raises(SettingError, match="Did you mean 'weight'"):
        prune_(perceptron(), chip, grain="cell", score_per="wieght")
    with pytest.raises(SettingError, match=r"keep_fraction is 0\.7"):
        check_shares(perceptron(), {"0": 0.2, "*": 0.7}, grain="cell", score_per="weight")
    assert chip.placement.regions == []
