"""A flip budget: exact counts, nobody beyond it, and the best that is left."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from secateur.chip import FixedVoltage, SimulatedChip
from secateur.errors import SettingError
from secateur.network import prune_, pruned_weights, settle_
from secateur.testing import RuleContract
from secateur.topology import Annealed, FlipBudget, Rule, TopK, top_k

RULES = [
    TopK(), TopK(dead_band=0.1), TopK(scope="global"), TopK(scope="global", dead_band=0.1),
    FlipBudget(TopK(), 9),
]  # fmt: skip


class TestUnspent(RuleContract):
    def rule(self) -> Rule:
        return FlipBudget(TopK(), 1)


class TestAroundAGlobalBand(RuleContract):
    def rule(self) -> Rule:
        return FlipBudget(TopK(scope="global", dead_band=0.1), 3)


@st.composite
def searches(draw):
    """Scores of some weights over some steps, with ties, and counts that stay."""
    shapes = draw(
        st.lists(st.lists(st.integers(1, 4), min_size=1, max_size=3), min_size=1, max_size=3)
    )
    draws = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    levels = draw(st.integers(2, 30))
    steps = [
        [torch.randint(-levels, levels + 1, tuple(s), generator=draws) / levels for s in shapes]
        for _ in range(draw(st.integers(2, 8)))
    ]
    counts = [draw(st.integers(1, score.numel())) for score in steps[0]]
    return steps, counts


@pytest.mark.parametrize("inner", RULES, ids=repr)
@given(searches(), st.integers(1, 3))
def test_counts_are_exact_and_no_edge_flips_beyond_the_budget(inner, search, flips):
    steps, counts = search
    rule = FlipBudget(inner, flips)
    masks = rule.first(steps[0], counts)
    spent = [torch.zeros(mask.shape, dtype=torch.int32) for mask in masks]
    for scores in steps[1:]:
        found = rule.after(lambda: spent).next(scores, masks, counts)  # noqa: B023
        assert sum(int(mask.sum()) for mask in found) == sum(counts)
        if inner.by_weight:
            assert [int(mask.sum()) for mask in found] == counts
        assert all(
            m.is_contiguous() and m.shape == s.shape for m, s in zip(found, scores, strict=True)
        )
        spent = [n + (new ^ old) for n, new, old in zip(spent, found, masks, strict=True)]
        assert all(bool((n <= flips).all()) for n in spent)
        masks = found


@given(searches(), st.randoms())
def test_of_the_free_edges_the_best_are_kept(search, chance):
    """Against the mask that a sort finds."""
    (old, new, *_), counts = search
    masks = TopK().first(old, counts)
    spent = [
        torch.tensor([chance.randint(0, 2) for _ in range(m.numel())]).view(m.shape) for m in masks
    ]
    found = FlipBudget(TopK(), 2, tuple(spent)).next(new, masks, counts)
    for mask, held, score, used, count in zip(found, masks, new, spent, counts, strict=True):
        locked = used >= 2
        assert torch.equal(mask[locked], held[locked])
        left = count - int(held[locked].sum())
        best = score[~locked].abs().sort(descending=True).values[:left]
        assert torch.equal(score[~locked & mask].abs().sort(descending=True).values, best)


@given(searches())
def test_with_flips_to_spare_it_is_the_inner_rule(search):
    steps, counts = search
    masks = TopK().first(steps[0], counts)
    spent = tuple(torch.full(m.shape, 99) for m in masks)
    found = FlipBudget(TopK(dead_band=0.1), 100, spent).next(steps[1], masks, counts)
    assert all(map(torch.equal, found, TopK(dead_band=0.1).next(steps[1], masks, counts)))


def test_it_narrows_as_the_rule_inside_it():
    rule = FlipBudget(TopK(dead_band=0.2, narrowing=10), 5)
    assert rule.at(5).rule == TopK(dead_band=0.2, narrowing=10).at(5)


def test_a_schedule_that_asks_for_more_than_is_left_is_refused():
    scores, mask = [torch.rand(10)], [torch.ones(10, dtype=torch.bool)]
    spent = (torch.tensor([1] * 8 + [0] * 2),)
    assert int(FlipBudget(TopK(), 1, spent).next(scores, mask, [8])[0].sum()) == 8
    for rule in (TopK(), TopK(scope="global")):
        with pytest.raises(SettingError, match="too few edges free"):
            FlipBudget(rule, 1, spent).next(scores, mask, [7])


def test_a_budget_of_nothing_is_refused():
    with pytest.raises(SettingError, match="flips is 0"):
        FlipBudget(TopK(), 0)


def test_nothing_and_everything_can_be_kept():
    scores = torch.rand(3, 4)
    assert not bool(top_k(scores, 0).any())
    assert bool(top_k(scores, 12).all())
    assert top_k(scores[:0], 0).shape == (0, 4)


@pytest.mark.parametrize("grain", ["pair", "cell"])
@pytest.mark.parametrize("scope", ["layer", "global"])
def test_on_a_chip_no_cell_gets_more_pulses_than_the_budget(grain, scope):
    """Scores that change sides at every step would wear the same cells again and again."""
    worn = {}
    for budget in (3, 1000):
        chip = SimulatedChip("taox-40nm", seed=2, forming=FixedVoltage(0.5))
        model = nn.Sequential(nn.Linear(12, 9), nn.Linear(9, 4))
        prune_(model, chip, grain=grain, rule=FlipBudget(TopK(scope=scope), budget), seed=1)
        weights = pruned_weights(model).values()
        kept = sum(int(weight.mask.sum()) for weight in weights)
        draws = torch.Generator().manual_seed(0)
        for _ in range(20):
            for weight in weights:
                fresh = torch.rand(weight.scores.shape, generator=draws)
                weight.scores.data.copy_(fresh * weight.available)
            settle_(model)
            assert sum(int(weight.mask.sum()) for weight in weights) == kept
            assert all(bool((w.mask <= w.available).all()) for w in weights)
        worn[budget] = chip.ledger.most_worn
    assert worn[3] == 3
    assert worn[1000] > 6


def test_it_goes_with_a_schedule_that_ends_before_the_budget_does():
    chip = SimulatedChip("taox-40nm", seed=2)
    model = nn.Sequential(nn.Linear(12, 9))
    prune_(model, chip, rule=FlipBudget(TopK(), 4), schedule=Annealed(3), keep_fraction=0.4)
    (weight,) = pruned_weights(model).values()
    for step in range(10):
        draws = torch.Generator().manual_seed(step)
        weight.scores.data.copy_(torch.rand(weight.scores.shape, generator=draws))
        model(torch.rand(2, 12))
    assert int(weight.mask.sum()) == round(0.4 * weight.edges)
    assert chip.ledger.most_worn <= 4
