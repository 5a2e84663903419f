"""The feature map: its parts against SciPy and closed forms, the whole against the authors' own."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.fft import dct
from scipy.signal import ShortTimeFFT, get_window
from scipy.spatial import cKDTree

from secateur.errors import SettingError
from secateur.tasks.spoken_digits_data import RECORDINGS
from secateur.tasks.spoken_digits_features import (
    BAND_WINDOW,
    FRAMES,
    HOP,
    ROWS,
    SAMPLE_RATE,
    band_powers,
    crossing_rate,
    decibels,
    feature_map,
    hertz,
    mel,
    mel_bands,
)
from secateur.tasks.wav import read_wav

NYQUIST = SAMPLE_RATE / 2


def noise(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0.0, 0.1, count)


def tone(frequency: float, count: int = 4_000) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * frequency / SAMPLE_RATE * np.arange(count))


# --- Scale and bands ------------------------------------------------------------------------------


def test_slaneys_scale_is_linear_to_1_khz_and_logarithmic_above() -> None:
    assert mel(200.0) == pytest.approx(3.0)
    assert mel(1_000.0) == pytest.approx(15.0)
    assert mel(6_400.0) == pytest.approx(15.0 + 27.0)


@given(frequency=st.floats(0.0, NYQUIST))
def test_hertz_and_mel_are_inverse(frequency: float) -> None:
    assert float(hertz(np.array(mel(frequency)))) == pytest.approx(frequency, abs=1e-9)


@pytest.mark.parametrize("count", [10, 13])
def test_every_band_has_an_area_of_one_hertz(count: int) -> None:
    window = 1 << 15
    step = SAMPLE_RATE / window
    np.testing.assert_allclose(mel_bands(count, window).sum(axis=1) * step, 1.0, rtol=1e-4)


def test_a_tone_is_loudest_in_the_band_around_it() -> None:
    edges = hertz(np.linspace(0.0, mel(NYQUIST), 12))
    for band, centre in enumerate(edges[1:-1]):
        powers = band_powers(tone(float(centre)), 10, BAND_WINDOW)
        assert set(powers[2:-2].argmax(axis=1)) == {band}


def test_powers_are_those_of_scipys_short_time_transform() -> None:
    samples = noise(3_000)
    window = get_window("hann", BAND_WINDOW)
    transform = ShortTimeFFT(window, HOP, SAMPLE_RATE, fft_mode="onesided", phase_shift=None)
    frames = 1 + len(samples) // HOP
    spectra = transform.stft(samples, p0=0, p1=frames, k_offset=0)
    # SciPy's frame p is centred on sample p x hop, as ours, with zeros beyond the ends.
    expected = (np.abs(spectra) ** 2).T @ mel_bands(10, BAND_WINDOW).T
    np.testing.assert_allclose(band_powers(samples, 10, BAND_WINDOW), expected, rtol=1e-9)


@given(factor=st.floats(0.01, 10.0), seed=st.integers(0, 1_000))
def test_a_power_goes_with_the_square_of_the_amplitude(factor: float, seed: int) -> None:
    samples = noise(600, seed)
    louder = band_powers(factor * samples, 10, BAND_WINDOW)
    np.testing.assert_allclose(louder, factor**2 * band_powers(samples, 10, BAND_WINDOW))


def test_white_noise_has_the_same_power_in_every_band() -> None:
    # E|X|^2 of white noise is variance x sum of the squared window, at every frequency but the
    # ends; a band's weights sum to one hertz over the transform's step.
    samples = noise(400_000)
    powers = band_powers(samples, 10, 2_048)[8:-8].mean(axis=0)
    energy = 0.01 * (get_window("hann", 2_048) ** 2).sum() * 2_048 / SAMPLE_RATE
    np.testing.assert_allclose(powers, energy, rtol=0.1)


# --- Levels and crossings -------------------------------------------------------------------------


@given(
    powers=st.lists(st.floats(0.0, 1e6), min_size=1, max_size=20),
    below=st.floats(1.0, 100.0),
)
def test_levels_lie_between_both_floors_and_the_peak(powers: list[float], below: float) -> None:
    levels = decibels(np.array(powers), lowest=-50.0, below_peak=below)
    peak = 10 * np.log10(max(*powers, 1e-5, 1e-5))
    assert levels.max() == pytest.approx(peak)
    assert levels.min() >= max(-50.0, peak - below) - 1e-9


def test_a_level_is_ten_times_the_logarithm() -> None:
    levels = decibels(np.array([1.0, 10.0, 100.0]), lowest=-50.0, below_peak=40.0)
    np.testing.assert_allclose(levels, [0.0, 10.0, 20.0], atol=1e-12)


def test_a_tone_crosses_zero_twice_a_period() -> None:
    rate = crossing_rate(tone(500.0), 1_024)
    assert rate[3:-3] == pytest.approx(2 * 500.0 / SAMPLE_RATE, abs=2 / 1_024)


def test_zero_counts_as_positive_and_the_ends_cross_nothing() -> None:
    assert crossing_rate(np.zeros(2_000), 1_024).max() == 0.0
    assert crossing_rate(np.array([-1.0, 0.0, -1.0]), 8).tolist() == [2 / 8]


# --- The map --------------------------------------------------------------------------------------


@given(count=st.integers(1, 9_000), seed=st.integers(0, 1_000))
def test_a_map_is_23_by_20_from_0_to_1_with_zeros_after_the_last_frame(
    count: int, seed: int
) -> None:
    found = feature_map(noise(count, seed))
    assert found.shape == (ROWS, FRAMES)
    assert found.dtype == np.float32
    assert 0.0 <= found.min() <= found.max() <= 1.0
    assert not found[:, 1 + count // HOP :].any()


@pytest.mark.parametrize("rows", [slice(0, 10), slice(11, 23)], ids=["bands", "cepstrum"])
def test_each_block_spans_0_to_1_where_the_recording_fits(rows: slice) -> None:
    block = feature_map(noise(FRAMES * HOP - 1))[rows]
    assert (block.min(), block.max()) == (0.0, 1.0)


def test_frames_after_the_twentieth_count_for_the_scale() -> None:
    # White noise, then a loud tone long after the map has ended.
    samples = np.concatenate([noise(8_000), 8 * tone(1_000.0)])
    assert feature_map(samples)[:10].max() < 0.9


def test_loudness_does_not_matter_above_the_floor() -> None:
    samples = noise(4_000)
    np.testing.assert_allclose(feature_map(3 * samples), feature_map(samples), atol=1e-6)


def test_cepstral_rows_are_coefficients_1_to_12_of_scipys_transform() -> None:
    samples = noise(4_000)
    levels = decibels(band_powers(samples, 13, 1_024), lowest=-100.0, below_peak=80.0)
    cepstrum = dct(levels, norm="ortho", axis=1)[:, 1:13]
    low, high = cepstrum.min(), cepstrum.max()
    expected = ((cepstrum - low) / (high - low))[:FRAMES]
    np.testing.assert_allclose(feature_map(samples)[11:, : len(expected)].T, expected, atol=1e-6)


@pytest.mark.parametrize("samples", [np.zeros(4_000), np.full(4_000, 1e-6)], ids=["zeros", "faint"])
def test_silence_is_refused(samples: np.ndarray) -> None:
    with pytest.raises(SettingError, match="Nothing can be heard"):
        feature_map(samples)


@pytest.mark.parametrize("samples", [np.zeros(0), np.zeros((4_000, 2))], ids=["empty", "stereo"])
def test_what_is_no_series_of_samples_is_refused(samples: np.ndarray) -> None:
    with pytest.raises(SettingError, match="no series of samples"):
        feature_map(samples)


def test_every_map_is_one_of_the_authors_and_every_one_of_theirs_is_made(
    real_fsdd: Path, real_maps: tuple[np.ndarray, np.ndarray]
) -> None:
    theirs, labels = real_maps
    ours = np.stack(
        [
            feature_map(read_wav(real_fsdd / r.file, sample_rate=SAMPLE_RATE) / 32_768.0)
            for r in RECORDINGS
        ]
    )
    # Which map is whose recording they do not say: the nearest one it must be.
    flat = ours.reshape(len(ours), -1)
    _, nearest = cKDTree(theirs.reshape(len(theirs), -1)).query(flat)
    assert sorted(nearest) == list(range(3_000))
    np.testing.assert_allclose(ours, theirs[nearest], rtol=0, atol=1e-6)
    assert labels[nearest].tolist() == [recording.digit for recording in RECORDINGS]
