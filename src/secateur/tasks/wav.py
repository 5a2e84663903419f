"""WAV files of one channel and 16 bits: read strictly."""

import wave
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from secateur.errors import FileError

_BYTES = 2  # of one sample
_AGAIN = "Delete it and get it again"


def read_wav(path: Path, *, sample_rate: int) -> NDArray[np.int16]:
    """Read one recording: PCM, 16 bits, one channel.

    Args:
        path: the file.
        sample_rate: in hertz; any other is refused.

    Returns:
        (N,) samples, N > 0, in the machine's byte order.

    Raises:
        FileError: unreadable, not WAV, of another format, truncated, or empty. The message names
            the file.
    """
    try:
        with path.open("rb") as file, wave.open(file) as recording:
            _refuse_other_format(recording, path, sample_rate)
            announced = recording.getnframes() * _BYTES
            # A damaged header may announce gigabytes: never ask for more than the file can hold.
            held = min(announced, path.stat().st_size)
            body = recording.readframes(held // _BYTES)
    # A damaged chunk size makes `wave` raise a bare RuntimeError.
    except (wave.Error, EOFError, RuntimeError) as error:
        raise FileError(
            f"{path.name} is not a WAV file of plain PCM: {error or 'it ends within its header'}",
            where=str(path),
            cause="another kind of file under this name, or a copy that was cut off",
            remedy=_AGAIN,
        ) from error
    except FileError:
        raise
    except OSError as error:
        raise FileError(
            f"A recording cannot be read: {error.strerror or error}",
            where=str(path),
            remedy="Check that it exists and that you may read it",
        ) from error
    if not announced:
        raise FileError(f"{path.name} holds no samples", where=str(path), remedy=_AGAIN)
    if len(body) != announced:
        raise FileError(
            f"{path.name} ends after {len(body) // _BYTES} of {announced // _BYTES} samples",
            where=str(path),
            cause="a copy or download that was cut off",
            remedy=_AGAIN,
        )
    return np.frombuffer(body, dtype="<i2").astype(np.int16)


def _refuse_other_format(recording: wave.Wave_read, path: Path, sample_rate: int) -> None:
    for what, found, wanted in (
        ("channel(s)", recording.getnchannels(), 1),
        ("bits a sample", 8 * recording.getsampwidth(), 8 * _BYTES),
        ("samples a second", recording.getframerate(), sample_rate),
    ):
        if found != wanted:
            raise FileError(
                f"{path.name} has {found} {what} where {wanted} is wanted",
                where=str(path),
                cause="a recording that was converted, or one of another data set",
                remedy=f"Get the file as its owners publish it, or convert it to {wanted} {what}",
            )
