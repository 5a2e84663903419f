"""Recordings are read as they were written, or refused by name."""

import struct
import wave
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.io import wavfile

from secateur.errors import FileError
from secateur.tasks.wav import read_wav

RATE = 8_000


def write(
    path: Path, samples: np.ndarray, *, rate: int = RATE, channels: int = 1, width: int = 2
) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(samples.tobytes())
    return path


@pytest.fixture
def tone(tmp_path: Path) -> Path:
    return write(tmp_path / "3_theo_7.wav", np.arange(-500, 500, dtype="<i2"))


@given(samples=st.lists(st.integers(-32_768, 32_767), min_size=1, max_size=50))
def test_what_scipy_writes_is_read_to_the_bit(
    tmp_path_factory: pytest.TempPathFactory, samples: list[int]
) -> None:
    path = tmp_path_factory.getbasetemp() / "one.wav"
    wavfile.write(path, RATE, np.array(samples, dtype=np.int16))
    found = read_wav(path, sample_rate=RATE)
    assert found.dtype == np.int16
    assert found.tolist() == samples


def test_chunks_beside_the_samples_are_passed_over(tone: Path) -> None:
    plain = read_wav(tone, sample_rate=RATE)
    with tone.open("ab") as file:
        file.write(b"LIST" + struct.pack("<I", 4) + b"INFO")
    assert read_wav(tone, sample_rate=RATE).tolist() == plain.tolist()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"rate": 16_000}, "16000 samples a second where 8000 is wanted"),
        ({"channels": 2}, r"2 channel\(s\) where 1 is wanted"),
        ({"width": 1}, "8 bits a sample where 16 is wanted"),
        ({"width": 4}, "32 bits a sample where 16 is wanted"),
    ],
    ids=["rate", "channels", "8-bit", "32-bit"],
)
def test_another_format_is_refused_by_name(
    tmp_path: Path, changes: dict[str, int], told: str
) -> None:
    path = write(tmp_path / "3_theo_7.wav", np.zeros(64, dtype="<i2"), **changes)
    with pytest.raises(FileError, match=rf"3_theo_7.wav has {told}"):
        read_wav(path, sample_rate=RATE)


def test_a_float_file_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "3_theo_7.wav"
    wavfile.write(path, RATE, np.zeros(64, dtype=np.float32))
    with pytest.raises(FileError, match=r"3_theo_7.wav is not a WAV file of plain PCM"):
        read_wav(path, sample_rate=RATE)


@pytest.mark.parametrize("kept", [0, 3, 11, 20, 40, 43])
def test_a_file_cut_within_its_header_is_refused_by_name(tone: Path, kept: int) -> None:
    tone.write_bytes(tone.read_bytes()[:kept])
    with pytest.raises(FileError, match=r"3_theo_7.wav is not a WAV file"):
        read_wav(tone, sample_rate=RATE)


@pytest.mark.parametrize("kept", [44, 45, 1000, 2043])
def test_a_file_cut_within_its_samples_says_how_many_are_left(tone: Path, kept: int) -> None:
    tone.write_bytes(tone.read_bytes()[:kept])
    left = (kept - 44) // 2
    with pytest.raises(FileError, match=rf"3_theo_7.wav ends after {left} of 1000 samples"):
        read_wav(tone, sample_rate=RATE)


def test_a_header_that_announces_gigabytes_is_refused_without_reserving_them(tone: Path) -> None:
    contents = bytearray(tone.read_bytes())
    contents[40:44] = struct.pack("<I", 0xFFFF_FFF0)
    tone.write_bytes(contents)
    with pytest.raises(FileError, match="ends after 1000 of"):
        read_wav(tone, sample_rate=RATE)


def test_no_samples_is_no_recording(tmp_path: Path) -> None:
    path = write(tmp_path / "3_theo_7.wav", np.zeros(0, dtype="<i2"))
    with pytest.raises(FileError, match="holds no samples"):
        read_wav(path, sample_rate=RATE)


def test_another_kind_of_file_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "3_theo_7.wav"
    path.write_text("version https://git-lfs.example/spec/v1 and what follows in such a pointer")
    with pytest.raises(FileError, match=r"3_theo_7.wav is not a WAV file"):
        read_wav(path, sample_rate=RATE)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"cannot be read.*3_theo_7.wav"):
        read_wav(tmp_path / "3_theo_7.wav", sample_rate=RATE)


@pytest.mark.parametrize("place", [16, 17, 18, 19])
def test_a_damaged_chunk_size_is_refused_by_name(tone: Path, place: int) -> None:
    content = bytearray(tone.read_bytes())
    content[place] = 0xFF
    tone.write_bytes(bytes(content))
    with pytest.raises(FileError, match=tone.name):
        read_wav(tone, sample_rate=RATE)
