"""What scores start from, what gradient reaches them, and how many edges a schedule leaves."""

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from secateur.errors import SettingError
from secateur.topology import Annealed, initial_scores, straight_through, top_k


def draws(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# --- The gradient ------------------------------------------------------------------------------


@given(st.integers(0, 2**20), st.booleans())
def test_the_gradient_is_that_of_a_network_in_which_every_edge_is_kept(
    seed: int, cells: bool
) -> None:
    """Reference: autograd through sum over edges of |score| x kept weight, with no mask at all."""
    shape = (3, 4, 2) if cells else (3, 4)
    generator = draws(seed)
    scores = torch.randn(shape, generator=generator).requires_grad_()
    kept = torch.randn(shape, generator=generator)
    weight, upstream = (torch.randn(3, 4, generator=generator) for _ in range(2))
    used = straight_through(scores, weight=weight, kept_weight=kept)
    (gradient,) = torch.autograd.grad((used * upstream).sum(), scores)
    unmasked = scores.abs() * kept
    unmasked = unmasked.sum(dim=-1) if cells else unmasked
    (expected,) = torch.autograd.grad((unmasked * upstream).sum(), scores)
    torch.testing.assert_close(gradient, expected, rtol=1e-6, atol=1e-6)


def test_forward_the_weights_pass_as_they_are() -> None:
    scores = torch.rand(3, 4, requires_grad=True)
    weight = torch.randn(3, 4)
    used = straight_through(scores, weight=weight, kept_weight=torch.ones(3, 4))
    assert torch.equal(used, weight)
    assert used.requires_grad


def test_a_step_against_the_gradient_lowers_the_loss_for_scores_of_either_sign() -> None:
    """d|score| is what learns: a negative score gets the opposite gradient."""
    scores = torch.tensor([0.5, -0.5], requires_grad=True)
    used = straight_through(scores, weight=torch.zeros(2), kept_weight=torch.ones(2))
    used.sum().backward()
    assert scores.grad is not None
    stepped = (scores - 0.1 * scores.grad).detach()
    assert bool((stepped.abs() < 0.5).all())


def test_an_edge_without_a_cell_has_no_gradient() -> None:
    scores = torch.tensor([0.0, 0.3], requires_grad=True)
    used = straight_through(scores, weight=torch.ones(2), kept_weight=torch.tensor([0.0, 2.0]))
    used.sum().backward()
    assert scores.grad is not None
    assert scores.grad.tolist() == [0.0, 2.0]


# --- The first scores --------------------------------------------------------------------------


def test_uniform_scores_follow_their_law_on_the_scale_of_a_kaiming_uniform_layer() -> None:
    kept = torch.randn(200, 100, generator=draws())
    scores = initial_scores("uniform", kept_weight=kept, fan_in=27, generator=draws())
    scale = math.sqrt(3.0 / 27)
    assert scores.shape == kept.shape
    assert stats.kstest(scores.view(-1).numpy() / scale, "uniform").pvalue > 1e-3


def test_no_score_starts_at_zero_from_where_it_could_never_learn() -> None:
    """With this seed torch.rand gives an exact 0 among four million draws."""
    edges, generator = 2**22, draws(1)
    assert bool((torch.rand(edges, generator=draws(1)) == 0.0).any())
    scores = initial_scores("uniform", kept_weight=torch.ones(edges), fan_in=3, generator=generator)
    assert float(scores.min()) > 0.0


def test_constant_scores_are_nearly_equal_and_their_first_mask_is_random() -> None:
    kept = torch.randn(10_000, generator=draws(1))
    scores = initial_scores("constant", kept_weight=kept, fan_in=3, generator=draws(2))
    assert float((scores / scores.mean() - 1.0).abs().max()) < 0.011
    mask = top_k(scores, 5000)
    # 5000 of 10 000, drawn by chance: the first half holds 2500, give or take 5 deviations of 25.
    assert abs(int(mask[:5000].sum()) - 2500) < 125
    assert abs(float(kept[mask].mean() - kept[~mask].mean())) < 0.1


def test_weight_scores_rank_edges_by_their_own_magnitude() -> None:
    kept = torch.randn(50, generator=draws(1))
    scores = initial_scores("weight", kept_weight=kept, fan_in=12, generator=draws())
    assert torch.equal(scores.argsort(), kept.abs().argsort())
    assert float(scores.max()) == pytest.approx(math.sqrt(3.0 / 12))


@pytest.mark.parametrize("start", ["uniform", "constant"])
def test_scores_depend_on_their_generator_alone(start: str) -> None:
    kept = torch.zeros(5, 5)
    first, again, other = (
        initial_scores(start, kept_weight=kept, fan_in=5, generator=draws(seed))
        for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_an_unknown_start_is_refused_with_the_nearest() -> None:
    with pytest.raises(SettingError, match="'uniform'"):
        initial_scores("unifrom", kept_weight=torch.ones(3), fan_in=3, generator=draws())


# --- Schedules ---------------------------------------------------------------------------------


@given(st.floats(0.01, 1.0), st.integers(1, 500))
def test_the_kept_fraction_falls_steadily_from_everything_to_what_was_asked(
    asked: float, updates: int
) -> None:
    schedule = Annealed(updates)
    path = [schedule.keep_fraction(asked, update) for update in range(updates + 5)]
    assert path[0] == pytest.approx(1.0)
    assert path[updates:] == [asked] * 5
    assert all(a >= b for a, b in pairwise(path))
    assert all(asked <= fraction <= 1.0 + 1e-12 for fraction in path)


def test_the_fraction_follows_the_published_cubic() -> None:
    schedule = Annealed(updates=10)
    for update in range(10):
        pruned = 0.7 - 0.7 * (1.0 - update / 10) ** 3  # s_t of Zhu and Gupta, with s_i = 0
        assert schedule.keep_fraction(0.3, update) == pytest.approx(1.0 - pruned)


def test_without_updates_the_asked_fraction_holds_at_once() -> None:
    assert Annealed().keep_fraction(0.3, 0) == 0.3


def test_a_negative_number_of_updates_is_refused() -> None:
    with pytest.raises(SettingError, match="updates is -1"):
        Annealed(updates=-1)
