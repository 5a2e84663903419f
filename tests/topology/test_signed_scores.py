"""One signed score a weight: what it makes of the scores of its cells, and how it learns."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from secateur.errors import SettingError
from secateur.topology import as_quantised, cell_scores, signed_scores, top_k


def draws(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@given(st.integers(0, 2**20), st.integers(1, 5), st.floats(0.02, 0.45))
def test_a_weight_takes_the_equally_spaced_level_that_is_nearest(seed, pairs, keep_fraction):
    """Reference: rounding to -n..n at the step 2 t, where t is the last score that is kept."""
    scores = torch.randn(6, 7, generator=draws(seed), dtype=torch.float64)
    cells = cell_scores(scores, pairs=pairs, axis=1)
    kept = top_k(cells, max(1, round(keep_fraction * cells.numel())))
    threshold = float(cells[kept].min())
    both = kept.view(6, pairs, 7, 2).sum(dim=1)
    # A last score on the threshold itself is kept: half a step is rounded away from 0.
    size = (scores.abs() / (2 * threshold) + 0.5 + 1e-9).floor().clamp(max=pairs)
    assert torch.equal((both[..., 0] - both[..., 1]).double(), scores.sign() * size)
    assert int(both.amin(dim=-1).max()) == 0


def test_pairs_of_a_weight_lie_where_the_rows_of_the_array_do():
    """The first pairs of all inputs, then the second ones: along the axis that counts inputs."""
    scores = torch.tensor([[1.0, -2.0]])
    first = cell_scores(scores, pairs=2, axis=1)
    assert first.shape == (1, 4, 2)
    assert torch.allclose(first[0, :, 0], torch.tensor([1.0, 0.0, 1 / 3, 0.0]))
    assert torch.allclose(first[0, :, 1], torch.tensor([0.0, 2.0, 0.0, 2 / 3]))
    second = cell_scores(scores.T, pairs=2, axis=0)
    assert torch.equal(second, first.transpose(0, 1).reshape(4, 1, 2))


def test_a_cell_that_is_not_to_conduct_is_still_better_than_one_that_is_not_there():
    scores = cell_scores(torch.tensor([1.0, 0.0]), pairs=1, axis=0)
    available = torch.tensor([[True, True], [False, True]])
    mask = top_k(scores * available, 3)
    assert torch.equal(mask, available)


@given(st.integers(0, 2**20), st.integers(1, 4), st.sampled_from([0, 1]))
def test_the_gradient_is_that_of_the_sum_as_if_it_were_not_quantised(seed, pairs, axis):
    """Reference: autograd through a plain sum of copies, each a pair's share of the weight."""
    generator = draws(seed)
    scores = torch.randn(3, 4, 2, generator=generator).requires_grad_()
    upstream = torch.randn(3, 4, 2, generator=generator)
    weight = torch.randn(torch.cat([scores.detach()] * pairs, dim=axis).shape, generator=generator)
    shape = list(scores.shape)
    apart = [*shape[:axis], pairs, *shape[axis:]]
    used = as_quantised(scores, weight=weight, axis=axis)
    assert torch.equal(used, weight)
    (gradient,) = torch.autograd.grad((used.view(apart).sum(dim=axis) * upstream).sum(), scores)
    plain = torch.cat([scores / pairs] * pairs, dim=axis).view(apart).sum(dim=axis)
    (expected,) = torch.autograd.grad((plain * upstream).sum(), scores)
    torch.testing.assert_close(gradient, expected, rtol=1e-5, atol=1e-6)


def test_first_scores_are_as_likely_of_either_sign():
    weight = torch.randn(200, 100, generator=draws())
    scores = signed_scores("uniform", weight=weight, fan_in=27, generator=draws())
    scaled = scores.view(-1).numpy() / math.sqrt(3.0 / 27)
    assert stats.kstest(scaled, "uniform", args=(-1.0, 2.0)).pvalue > 1e-3
    nearly = signed_scores("constant", weight=weight, fan_in=27, generator=draws())
    assert abs(float(nearly.sign().mean())) < 5 / 20_000**0.5
    assert float(nearly.abs().max() / nearly.abs().min()) < 1.021


def test_scores_by_weight_begin_with_what_the_cells_come_to():
    weight = torch.randn(30, generator=draws(1))
    scores = signed_scores("weight", weight=weight, fan_in=12, generator=draws())
    assert torch.equal(scores.argsort(), weight.argsort())
    assert torch.equal(scores.sign(), weight.sign())


def test_an_unknown_start_is_refused_with_the_nearest():
    with pytest.raises(SettingError, match="'constant'"):
        signed_scores("constnt", weight=torch.ones(3), fan_in=3, generator=draws())
