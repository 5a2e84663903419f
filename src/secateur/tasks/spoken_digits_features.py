"""The feature map of a spoken word: 23 rows by 20 time frames, each number from 0 to 1.

The map is that of the paper's authors, reconstructed from the 3 000 maps they publish. Verified:
made of the 3 000 raw recordings, each map is one of theirs and each of theirs is one recording's,
label included; no number differs by more than 1e-6. The choices, a line each:

- Time: a frame every 256 samples (32 ms), the first centred on the first sample; the 20 first
  frames, zeros after the last frame of a shorter recording.
- Spectra: squared magnitude of the Fourier transform under a periodic Hann window, zeros beyond the
  ends of the recording.
- Bands: triangles on Slaney's mel scale from 0 Hz to half the sampling rate, each of area 1 Hz.
- Rows 0-9: decibels of ten bands, window 512 samples, cut 40 dB below the recording's largest and
  at -50 dB.
- Row 10: the zero-crossing rate, crossings per sample, window 1 024 samples, the recording's first
  and last sample repeated beyond its ends.
- Rows 11-22: cepstral coefficients 1-12 (orthonormal DCT-II) of 13 bands in decibels, window 1 024
  samples, cut 80 dB below the largest and at -100 dB. Coefficient 0, the loudness, is left out.
- Scale: rows 0-9 together and rows 11-22 together, from the block's smallest to its largest value
  over all frames of the recording, those after the twentieth included.

Malcolm Slaney's scale and filters: "Auditory Toolbox", technical report 1998-010, Interval
Research. 0 dB is a band power of 1 with samples from -1 to 1.
"""

from functools import lru_cache
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from secateur.errors import SettingError

SAMPLE_RATE = 8_000  # hertz
ROWS, FRAMES = 23, 20
HOP = 256
BANDS, BAND_WINDOW = 10, 512
CEPSTRAL_BANDS, CEPSTRAL_WINDOW = 13, 1_024

Array: TypeAlias = NDArray[np.float64]

# Slaney's scale: 3 mel per 200 Hz up to 1 kHz, then 27 mel per factor 6.4.
_KNEE, _KNEE_MEL, _LOG_STEP = 1_000.0, 15.0, np.log(6.4) / 27.0


def feature_map(samples: Array) -> NDArray[np.float32]:
    """The map of one recording.

    Args:
        samples: (N,) from -1 to 1, at `SAMPLE_RATE`.

    Returns:
        (23, 20), rows as this module describes, columns the frames in order.

    Raises:
        SettingError: for no samples, or a recording in which nothing can be heard.
    """
    if samples.ndim != 1 or not samples.size:
        raise SettingError(f"A recording of shape {samples.shape} is no series of samples")
    # A tenth of a second to import, for whoever does anything else.
    from scipy.fft import dct

    bands = decibels(band_powers(samples, BANDS, BAND_WINDOW), lowest=-50.0, below_peak=40.0)
    powers = band_powers(samples, CEPSTRAL_BANDS, CEPSTRAL_WINDOW)
    levels = decibels(powers, lowest=-100.0, below_peak=80.0)
    blocks = (
        _scaled(bands),
        crossing_rate(samples, CEPSTRAL_WINDOW)[:, None],
        _scaled(dct(levels, norm="ortho")[:, 1:]),
    )
    heard = np.concatenate(blocks, axis=1)[:FRAMES]
    result = np.zeros((ROWS, FRAMES), dtype=np.float32)
    result[:, : len(heard)] = heard.T
    return result


def band_powers(samples: Array, count: int, window: int) -> Array:
    """Power in each band of each frame.

    Args:
        samples: (N,).
        count: of bands.
        window: of the Fourier transform, samples.

    Returns:
        (1 + N // 256, count).
    """
    from scipy.fft import rfft
    from scipy.signal import get_window

    frames = _frames(samples, window, beyond="constant") * get_window("hann", window)
    spectra = rfft(frames, overwrite_x=True)
    result: Array = (spectra.real**2 + spectra.imag**2) @ mel_bands(count, window).T
    return result


@lru_cache(maxsize=8)
def mel_bands(count: int, window: int) -> Array:
    """The bands' weights over the frequencies of a Fourier transform.

    Args:
        count: of bands, their edges evenly spaced in mel from 0 Hz to half the sampling rate.
        window: of the transform, samples.

    Returns:
        (count, window // 2 + 1), per hertz.
    """
    edges = hertz(np.linspace(0.0, mel(SAMPLE_RATE / 2), count + 2))
    low, centre, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    frequencies = np.fft.rfftfreq(window, 1 / SAMPLE_RATE)
    rising, falling = (frequencies - low) / (centre - low), (high - frequencies) / (high - centre)
    triangles: Array = np.minimum(rising, falling).clip(min=0.0) * (2.0 / (high - low))
    return triangles


def mel(frequency: float) -> float:
    """Hertz to mel."""
    if frequency < _KNEE:
        return frequency * _KNEE_MEL / _KNEE
    return float(_KNEE_MEL + np.log(frequency / _KNEE) / _LOG_STEP)


def hertz(mels: Array) -> Array:
    """Mel to hertz."""
    above = _KNEE * np.exp((mels - _KNEE_MEL) * _LOG_STEP)
    return np.where(mels < _KNEE_MEL, mels * _KNEE / _KNEE_MEL, above)


def decibels(powers: Array, *, lowest: float, below_peak: float) -> Array:
    """Powers as levels in dB, none below `lowest` nor `below_peak` under the largest."""
    levels = 10.0 * np.log10(powers.clip(min=10.0 ** (lowest / 10.0)))
    result: Array = levels.clip(min=levels.max() - below_peak)
    return result


def crossing_rate(samples: Array, window: int) -> Array:
    """Changes of sign over samples in each frame, (1 + N // 256,); zero counts as positive."""
    negative = _frames(samples, window, beyond="edge") < 0.0
    rate: Array = (negative[:, 1:] != negative[:, :-1]).sum(axis=1) / window
    return rate


def _frames(samples: Array, window: int, *, beyond: Literal["constant", "edge"]) -> Array:
    padded = np.pad(samples, window // 2, mode=beyond)
    return np.lib.stride_tricks.sliding_window_view(padded, window)[::HOP]


def _scaled(block: Array) -> Array:
    lowest, highest = block.min(), block.max()
    if not highest > lowest:
        raise SettingError(
            "Nothing can be heard in this recording: its spectrum is the same all over",
            cause="silence, or a level below -50 dB",
            remedy="Leave it out, or record it louder",
        )
    result: Array = (block - lowest) / (highest - lowest)
    return result
