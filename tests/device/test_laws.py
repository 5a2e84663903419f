"""Laws: published formulas, their scale, and the words and numbers a file may hold."""

import math
from pathlib import Path
from typing import get_args

import numpy as np
import pages_of_laws
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from secateur.device import (
    Technology,
    logarithmic_deviation,
    noise_growth,
    polynomial_deviation,
    power_deviation,
    saturating_deviation,
)
from secateur.device.laws import Relaxation
from secateur.errors import SettingError

TAOX = Technology.load("taox-40nm")
SHARES = np.array([0.0, 0.05, 0.2, 0.5, 0.8, 1.0])


def test_the_programming_error_of_pcm_is_the_published_polynomial() -> None:
    sigma = polynomial_deviation(
        torch.tensor(SHARES * 25e-6), coefficients=(0.26348e-6, 1.965e-6, -1.1731e-6),
        full_scale=25e-6, lowest=0.0,
    )  # fmt: skip
    expected = 1e-6 * (0.26348 + 1.965 * SHARES - 1.1731 * SHARES**2)
    np.testing.assert_allclose(sigma.numpy(), expected, rtol=1e-12)


def test_a_polynomial_says_nothing_outside_its_range() -> None:
    ends = polynomial_deviation(
        torch.tensor([1e-6, 50e-6, 225e-6, 300e-6]).double(),
        coefficients=(4.782e-6, -0.009107 * 225e-6), full_scale=225e-6, lowest=50.0 / 225.0,
    )  # fmt: skip
    assert float(ends[0]) == pytest.approx(float(ends[1]))
    assert float(ends[1]) == pytest.approx(4.782e-6 - 0.009107 * 50e-6)
    assert float(ends[2]) == pytest.approx(4.782e-6 - 0.009107 * 225e-6)
    assert float(ends[2]) == pytest.approx(float(ends[3]))


def test_sonos_currents_spread_as_published() -> None:
    """19.89 nA (1 - exp(-I / 176.3 nA)) at 0.1 V, through conductances."""
    current = np.array([0.0, 50.0, 176.3, 800.0, 1600.0])
    sigma = saturating_deviation(
        torch.tensor(current * 1e-9 / 0.1), amplitude=198.9e-9, scale=1.763e-6
    )
    expected = 19.89 * (1.0 - np.exp(-current / 176.3))
    np.testing.assert_allclose(sigma.numpy() * 0.1 / 1e-9, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("seconds", [20.0, 86400.0])
def test_the_read_noise_of_pcm_is_the_published_one(seconds: float) -> None:
    x = SHARES[1:]
    sigma = power_deviation(
        torch.tensor(x * 25e-6), share=0.0088, exponent=-0.65, cap=0.2, full_scale=25e-6
    ) * noise_growth(torch.tensor(seconds), width=250e-9)
    growth = math.sqrt(math.log((seconds + 250e-9) / 500e-9))
    expected = x * 25e-6 * np.minimum(0.0088 / x**0.65, 0.2) * growth
    np.testing.assert_allclose(sigma.numpy(), expected, rtol=1e-6)
    nothing = power_deviation(
        torch.zeros(1), share=0.0088, exponent=-0.65, cap=0.2, full_scale=25e-6
    )
    assert float(nothing) == 0.0


def test_the_read_noise_of_cmo_cells_is_logarithmic_above_a_microsiemens() -> None:
    sigma = logarithmic_deviation(torch.tensor([1e-7, 1e-6, 1e-5, 1e-4]), amplitude=0.0277e-6)
    np.testing.assert_allclose(sigma.numpy() * 1e6, [0.0, 0.0, 0.0277, 0.0554], atol=1e-7)


@given(st.floats(0.0, 0.5), st.floats(1e-6, 2e-5))
def test_a_law_is_scaled_by_the_technologys_own_number(share: float, high: float) -> None:
    law = {
        "law": "polynomial", "coefficients": (1e-7, 2e-6), "full_scale": 3e-5, "lowest": 0.0,
    }  # fmt: skip
    cells = TAOX.with_values(
        programming_law=law, programming_error=share, high_conductance=high, read_noise=share
    )
    at = torch.tensor([high, high / 2], dtype=torch.float64)
    written = cells.written_deviation(at)
    assert float(written[0]) == pytest.approx(share * high)
    shape = (1e-7 + 2e-6 * high / 6e-5) / (1e-7 + 2e-6 * high / 3e-5)
    assert float(written[1]) == pytest.approx(share * high * shape)
    assert torch.equal(cells.read_deviation(at), at * share)


def test_the_noises_of_a_pair_add_in_squares_under_every_law() -> None:
    both = torch.tensor([[3e-6, 4e-6], [1e-6, 1.1e-5]], dtype=torch.float64)
    laws = (
        {"law": "proportional"},
        {"law": "saturating", "amplitude": 2e-7, "scale": 2e-6},
        {"law": "flicker-logarithmic", "amplitude": 2e-7, "reference_age": 1.0, "width": 1e-6},
    )
    for law in laws:
        cells = TAOX.with_values(read_law=law)
        single = cells.read_deviation(both)
        summed = single.square().sum(dim=1).sqrt()
        torch.testing.assert_close(cells.pair_deviation(both), summed, rtol=1e-12, atol=0.0)


# --- Files ------------------------------------------------------------------------------------


def test_a_technology_is_written_as_it_is_read(tmp_path: Path) -> None:
    relaxing = TAOX.with_values(
        drift_law={
            "law": "relaxation", "reference_age": 1.0, "late_age": 86400.0,
            "late": {"law": "saturating", "amplitude": 1e-6, "scale": 2e-6},
        }
    )  # fmt: skip
    for technology in (TAOX, Technology.load("ideal"), relaxing):
        path = tmp_path / "written.toml"
        path.write_text(technology.toml(), encoding="utf-8")
        assert Technology.load(path) == technology


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('law = "power"', 'law = "pwoer"', "drift_law names the law 'pwoer'.*'power'"),
        ('law = "power"\n', "", "drift_law names the law None"),
        ("exponent_spread", "exponent_spraed", "drift_law.exponent_spraed is no number of.*spread"),
        ("exponent = {", "# exponent = {", "drift_law.exponent is missing"),
        ('exponent = { value = 0.002, unit = "1"', "exponent = { value = 0.002", "unit None, but"),
        ("value = 1.0, unit = \"s\"", "value = 1.0, unit = \"h\"", "reference_age has unit 'h'"),
        ("value = 1.0, unit = \"s\"", "value = -1.0, unit = \"s\"", "reference_age = -1.0"),
        ("exponent = { value = 0.002", "exponent = { value = nan", "exponent = nan"),
        ('assumption = "retention', 'comment = "retention', "comment is no number of the law"),
    ],
)  # fmt: skip
def test_bad_laws_are_refused_by_name(tmp_path: Path, old: str, new: str, words: str) -> None:
    text = pages_of_laws.PRESET
    assert old in text
    path = tmp_path / "mine.toml"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(SettingError, match=words) as caught:
        Technology.load(path)
    assert "mine.toml" in str(caught.value)
    assert caught.value.remedy


def test_a_law_that_says_nothing_about_these_cells_is_refused() -> None:
    law = {"law": "polynomial", "coefficients": (0.0, 0.0), "full_scale": 1e-5, "lowest": 0.0}
    with pytest.raises(SettingError, match="programming_law gives no deviation"):
        TAOX.with_values(programming_law=law)


def test_laws_are_frozen() -> None:
    with pytest.raises(ValidationError):
        TAOX.drift_law.exponent = 0.0


def test_the_page_lists_every_law_and_names_its_numbers() -> None:
    listed = pages_of_laws.laws()
    for table, words in listed.items():
        known = get_args(Technology.model_fields[table].annotation)
        assert words == [get_args(law.model_fields["law"].annotation)[0] for law in known]
    assert set(listed) == {"programming_law", "read_law", "drift_law"}


def test_a_relaxation_that_ends_before_it_begins_is_refused():
    table = Technology.load("neurram").drift_law.model_dump()
    with pytest.raises(ValueError, match="late_age must be above"):
        Relaxation.model_validate({**table, "late_age": table["reference_age"]})


def test_what_relaxation_starts_from_is_the_technologys_own_error():
    rough = Technology.load("neurram").with_values(programming_error=0.2)
    cells = torch.full((4000,), 25e-6, dtype=torch.float64)
    draws = torch.randn(4000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    law = rough.drift_law
    aged = law.aged(
        cells, torch.tensor(law.late_age), draws, draws, written=rough.written_deviation
    )
    # Cells written more roughly than the late law says do not become rougher still.
    assert torch.equal(aged, cells)
