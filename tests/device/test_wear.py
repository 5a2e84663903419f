"""Faults and wear: shares of stuck cells, and the lognormal law of endurance."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from secateur.device import (
    born_stuck,
    endurance_limit,
    projected_life,
    worn_out_probability,
)


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


@given(st.floats(0.0, 1e9), st.floats(1.0, 1e9), st.floats(0.05, 2.0))
def test_the_probability_of_being_worn_out_is_the_lognormal_law(
    pulses: float, median: float, spread: float
) -> None:
    found = worn_out_probability(torch.tensor([pulses]), median=median, spread=spread)
    law = stats.lognorm(s=spread, scale=median)
    assert float(found) == pytest.approx(law.cdf(torch.tensor(pulses).item()), rel=1e-6, abs=1e-12)


def test_as_many_cells_wear_out_as_their_limits_say() -> None:
    draw = torch.randn(50_000, generator=torch.Generator().manual_seed(2))
    limits = endurance_limit(draw, median=1e4, spread=0.5)
    for pulses in (3e3, 1e4, 2e4):
        share = float(worn_out_probability(torch.tensor([pulses]), median=1e4, spread=0.5))
        assert stats.binomtest(int((limits < pulses).sum()), 50_000, share).pvalue > 1e-3


def test_without_spread_a_cell_wears_out_at_the_median() -> None:
    found = worn_out_probability(torch.tensor([0, 99, 101]), median=100.0, spread=0.0)
    assert found.tolist() == [0.0, 0.0, 1.0]


@given(st.floats(1.0, 1e4), st.floats(0.1, 1.5), st.floats(1e-4, 0.2))
def test_the_life_of_equal_cells_is_the_quantile_over_their_pulses(
    pulses: float, spread: float, tolerated: float
) -> None:
    life = projected_life(
        torch.full((100,), pulses), median=1e6, spread=spread, tolerated=tolerated
    )
    expected = stats.lognorm(s=spread, scale=1e6).ppf(tolerated) / pulses
    assert life == pytest.approx(expected, rel=1e-5)


def test_a_life_ends_when_the_tolerated_share_is_worn_out_and_not_before() -> None:
    pulses = torch.randint(0, 40, (5000,), generator=torch.Generator().manual_seed(3))
    life = projected_life(pulses, median=1e5, spread=0.6, tolerated=0.01)
    share = worn_out_probability(pulses * life, median=1e5, spread=0.6).mean()
    assert float(share) == pytest.approx(0.01, rel=1e-6)
    assert projected_life(2 * pulses, median=1e5, spread=0.6, tolerated=0.01) == pytest.approx(
        life / 2, rel=1e-6
    )


def test_what_is_not_pulsed_lasts_for_ever() -> None:
    idle = torch.zeros(1000)
    assert projected_life(idle, median=10.0, spread=0.1) == math.inf
    idle[0] = 5.0
    assert projected_life(idle, median=10.0, spread=0.1, tolerated=1e-3) == math.inf
    assert projected_life(idle, median=10.0, spread=0.0, tolerated=1e-4) == pytest.approx(2.0)
