"""The shipped memories: their laws are the published ones, value by value."""

import math

import numpy as np
import pages_of_laws
import pytest
import torch
from scipy import stats

from secateur.device import Technology, presets

MEMORIES = [name for name in presets() if name != "ideal"]


def microsiemens(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64) * 1e-6


def sigma_of(name: str, *values: float) -> np.ndarray:
    """Of written cells, in microsiemens, through the preset's own scale."""
    return Technology.load(name).written_deviation(microsiemens(*values)).numpy() * 1e6


# What is published, in microsiemens of conductance in microsiemens.
WRITTEN = {
    "pcm": lambda g: 0.26348 + 1.965 * (g / 25) - 1.1731 * (g / 25) ** 2,
    "neurram": lambda g: np.polyval([-16.815, 45.393, -43.853, 16.030, 0.348], g / 40),
    "hfox": lambda g: 4.782 - 0.009107 * g,
    "cmo-hfox": lambda g: 0.01129 * g + 0.01122,
    "sonos-40nm": lambda g: 10 * 0.01989 * (1 - np.exp(-g * 100 / 176.3)),
}
POINTS = {
    "pcm": (0.5, 5, 12, 20, 25), "neurram": (1, 4, 10, 25, 40), "hfox": (50, 90, 150, 225),
    "cmo-hfox": (8, 20, 50, 90), "sonos-40nm": (0.01, 0.5, 2, 8, 16),
}  # fmt: skip


@pytest.mark.parametrize("name", WRITTEN)
def test_programming_errors_are_the_published_ones(name: str) -> None:
    points = np.array(POINTS[name], dtype=float)
    np.testing.assert_allclose(sigma_of(name, *points), WRITTEN[name](points), rtol=1e-4)


@pytest.mark.parametrize("days", [0.0, 1.0, 365.0])
def test_pcm_reads_and_drifts_as_published(days: float) -> None:
    pcm, seconds = Technology.load("pcm"), 20.0 + days * 86400.0
    points = np.array(POINTS["pcm"], dtype=float)
    x = points / 25
    noise = pcm.read_deviation(microsiemens(*points), days * 86400.0).numpy() * 1e6
    growth = math.sqrt(math.log((seconds + 250e-9) / 500e-9))
    expected = points * np.minimum(0.0088 / x**0.65, 0.2) * growth
    np.testing.assert_allclose(noise, expected, rtol=1e-4)
    for draw in (-1.0, 0.0, 2.0):
        frozen = torch.full((len(points),), draw, dtype=torch.float64)
        age = torch.full_like(frozen, days * 86400.0)
        now = pcm.drift_law.aged(
            microsiemens(*points), age, frozen, frozen, written=pcm.written_deviation
        )
        mean = np.clip(-0.0155 * np.log(x) + 0.0244, 0.049, 0.1)
        spread = np.clip(-0.0125 * np.log(x) - 0.0059, 0.008, 0.045)
        expected = points * (seconds / 20.0) ** -(mean + spread * draw)
        np.testing.assert_allclose(now.numpy() * 1e6, expected, rtol=1e-9)


@pytest.mark.parametrize("days", [1.0, 365.0])
def test_the_noise_share_of_an_aged_pcm_cell_is_that_of_its_programmed_state(days: float) -> None:
    """sigma = G_drifted min(0.0088 / (G_programmed / Gmax)^0.65, 0.2) sqrt(ln(...))."""
    pcm, seconds = Technology.load("pcm"), 20.0 + days * 86400.0
    points = np.array(POINTS["pcm"], dtype=float)
    drifted = points * (seconds / 20.0) ** -0.05
    noise = pcm.read_deviation(
        microsiemens(*drifted), days * 86400.0, programmed=microsiemens(*points)
    ).numpy() * 1e6  # fmt: skip
    growth = math.sqrt(math.log((seconds + 250e-9) / 500e-9))
    expected = drifted * np.minimum(0.0088 / (points / 25) ** 0.65, 0.2) * growth
    np.testing.assert_allclose(noise, expected, rtol=1e-4)


def test_no_pcm_cell_drifts_upward() -> None:
    """The exponent is the magnitude of a normal, which at low states has a wide spread."""
    pcm, low = Technology.load("pcm"), microsiemens(0.3)
    law = pcm.drift_law
    draws = torch.randn(20_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert bool((law.mean(low) + law.spread(low) * draws < 0.0).any())
    cells = low.expand(len(draws))
    age = torch.full_like(draws, 1e6)
    aged = law.aged(cells, age, draws, draws, written=pcm.written_deviation)
    found = -(aged / cells).log() / math.log(1.0 + 1e6 / 20.0)
    assert float(found.min()) >= 0.0
    mean, spread = float(law.mean(low)), float(law.spread(low))
    assert (
        stats.kstest(found.numpy(), stats.foldnorm(mean / spread, scale=spread).cdf).pvalue > 0.01
    )


def test_cmo_cells_read_and_drift_as_published() -> None:
    cmo = Technology.load("cmo-hfox")
    points = np.array(POINTS["cmo-hfox"], dtype=float)
    still = torch.zeros(len(points), dtype=torch.float64)
    for seconds in (1.0, 3600.0, 1e7):
        noise = cmo.read_deviation(microsiemens(*points), seconds - 1.0).numpy() * 1e6
        growth = math.sqrt(math.log((seconds + 1e-6) / 2e-6))
        np.testing.assert_allclose(noise, 0.0277 * np.log10(points) * growth, rtol=1e-4)
        now = cmo.drift_law.aged(
            microsiemens(*points),
            still + seconds - 1.0,
            still,
            still,
            written=cmo.written_deviation,
        )
        expected = np.maximum(points - 0.089 * math.log(seconds), 0.0)
        np.testing.assert_allclose(now.numpy() * 1e6, expected, rtol=1e-9)


@pytest.mark.parametrize(
    ("name", "days", "late"),
    [
        ("neurram", 1.0, lambda g: np.polyval([-16.458, 47.095, -50.773, 22.086, 0.701], g / 40)),
        ("sonos-40nm", 5.0, lambda g: 10 * 0.03458 * (1 - np.exp(-g * 100 / 207.3))),
    ],
)
def test_written_cells_have_spread_as_published_at_the_late_age(name, days, late) -> None:
    cells = Technology.load(name)
    points = np.array(POINTS[name], dtype=float)
    one = torch.ones(len(points), dtype=torch.float64)
    age = one * days * 86400.0 - cells.drift_law.reference_age
    moved = cells.drift_law.aged(
        microsiemens(*points), age, one, one, written=cells.written_deviation
    ) - microsiemens(*points)
    early = WRITTEN[name](points)
    total = np.hypot(early, moved.numpy() * 1e6)
    np.testing.assert_allclose(total, np.maximum(late(points), early), rtol=1e-4)


def test_sonos_reads_as_published() -> None:
    points = np.array(POINTS["sonos-40nm"], dtype=float)
    noise = Technology.load("sonos-40nm").read_deviation(microsiemens(*points)).numpy() * 1e6
    expected = 10 * 0.01258 * (1 - np.exp(-points * 100 / 215.4))
    np.testing.assert_allclose(noise, expected, rtol=2e-4)


def test_magnetic_memory_has_two_states_and_the_published_window() -> None:
    mram = Technology.load("stt-mram")
    assert mram.levels == 2
    assert 1.0 <= mram.high_conductance / mram.low_conductance - 1.0 <= 2.0
    assert 0.05 <= mram.high_device_spread <= 0.10
    energy = mram.switching_voltage * mram.switching_current * mram.switching_width
    assert energy == pytest.approx(0.1e-12)
    assert mram.endurance >= 1e15


def test_ecram_steps_are_as_published() -> None:
    ecram = Technology.load("ecram")
    step = 199.9e-6 / 255
    assert ecram.programming_error * ecram.high_conductance == pytest.approx(0.3 * step, rel=1e-3)
    swing = ecram.high_conductance - ecram.low_conductance
    assert swing / (ecram.levels - 1) == pytest.approx(step, rel=2e-3)
    assert not ecram.drift_law.moves


@pytest.mark.parametrize("name", MEMORIES)
def test_no_preset_passes_an_unpublished_random_state_for_a_measurement(name: str) -> None:
    cells = Technology.load(name)
    origin = {row[0]: row[4] for row in cells.parameters()}["high_device_spread"]
    assert origin.startswith("source: ") == (name in ("taox-40nm", "stt-mram"))
    assert len({row[4] for row in cells.laws() if row[4]}) >= 2


@pytest.mark.parametrize("name", MEMORIES)
def test_states_and_numbers_hang_together(name: str) -> None:
    cells = Technology.load(name)
    assert cells.low_conductance < cells.high_conductance
    assert cells.programming_error < 0.2
    assert cells.read_noise < 0.1
    assert 250.0 < cells.reference_temperature < 400.0


def test_the_page_names_each_memory_and_its_laws() -> None:
    listed = pages_of_laws.memories()
    assert set(listed) == set(MEMORIES)
    for name, laws in listed.items():
        cells = Technology.load(name)
        chosen = (cells.programming_law, cells.read_law, cells.drift_law)
        assert laws == [law.law for law in chosen]
