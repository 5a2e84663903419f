"""Spoken digits: the published recordings, three ways to split them, refusals that name files."""

import hashlib
import shutil
import wave
from pathlib import Path

import numpy as np
import pytest
import torch

from secateur.errors import FileError, SettingError
from secateur.tasks import TASKS
from secateur.tasks.data import Data
from secateur.tasks.spoken_digits_authors import AUTHORS, load_authors_maps
from secateur.tasks.spoken_digits_data import (
    FSDD,
    RECORDINGS,
    SPEAKERS,
    by_speaker,
    by_take,
    checksum,
    load_spoken_digits,
)

FIRST = RECORDINGS[0].file


def numbered() -> torch.Tensor:
    """Maps that say which recording they are."""
    return torch.arange(3_000.0)[:, None, None].expand(3_000, 23, 20)


def heard(split) -> list:
    """The recordings of a split of numbered maps."""
    return [RECORDINGS[int(n)] for n in split.inputs[:, 0, 0, 0]]


# --- Splits ---------------------------------------------------------------------------------------


def test_there_are_fifty_takes_of_each_digit_by_six_speakers() -> None:
    assert len(set(RECORDINGS)) == len({r.file for r in RECORDINGS}) == 3_000
    assert [file.name for file in FSDD.files] == [f"recordings/{r.file}" for r in RECORDINGS]
    assert (RECORDINGS[0].file, RECORDINGS[-1].file) == ("0_george_0.wav", "9_yweweler_49.wav")


SPLITS = {"fsdd": by_take, **{name: lambda m, n=name: by_speaker(m, n) for name in SPEAKERS}}


@pytest.mark.parametrize("name", SPLITS)
def test_every_recording_is_in_one_part_under_its_own_digit(name: str) -> None:
    data = SPLITS[name](numbered())
    parts = (data.training, data.validation, data.test)
    assert sorted(r for part in parts for r in heard(part)) == sorted(RECORDINGS)
    for part in parts:
        assert part.targets.tolist() == [recording.digit for recording in heard(part)]
        assert len(set(part.targets.bincount().tolist())) == 1


def test_the_owners_split_goes_by_take() -> None:
    data = by_take(numbered())
    assert {r.take for r in heard(data.test)} == set(range(5))
    assert {r.take for r in heard(data.validation)} == set(range(5, 10))
    assert (len(data.training), len(data.validation), len(data.test)) == (2_400, 300, 300)


@pytest.mark.parametrize("speaker", SPEAKERS)
def test_who_is_held_out_is_heard_nowhere_else_and_validation_is_a_stranger_too(
    speaker: str,
) -> None:
    data = by_speaker(numbered(), speaker)
    assert {r.speaker for r in heard(data.test)} == {speaker}
    (validation,) = {r.speaker for r in heard(data.validation)}
    trained = {r.speaker for r in heard(data.training)}
    assert trained == set(SPEAKERS) - {speaker, validation}
    assert speaker not in {r.speaker for r in heard(data.training_and_validation)}
    assert (len(data.training), len(data.validation), len(data.test)) == (2_000, 500, 500)


# --- Refusals -------------------------------------------------------------------------------------


def test_an_unknown_source_names_the_nearest() -> None:
    with pytest.raises(SettingError, match="Did you mean 'authors'"):
        load_spoken_digits(source="author")


def test_a_speaker_without_recordings_is_refused_whatever_the_source() -> None:
    for source in ("fsdd", "speaker"):
        with pytest.raises(SettingError, match=r"no recording of a speaker 'teo'.*'theo'"):
            load_spoken_digits(source=source, speaker="teo")


def test_settings_are_checked_before_data_are_looked_for() -> None:
    with pytest.raises(SettingError, match=r"task.speakr.*'task.speaker'"):
        TASKS["spoken-digits"].load(None, {"speakr": "theo"})
    with pytest.raises(SettingError, match=r"task.source is 3"):
        TASKS["spoken-digits"].load(None, {"source": 3})


def test_the_refusal_of_a_machine_without_it_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(FileError) as refusal:
        load_spoken_digits(tmp_path)
    for way in "--data", "$SECATEUR_DATA", "git clone https://github.com/Jakobovski", "2997 more":
        assert way in str(refusal.value)
    assert "download them" not in str(refusal.value)


def test_the_refusal_without_the_authors_maps_names_the_other_source(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"reference_features_train.npz.*task.source=fsdd"):
        load_spoken_digits(tmp_path, source="authors")


@pytest.fixture
def folder(tmp_path: Path, real_fsdd: Path) -> Path:
    """The data set as links, so that a test can put something else in a recording's place."""
    recordings = tmp_path / "fsdd" / "recordings"
    recordings.mkdir(parents=True)
    for recording in RECORDINGS:
        (recordings / recording.file).symlink_to(real_fsdd / recording.file)
    return tmp_path / "fsdd"


def put(folder: Path, samples: np.ndarray, *, name: str = FIRST, rate: int = 8_000) -> None:
    path = folder / "recordings" / name
    path.unlink()
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.astype("<i2").tobytes())


def test_a_missing_recording_is_named(folder: Path) -> None:
    (folder / "recordings" / "7_theo_3.wav").unlink()
    with pytest.raises(FileError, match=r"incomplete: recordings/7_theo_3.wav missing"):
        load_spoken_digits(folder)


def test_a_renamed_recording_is_missed_under_its_name(folder: Path) -> None:
    recordings = folder / "recordings"
    (recordings / "7_theo_3.wav").rename(recordings / "7_teo_3.wav")
    with pytest.raises(FileError, match=r"7_theo_3.wav missing.*under other names"):
        load_spoken_digits(folder)


def test_a_speaker_whose_recordings_are_gone_is_missed(folder: Path) -> None:
    for recording in RECORDINGS:
        if recording.speaker == "theo":
            (folder / "recordings" / recording.file).unlink()
    with pytest.raises(FileError, match=r"0_theo_0.wav.*497 more missing"):
        load_spoken_digits(folder)


def test_a_mislabelled_recording_is_told_whose_it_is(folder: Path) -> None:
    recordings = folder / "recordings"
    (recordings / FIRST).unlink()
    (recordings / "8_theo_1.wav").rename(recordings / FIRST)
    shutil.copyfile(recordings / FIRST, recordings / "8_theo_1.wav")
    with pytest.raises(FileError, match=rf"{FIRST} is the recording published as 8_theo_1.wav"):
        load_spoken_digits(folder)


def test_a_recording_of_ones_own_is_not_taken_for_a_published_one(folder: Path) -> None:
    put(folder, np.random.default_rng(0).integers(-9_000, 9_000, 4_000))
    with pytest.raises(FileError, match=rf"{FIRST} is not the published recording"):
        load_spoken_digits(folder)


def test_silence_is_refused_by_name(folder: Path) -> None:
    put(folder, np.zeros(4_000))
    with pytest.raises(FileError, match=rf"{FIRST}: Nothing can be heard.*silence"):
        load_spoken_digits(folder)


def test_another_sample_rate_is_refused_by_name(folder: Path) -> None:
    put(folder, np.ones(4_000), rate=16_000)
    with pytest.raises(FileError, match=rf"{FIRST} has 16000 samples a second"):
        load_spoken_digits(folder)


def test_a_truncated_recording_is_refused_by_name(folder: Path, real_fsdd: Path) -> None:
    path = folder / "recordings" / FIRST
    path.unlink()
    path.write_bytes((real_fsdd / FIRST).read_bytes()[:-100])
    with pytest.raises(FileError, match=rf"{FIRST} ends after"):
        load_spoken_digits(folder)


def test_a_checksum_is_of_the_samples_in_any_byte_order() -> None:
    samples = np.array([1, -2, 300], dtype="<i2")
    assert checksum(samples) == checksum(samples.astype(">i2"))
    assert checksum(samples) == hashlib.sha256(bytes.fromhex("0100feff2c01")).hexdigest()[:8]
    assert checksum(samples) != checksum(samples[:2])


# --- The authors' maps ----------------------------------------------------------------------------


def save(path: Path, features: np.ndarray, labels: np.ndarray) -> None:
    np.savez(path, features=features, labels=labels)


@pytest.fixture
def copied(tmp_path: Path, real_authors: Path) -> Path:
    for file in AUTHORS.files:
        shutil.copyfile(real_authors / file.name, tmp_path / file.name)
    return tmp_path


def test_the_authors_parts_are_the_published_ones_with_thirty_of_each_digit_held_out(
    real_authors: Path, real_maps: tuple[np.ndarray, np.ndarray]
) -> None:
    data = load_spoken_digits(real_authors, source="authors")
    assert (len(data.training), len(data.validation), len(data.test)) == (1_800, 300, 900)
    assert data.validation.targets.bincount().tolist() == [30] * 10
    maps, labels = real_maps
    np.testing.assert_array_equal(data.test.inputs[:, 0].numpy(), maps[2_100:])
    np.testing.assert_array_equal(data.test.targets.numpy(), labels[2_100:])
    both = data.training_and_validation
    dealt = sorted(zip(both.targets.tolist(), both.inputs.sum((1, 2, 3)).tolist(), strict=True))
    given = torch.from_numpy(maps[:2_100]).unsqueeze(1).sum((1, 2, 3)).tolist()
    np.testing.assert_allclose(dealt, sorted(zip(labels[:2_100], given, strict=True)), rtol=1e-5)


def test_swapped_parts_are_refused(copied: Path) -> None:
    train, test = (copied / file.name for file in AUTHORS.files)
    aside = train.rename(copied / "aside")
    test.rename(train)
    aside.rename(test)
    with pytest.raises(FileError, match=r"train.npz holds maps \(900, 23, 20\).*swapped"):
        load_authors_maps(copied)


def test_maps_that_are_not_the_authors_own_are_refused(
    copied: Path, real_maps: tuple[np.ndarray, np.ndarray]
) -> None:
    maps, labels = real_maps
    save(copied / AUTHORS.files[1].name, maps[2_100:] * 0.99, labels[2_100:])
    with pytest.raises(FileError, match=r"test.npz does not hold the authors' own maps"):
        load_authors_maps(copied)


def test_the_same_arrays_packed_anew_are_taken(
    copied: Path, real_maps: tuple[np.ndarray, np.ndarray]
) -> None:
    maps, labels = real_maps
    path = copied / AUTHORS.files[1].name
    np.savez_compressed(path, features=maps[2_100:], labels=labels[2_100:].astype(np.uint8))
    assert len(load_authors_maps(copied).test) == 900


@pytest.mark.parametrize("damage", ["cut", "text", "empty", "names"])
def test_a_damaged_file_of_maps_is_named(tmp_path: Path, damage: str) -> None:
    for file in AUTHORS.files:
        save(tmp_path / file.name, np.zeros((4, 23, 20), np.float32), np.zeros(4))
    path = tmp_path / AUTHORS.files[0].name
    if damage == "names":
        np.savez(path, maps=np.zeros(3))
    else:
        contents = {"cut": path.read_bytes()[:500], "text": b"<html>not found", "empty": b""}
        path.write_bytes(contents[damage])
    with pytest.raises(FileError, match=r"reference_features_train.npz cannot be read"):
        load_authors_maps(tmp_path)


# --- The real recordings --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def real(real_fsdd: Path) -> Data:
    return load_spoken_digits(real_fsdd.parent)


def test_the_real_maps_go_with_their_digits(real: Data) -> None:
    for part in (real.training, real.validation, real.test):
        assert part.inputs.shape[1:] == (1, 23, 20)
        assert part.inputs.dtype == torch.float32
        assert part.targets.dtype == torch.int64
        assert 0.0 <= float(part.inputs.min()) < float(part.inputs.max()) <= 1.0


def test_the_real_test_set_is_the_same_for_ever(real: Data) -> None:
    # A change of these sums makes all earlier results incomparable.
    sums = [float(part.inputs.double().sum()) for part in (real.test, real.validation)]
    assert sums == pytest.approx([27_844.0, 28_045.7], abs=0.2)
