"""SET and RESET: lognormal, with a part frozen at birth and a part drawn per pulse."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from secateur.device import Technology, median_at_compliance, switched_conductance

TAOX = Technology.load("taox-40nm")
STATES = {
    "high": {
        "median": TAOX.high_conductance, "device_spread": TAOX.high_device_spread,
        "cycle_spread": TAOX.high_cycle_spread,
    },
    "low": {
        "median": TAOX.low_conductance, "device_spread": TAOX.low_device_spread,
        "cycle_spread": TAOX.low_cycle_spread,
    },
}  # fmt: skip


def standard_normals(*shape: int, seed: int) -> torch.Tensor:
    draws = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=draws, dtype=torch.float64)


@pytest.mark.parametrize("state", ["high", "low"])
def test_conductances_are_lognormal_around_their_median(state: str) -> None:
    law = STATES[state]
    switched = switched_conductance(
        standard_normals(20_000, seed=1), standard_normals(20_000, seed=2), **law
    )
    spread = (law["device_spread"] ** 2 + law["cycle_spread"] ** 2) ** 0.5
    expected = stats.lognorm(s=spread, scale=law["median"])
    assert stats.kstest(switched.numpy(), expected.cdf).pvalue > 1e-3


def test_formed_cells_of_the_preset_are_as_measured() -> None:
    """12.35 +- 1.86 uS, ln G of mean 2.502 (uS) and deviation 0.149: FIELD.md, section 2."""
    law = STATES["high"]
    spread = (law["device_spread"] ** 2 + law["cycle_spread"] ** 2) ** 0.5
    measured = stats.lognorm(s=spread, scale=law["median"])
    assert spread == pytest.approx(0.149, abs=5e-4)
    assert measured.mean() == pytest.approx(12.35e-6, rel=0.01)
    assert measured.std() == pytest.approx(1.86e-6, rel=0.02)


@pytest.mark.parametrize("state", ["high", "low"])
def test_the_spread_divides_into_a_frozen_part_and_a_part_per_cycle(state: str) -> None:
    """One-way analysis of variance of ln G over 500 cells of 40 pulses each."""
    law, cells, pulses = STATES[state], 500, 40
    frozen = standard_normals(cells, 1, seed=3).expand(cells, pulses)
    switched = switched_conductance(frozen, standard_normals(cells, pulses, seed=4), **law).log()
    within = switched.var(dim=1).mean()
    between = switched.mean(dim=1).var() - within / pulses
    assert float(within.sqrt()) == pytest.approx(law["cycle_spread"], rel=0.03)
    assert float(between.sqrt()) == pytest.approx(law["device_spread"], rel=0.12)


@given(st.floats(-4, 4), st.floats(-4, 4), st.floats(1e-9, 1e-3), st.floats(0, 1), st.floats(0, 1))
def test_conductances_are_positive_and_scale_with_their_median(
    frozen: float, cycle: float, median: float, device_spread: float, cycle_spread: float
) -> None:
    draws = torch.tensor([frozen], dtype=torch.float64), torch.tensor([cycle], dtype=torch.float64)
    spreads = {"device_spread": device_spread, "cycle_spread": cycle_spread}
    once = switched_conductance(*draws, median=median, **spreads)
    twice = switched_conductance(*draws, median=torch.tensor([2 * median]).double(), **spreads)
    assert float(once) > 0.0
    torch.testing.assert_close(twice, 2 * once)


def test_without_spread_every_cell_sits_at_the_median() -> None:
    draws = standard_normals(100, seed=5)
    switched = switched_conductance(draws, draws, median=1e-5, device_spread=0.0, cycle_spread=0.0)
    assert bool((switched == 1e-5).all())
    assert bool((draws != 0.0).any())


def test_the_high_median_follows_the_compliance_current() -> None:
    at = {
        current: median_at_compliance(12e-6, compliance=current, reference=75e-6)
        for current in (25e-6, 75e-6, 150e-6)
    }
    assert at[75e-6] == 12e-6
    assert at[25e-6] == pytest.approx(4e-6)
    assert at[150e-6] == pytest.approx(24e-6)
