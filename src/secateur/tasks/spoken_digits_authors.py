"""The feature maps of spoken digits that the paper's authors publish with their code."""

import hashlib
import os
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from secateur.errors import FileError
from secateur.tasks.data import Data, Split, stratified
from secateur.tasks.locate import locate
from secateur.tasks.published import PublishedFile, PublishedSet
from secateur.tasks.spoken_digits_features import FRAMES, ROWS

DIGITS = 10
VALIDATION_PER_CLASS = 30

AUTHORS = PublishedSet(
    name="fsdd-authors",
    title="The set of feature maps of the paper's authors",
    folder="fsdd",
    files=(
        PublishedFile("reference_features_train.npz"),
        PublishedFile("reference_features_test.npz"),
    ),
    owner="the authors of arXiv 2311.07164",
    licence="that of their code, which ships them",
    by_hand="the authors' code, and save its maps under these names by numpy.savez as `features` "
    "(N, 23, 20) and `labels` (N,); or do without: --set task.source=fsdd makes the same maps of "
    "the recordings",
)


@dataclass(frozen=True)
class _Part:
    """One of the two files: its samples, and sha256 of its float32 maps and int64 labels."""

    file: PublishedFile
    count: int
    sha256: str


_TRAINING, _TEST = (
    _Part(
        AUTHORS.files[0],
        2_100,
        "fe8c5515e3cd9aa85ccb4aef6ee1ddd7f93bce10a063a659f4600ee2ecd4952b",
    ),
    _Part(
        AUTHORS.files[1],
        900,
        "8e22de5ab9aaadaa4973ffd0a3ea32a26c59d59365f6176a5f1e161984670026",
    ),
)


def load_authors_maps(data: str | os.PathLike[str] | None = None) -> Data[Split]:
    """The authors' maps in the authors' split: 900 for test, 2 100 for training.

    30 of each digit are taken out of the 2 100 for validation, the same in every run. The split is
    random over the 3 000 recordings: every speaker is in every part.

    Args:
        data: their folder or the one around it; see `locate` for where else it is looked for.

    Returns:
        Inputs (N, 1, 23, 20), float32 from 0 to 1; targets (N,), the digit.

    Raises:
        FileError: not found, damaged, or other than the authors' own.
    """
    folder = locate(AUTHORS, data)
    train, test = (_read(folder / part.file.name, part) for part in (_TRAINING, _TEST))
    counts = [[VALIDATION_PER_CLASS]] * DIGITS
    validation, training = stratified(train.targets, counts, name="fsdd-authors validation 1")
    return Data(
        training=Split(train.inputs[training], train.targets[training]),
        validation=Split(train.inputs[validation], train.targets[validation]),
        test=test,
    )


def _read(path: Path, part: _Part) -> Split:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            maps, labels = arrays["features"], arrays["labels"]
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise FileError(
            f"{path.name} cannot be read: {error}",
            where=str(path),
            cause="a copy that was cut off, or arrays under other names",
            remedy="Save it anew by numpy.savez as `features` and `labels`",
        ) from error
    shape = (part.count, ROWS, FRAMES)
    if maps.shape != shape or labels.shape != shape[:1]:
        raise FileError(
            f"{path.name} holds maps {maps.shape} and labels {labels.shape} where {shape} and "
            f"{shape[:1]} are wanted",
            where=str(path),
            cause="training and test files that were swapped",
            remedy="Put each file back under its own name",
        )
    maps, labels = maps.astype("<f4"), labels.astype("<i8")
    if hashlib.sha256(maps.tobytes() + labels.tobytes()).hexdigest() != part.sha256:
        raise FileError(
            f"{path.name} does not hold the authors' own maps",
            where=str(path),
            cause="maps that were made anew, scaled, or put in another order",
            remedy="Save the authors' arrays as they are, or use --set task.source=fsdd, which "
            "makes maps of the recordings",
        )
    return Split(torch.from_numpy(maps).unsqueeze(1), torch.from_numpy(labels))
