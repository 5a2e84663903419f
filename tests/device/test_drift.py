"""Drift and retention: published values, limits, and the spread from cell to cell."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import constants, stats

from secateur.device import (
    arrhenius_factor,
    disturbed,
    exponent_by_state,
    logarithmic_drift,
    power_drift,
    retained,
    widened,
)

CONDUCTANCES = st.floats(1e-7, 1e-4)
AGES = st.floats(0.0, 1e9)


def cells(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


@pytest.mark.parametrize("seconds", [20.0, 3600.0, 86400.0, 3.15e7])
def test_power_drift_is_the_published_formula(seconds: float) -> None:
    """G0 (t / 20 s)^-nu, t from the pulse: Nandakumar et al."""
    drifted = power_drift(cells(2e-6, 1e-5), cells(seconds - 20.0), exponent=0.06, reference_age=20)
    expected = np.array([2e-6, 1e-5]) * (seconds / 20.0) ** -0.06
    np.testing.assert_allclose(drifted.numpy(), expected, rtol=1e-12)


@pytest.mark.parametrize("share", [0.01, 0.1, 0.2, 0.5, 1.0])
def test_the_drift_exponent_of_pcm_is_the_published_one(share: float) -> None:
    mean = exponent_by_state(
        cells(share * 25e-6), slope=-0.0155, offset=0.0244, lowest=0.049, highest=0.1,
        full_scale=25e-6,
    )  # fmt: skip
    assert float(mean) == pytest.approx(np.clip(-0.0155 * math.log(share) + 0.0244, 0.049, 0.1))
    spread = exponent_by_state(
        cells(share * 25e-6), slope=-0.0125, offset=-0.0059, lowest=0.008, highest=0.045,
        full_scale=25e-6,
    )  # fmt: skip
    assert float(spread) == pytest.approx(np.clip(-0.0125 * math.log(share) - 0.0059, 0.008, 0.045))


def test_a_cell_that_conducts_nothing_has_an_exponent_and_stays_at_nothing() -> None:
    exponent = exponent_by_state(
        cells(0.0), slope=-0.0155, offset=0.0244, lowest=0.049, highest=0.1, full_scale=25e-6
    )
    assert float(exponent) == 0.1
    assert float(power_drift(cells(0.0), cells(1e9), exponent=exponent, reference_age=20.0)) == 0.0


@given(CONDUCTANCES, st.floats(-3, 3))
def test_at_age_zero_every_law_gives_back_what_was_programmed(value: float, draw: float) -> None:
    conductance, now = torch.tensor([value]), torch.zeros(1, dtype=torch.float64)
    laws = (
        power_drift(conductance, now, exponent=0.1 * draw, reference_age=20.0),
        logarithmic_drift(conductance, now, fall=1e-7 * draw, reference_age=1.0),
        widened(
            conductance, now, cells(draw), early=cells(1e-7), late=cells(3e-7), reference_age=1.0,
            late_age=86400.0,
        ),
        retained(conductance, now, floor=1e-6, time_constant=1e8, shape=0.5),
        disturbed(conductance, now, share=1e-6, towards=1e-5),
    )  # fmt: skip
    for aged in laws:
        assert aged.dtype == torch.float32
        assert torch.equal(aged, conductance)


@given(CONDUCTANCES, AGES, AGES)
def test_conductances_fall_with_time_and_stay_above_their_floor(
    value: float, one: float, other: float
) -> None:
    first, second = sorted((one, other))
    ages, conductance = cells(first, second), cells(value, value)
    for aged in (
        power_drift(conductance, ages, exponent=0.05, reference_age=20.0),
        logarithmic_drift(conductance, ages, fall=2e-7, reference_age=1.0),
        retained(conductance, ages, floor=2e-7, time_constant=1e6, shape=0.6),
    ):
        assert float(aged[1]) <= float(aged[0]) <= value
        assert float(aged[1]) >= 0.0
    assert float(retained(conductance, ages, floor=2e-7, time_constant=1e6, shape=0.6)[1]) >= min(
        value, 2e-7 * (1 - 1e-12)
    )


def test_logarithmic_drift_loses_the_same_in_every_decade() -> None:
    decades = cells(*(10.0**n - 1.0 for n in range(7)))
    lost = 5e-5 - logarithmic_drift(cells(5e-5), decades, fall=0.089e-6, reference_age=1.0)
    expected = 0.089e-6 * math.log(10.0) * np.arange(7)
    np.testing.assert_allclose(lost.numpy(), expected, rtol=1e-9, atol=1e-18)


def test_retention_is_a_stretched_exponential() -> None:
    left = retained(cells(1e-5), cells(1e5), floor=1e-6, time_constant=1e5, shape=0.4)
    assert float(left) == pytest.approx(1e-6 + 9e-6 / math.e)
    below = retained(cells(5e-7), cells(1e9), floor=1e-6, time_constant=1e5, shape=0.4)
    assert float(below) == 5e-7


@pytest.mark.parametrize("days", [0.01, 1.0, 30.0])
def test_a_written_spread_widens_from_one_law_to_the_other(days: float) -> None:
    """Early variance at t0, late variance at a day, linear in ln t."""
    draws = torch.Generator().manual_seed(0)
    early, late, n = 2e-7, 5e-7, 20_000
    written = 1e-5 + early * torch.randn(n, generator=draws, dtype=torch.float64)
    draw = torch.randn(n, generator=draws, dtype=torch.float64)
    aged = widened(
        written, cells(days * 86400.0 - 1.0), draw, early=torch.full_like(draw, early),
        late=torch.full_like(draw, late), reference_age=1.0, late_age=86400.0,
    )  # fmt: skip
    grown = math.log(days * 86400.0) / math.log(86400.0)
    variance = early**2 + (late**2 - early**2) * grown
    assert stats.kstest(((aged - 1e-5) / variance**0.5).numpy(), "norm").pvalue > 1e-3


def test_a_law_that_narrows_with_time_takes_nothing_back() -> None:
    aged = widened(
        cells(1e-5), cells(1e6), cells(2.0), early=cells(5e-7), late=cells(1e-7),
        reference_age=1.0, late_age=86400.0,
    )  # fmt: skip
    assert float(aged) == 1e-5


def test_heat_ages_by_arrhenius() -> None:
    factor = arrhenius_factor(398.15, activation_energy=1.2, reference_temperature=298.15)
    k = constants.k / constants.e
    assert factor == pytest.approx(math.exp(-1.2 / (k * 398.15)) / math.exp(-1.2 / (k * 298.15)))
    assert arrhenius_factor(300.0, activation_energy=1.2, reference_temperature=300.0) == 1.0
    assert arrhenius_factor(400.0, activation_energy=0.0, reference_temperature=300.0) == 1.0


@given(st.floats(0.2, 2.0), st.floats(250.0, 600.0), st.floats(250.0, 600.0))
def test_factors_of_temperatures_multiply(energy: float, one: float, other: float) -> None:
    through = arrhenius_factor(one, activation_energy=energy, reference_temperature=300.0)
    through *= arrhenius_factor(other, activation_energy=energy, reference_temperature=one)
    direct = arrhenius_factor(other, activation_energy=energy, reference_temperature=300.0)
    assert through == pytest.approx(direct, rel=1e-9)


def test_reads_close_the_gap_to_the_high_state_one_by_one() -> None:
    conductance = cells(1e-6)
    for _ in range(3):
        conductance = disturbed(conductance, cells(1.0), share=0.01, towards=1e-5)
    at_once = disturbed(cells(1e-6), cells(3.0), share=0.01, towards=1e-5)
    torch.testing.assert_close(conductance, at_once, rtol=1e-12, atol=0.0)
    assert float(at_once) == pytest.approx(1e-5 - 9e-6 * 0.99**3)
    assert float(disturbed(cells(2e-5), cells(1e9), share=0.01, towards=1e-5)) == 2e-5
    assert float(disturbed(cells(1e-6), cells(2.0), share=1.0, towards=1e-5)) == 1e-5
