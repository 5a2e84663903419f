"""Forming: the measured shares, the normal law, and the pulse width's part in it."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from secateur.device import Technology, breakdown_voltage, formed_fraction, forming_voltage
from secateur.keyed import cell_words, normals

TAOX = Technology.load("taox-40nm")
LAW = {
    "mean": TAOX.breakdown_voltage, "spread": TAOX.breakdown_spread, "slope": TAOX.breakdown_slope,
    "reference_width": TAOX.forming_width,
}  # fmt: skip
WIDTH = TAOX.forming_width


@pytest.mark.parametrize(
    ("volts", "percent", "within"),
    [(3.4, 39, 0.5), (3.5, 72, 0.5), (3.6, 93, 0.5), (3.8, 99.9, 0.1)],
)
def test_the_preset_forms_the_measured_shares(volts: float, percent: float, within: float) -> None:
    assert 100 * formed_fraction(volts, width=WIDTH, **LAW) == pytest.approx(percent, abs=within)


@given(st.floats(2.5, 4.5), st.floats(1e-9, 1e-3))
def test_the_share_is_scipys_normal_distribution_function(volts: float, width: float) -> None:
    shifted = LAW["mean"] - LAW["slope"] * math.log10(width / WIDTH)
    expected = stats.norm.cdf(volts, loc=shifted, scale=LAW["spread"])
    assert formed_fraction(volts, width=width, **LAW) == pytest.approx(expected, abs=1e-12)


@given(st.floats(1e-6, 1.0 - 1e-6), st.floats(1e-9, 1e-3))
def test_the_forming_voltage_is_the_inverse_of_the_share(fraction: float, width: float) -> None:
    volts = forming_voltage(fraction, width=width, **LAW)
    assert formed_fraction(volts, width=width, **LAW) == pytest.approx(fraction, rel=1e-6)


@given(st.floats(3.0, 3.8), st.floats(1e-8, 1e-4), st.floats(1.1, 100.0))
def test_longer_and_higher_pulses_form_more(volts: float, width: float, factor: float) -> None:
    share = formed_fraction(volts, width=width, **LAW)
    assert formed_fraction(volts, width=width * factor, **LAW) >= share
    assert formed_fraction(volts + 0.01, width=width, **LAW) >= share


def test_a_tenfold_pulse_lowers_the_breakdown_by_the_slope() -> None:
    draw = torch.linspace(-3.0, 3.0, 7, dtype=torch.float64)
    short = breakdown_voltage(draw, width=WIDTH, **LAW)
    tenfold = breakdown_voltage(draw, width=10 * WIDTH, **LAW)
    torch.testing.assert_close(short - tenfold, torch.full_like(draw, LAW["slope"]))
    torch.testing.assert_close(short, LAW["mean"] + LAW["spread"] * draw)


def test_breakdown_voltages_follow_the_normal_law_of_the_share() -> None:
    draw = normals(cell_words(torch.arange(20_000), 0, seed=1, purpose=0))[2]
    volts = breakdown_voltage(draw, width=3e-6, **LAW).double().numpy()
    law = stats.norm(LAW["mean"] - LAW["slope"] * math.log10(3.0), LAW["spread"])
    assert stats.kstest(volts, law.cdf).pvalue > 1e-3
    for level in (3.3, 3.4, 3.5):
        share = formed_fraction(level, width=3e-6, **LAW)
        assert abs((volts <= level).mean() - share) < 5 * math.sqrt(share * (1 - share) / 20_000)


def test_without_spread_all_cells_break_at_the_same_voltage() -> None:
    law = {**LAW, "spread": 0.0}
    assert formed_fraction(LAW["mean"] + 1e-6, width=WIDTH, **law) == 1.0
    assert formed_fraction(LAW["mean"] - 1e-6, width=WIDTH, **law) == 0.0
