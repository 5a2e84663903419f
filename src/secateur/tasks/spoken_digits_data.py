"""Spoken digits: 3 000 recordings of six speakers, three ways to split them."""

import hashlib
import os
from collections.abc import Iterable
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from secateur.errors import FileError, SettingError, nearest
from secateur.tasks.data import Data, Split
from secateur.tasks.locate import locate
from secateur.tasks.published import PublishedFile, PublishedSet
from secateur.tasks.spoken_digits_authors import load_authors_maps
from secateur.tasks.spoken_digits_features import SAMPLE_RATE, feature_map
from secateur.tasks.wav import read_wav

SPEAKERS = ("george", "jackson", "lucas", "nicolas", "theo", "yweweler")
SOURCES = ("fsdd", "speaker", "authors")
DIGITS, TAKES = 10, 50
TEST_TAKES = range(5)
VALIDATION_TAKES = range(5, 10)
_FULL_SCALE = 32_768.0


class Recording(NamedTuple):
    """One take of one speaker saying one digit."""

    digit: int
    speaker: str
    take: int

    @property
    def file(self) -> str:
        """The name that its owners give it."""
        return f"{self.digit}_{self.speaker}_{self.take}.wav"


RECORDINGS = tuple(
    Recording(digit, speaker, take)
    for digit in range(DIGITS)
    for speaker in SPEAKERS
    for take in range(TAKES)
)

# No download: the owners publish a repository, and three thousand requests for single files would
# be a burden to them.
FSDD = PublishedSet(
    name="fsdd",
    title="The Free Spoken Digit Dataset",
    folder="fsdd",
    files=tuple(PublishedFile(f"recordings/{recording.file}") for recording in RECORDINGS),
    owner="Zohar Jackson and others",
    licence="CC-BY-SA-4.0",
    by_hand="`git clone https://github.com/Jakobovski/free-spoken-digit-dataset fsdd`",
)


def load_spoken_digits(
    data: str | os.PathLike[str] | None = None, *, source: str = "fsdd", speaker: str = "theo"
) -> Data[Split]:
    """Find, verify and load spoken digits as feature maps.

    - `fsdd`: the owners' split. Of every speaker and digit, takes 0-4 are the test set (300), 5-9
      validation (300), 10-49 training (2 400). All speakers are known from training.
    - `speaker`: the test set is all of one speaker (500), who is heard nowhere else; validation is
      all of the next one in `SPEAKERS`, so that settings are chosen for a stranger too. The other
      four train, and the validation speaker with them in a reported run.
    - `authors`: the maps and the random split of the paper's authors, see `load_authors_maps`.

    Maps are made anew at each call: two seconds, and nothing that could go stale.

    Args:
        data: the folder of the recordings or the one around it; see `locate` for where else it is
            looked for.
        source: one of `SOURCES`.
        speaker: who is held out; heeded by `speaker` alone.

    Returns:
        Inputs (N, 1, 23, 20), float32 from 0 to 1; targets (N,), the digit.

    Raises:
        FileError: recordings or maps that are missing, or are not the published ones.
        SettingError: an unknown source or speaker.
    """
    if source not in SOURCES:
        raise SettingError(f"task.source is {source!r}", remedy=nearest(source, SOURCES))
    if speaker not in SPEAKERS:
        raise SettingError(
            f"There is no recording of a speaker {speaker!r}", remedy=nearest(speaker, SPEAKERS)
        )
    if source == "authors":
        return load_authors_maps(data)
    folder = locate(FSDD, data) / "recordings"
    maps = torch.from_numpy(np.stack([_map(folder / recording.file) for recording in RECORDINGS]))
    return by_speaker(maps, speaker) if source == "speaker" else by_take(maps)


def by_take(maps: Tensor) -> Data[Split]:
    """The owners' split of maps (3000, 23, 20) in the order of `RECORDINGS`."""
    held_out = {*TEST_TAKES, *VALIDATION_TAKES}
    return Data(
        training=_split(maps, (r.take not in held_out for r in RECORDINGS)),
        validation=_split(maps, (r.take in VALIDATION_TAKES for r in RECORDINGS)),
        test=_split(maps, (r.take in TEST_TAKES for r in RECORDINGS)),
    )


def by_speaker(maps: Tensor, speaker: str) -> Data[Split]:
    """The split of maps (3000, 23, 20), in the order of `RECORDINGS`, that holds out a speaker."""
    following = SPEAKERS[(SPEAKERS.index(speaker) + 1) % len(SPEAKERS)]
    return Data(
        training=_split(maps, (r.speaker not in {speaker, following} for r in RECORDINGS)),
        validation=_split(maps, (r.speaker == following for r in RECORDINGS)),
        test=_split(maps, (r.speaker == speaker for r in RECORDINGS)),
    )


def _split(maps: Tensor, chosen: Iterable[bool]) -> Split:
    places = torch.tensor(list(chosen)).nonzero().flatten()
    digits = torch.tensor([recording.digit for recording in RECORDINGS])
    return Split(maps[places].unsqueeze(1), digits[places])


def _map(path: Path) -> NDArray[np.float32]:
    """The map of a recording in its place; FileError where it is not the one published there."""
    samples = read_wav(path, sample_rate=SAMPLE_RATE)
    try:
        result = feature_map(samples / _FULL_SCALE)
    except SettingError as error:
        raise FileError(
            f"{path.name}: {error.what}", where=str(path), cause=error.cause, remedy=error.remedy
        ) from error
    published, found = _published(), checksum(samples)
    if published[path.name] != found:
        owner = next((name for name, known in published.items() if known == found), None)
        what = f"the recording published as {owner}" if owner else "not the published recording"
        raise FileError(
            f"{path.name} is {what}",
            where=str(path),
            cause="files that were renamed or swapped"
            if owner
            else "a copy that was cut, resampled or damaged, or a recording of your own",
            remedy="Get the recordings again as their owners publish them",
        )
    return result


def checksum(samples: NDArray[np.int16]) -> str:
    """Of a recording's samples, whatever its header says: eight digits, against accidents only."""
    return hashlib.sha256(samples.astype("<i2").tobytes()).hexdigest()[:8]


@lru_cache(maxsize=1)
def _published() -> dict[str, str]:
    """Checksums by file name: a line of the table holds the takes of a digit and a speaker."""
    text = (resources.files("secateur.tasks") / "fsdd_checksums.txt").read_text(encoding="utf-8")
    found: dict[str, str] = {}
    for line in text.splitlines():
        who, *checksums = line.split()
        found |= {f"{who}_{take}.wav": word for take, word in enumerate(checksums)}
    return found
