"""Faults and wear: shares of stuck cells, and the lognormal law of endurance."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from secateur.device import born_stuck, endurance_limit


def test_endurance_is_lognormal_around_its_median() -> None:
    draw = torch.randn(20_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    limit = endurance_limit(draw, median=1e6, spread=0.7)
    assert stats.kstest(limit.numpy(), stats.lognorm(s=0.7, scale=1e6).cdf).pvalue > 1e-3


@given(st.floats(-4, 4), st.floats(1.0, 1e12), st.floats(0, 2))
def test_every_cell_survives_something_and_a_luckier_one_more(
    draw: float, median: float, spread: float
) -> None:
    draws = torch.tensor([draw, draw + 0.1], dtype=torch.float64)
    limits = endurance_limit(draws, median=median, spread=spread)
    assert 0.0 < float(limits[0]) <= float(limits[1])
    assert float(limits[0]) == pytest.approx(median * math.exp(spread * draw))


def test_without_spread_all_cells_last_equally_long() -> None:
    assert endurance_limit(torch.randn(5), median=20.0, spread=0.0).tolist() == [20.0] * 5


def test_born_stuck_cells_come_in_the_asked_shares() -> None:
    draw = torch.rand(100_000, generator=torch.Generator().manual_seed(1))
    low, high = born_stuck(draw, low_fraction=0.03, high_fraction=0.01)
    for mask, share in ((low, 0.03), (high, 0.01)):
        assert stats.binomtest(int(mask.sum()), 100_000, share).pvalue > 1e-3


@given(st.floats(0, 1), st.floats(0, 1), st.integers(0, 2**20))
def test_no_cell_is_stuck_both_ways(low: float, high: float, seed: int) -> None:
    draw = torch.rand(50, generator=torch.Generator().manual_seed(seed))
    stuck_low, stuck_high = born_stuck(draw, low_fraction=low, high_fraction=high)
    assert not bool((stuck_low & stuck_high).any())


def test_the_ends_none_and_all() -> None:
    draw = torch.rand(1000, generator=torch.Generator().manual_seed(2)).clamp(1e-6, 1 - 1e-6)
    low, high = born_stuck(draw, low_fraction=0.0, high_fraction=0.0)
    assert not bool((low | high).any())
    low, _ = born_stuck(draw, low_fraction=1.0, high_fraction=0.0)
    assert bool(low.all())
    _, high = born_stuck(draw, low_fraction=0.0, high_fraction=1.0)
    assert bool(high.all())
