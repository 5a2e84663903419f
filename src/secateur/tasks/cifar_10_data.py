"""CIFAR-10: 60 000 coloured pictures of 32 x 32 in ten classes, from its owners' binary version."""

import os
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from secateur.errors import FileError
from secateur.tasks.contents import check_contents, open_contents
from secateur.tasks.crops import Crops
from secateur.tasks.data import Data, stratified
from secateur.tasks.download import OnBytes
from secateur.tasks.locate import locate, places_of
from secateur.tasks.published import PublishedFile, PublishedSet

CLASSES = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip
VALIDATION_PER_CLASS = 500
_SIDE = 32
_BYTES = 1 + 3 * _SIDE**2  # a label, then the red, green and blue planes
_SIZE = 10_000 * _BYTES
# Names of the version whose files are pickles.
_PICKLED = ("data_batch_1", "test_batch", "cifar-10-batches-py", "cifar-10-python.tar.gz")

CIFAR_10 = PublishedSet(
    name="cifar-10",
    title="CIFAR-10, binary version,",
    folder="cifar-10-batches-bin",
    files=tuple(
        PublishedFile(name, _SIZE, sha256)
        for name, sha256 in (
            ("data_batch_1.bin",
             "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5"),
            ("data_batch_2.bin",
             "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed"),
            ("data_batch_3.bin",
             "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67"),
            ("data_batch_4.bin",
             "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48"),
            ("data_batch_5.bin",
             "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add"),
            ("test_batch.bin",
             "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b"),
        )
    ),
    owner="University of Toronto",
    licence="none stated; free to use, to be cited as Krizhevsky (2009)",
    addresses=("https://www.cs.toronto.edu/~kriz/",),
    archive=PublishedFile(
        "cifar-10-binary.tar.gz",
        170_052_171,
        "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
    ),
)  # fmt: skip


def load_cifar_10(
    data: str | os.PathLike[str] | None = None,
    *,
    augmented: bool = True,
    published: PublishedSet = CIFAR_10,
    validation_per_class: int = VALIDATION_PER_CLASS,
    allow_download: bool = True,
    on_bytes: OnBytes | None = None,
) -> Data[Crops]:
    """Find, verify and load CIFAR-10.

    Args:
        data: its folder or the one around it; see `locate` for where else it is looked for.
        augmented: training pictures are shifted by up to 4 pixels and mirrored by chance, anew in
            every epoch.
        published: names, sizes and checksums.
        validation_per_class: pictures of each class out of the owners' training pictures.
        allow_download: whether the network may be used.
        on_bytes: told of the progress of a download.

    Returns:
        45 000 training, 5 000 validation and 10 000 test pictures with as many of every class,
        the same in every run.

    Raises:
        FileError: not found, incomplete, a file that is not the published one, or the version
            made of pickles, which is never read.
    """
    _refuse_pickles(published, data)
    folder = locate(published, data, allow_download=allow_download, on_bytes=on_bytes)
    *training, test = (_read(folder, file) for file in published.files)
    pictures = torch.cat([part[0] for part in training])
    targets = torch.cat([part[1] for part in training])
    counts = [[validation_per_class]] * len(CLASSES)
    held, rest = stratified(targets, counts, name="cifar-10 validation 1")
    return Data(
        training=Crops(pictures[rest], targets[rest], augmented=augmented),
        validation=Crops(pictures[held], targets[held], augmented=False),
        test=Crops(*test, augmented=False),
    )


def _read(folder: Path, file: PublishedFile) -> tuple[Tensor, Tensor]:
    path = file.path_in(folder)
    if path is None:
        raise FileError(f"{file.name} of CIFAR-10 has just gone", where=str(folder))
    check_contents(path, file)
    with open_contents(path) as contents:
        records: NDArray[np.uint8] = np.frombuffer(bytearray(contents.read()), dtype=np.uint8)
    records = records.reshape(-1, _BYTES)
    pictures = records[:, 1:].reshape(-1, 3, _SIDE, _SIDE)
    return torch.from_numpy(pictures.copy()), torch.from_numpy(records[:, 0].astype(np.int64))


def _refuse_pickles(published: PublishedSet, data: str | os.PathLike[str] | None) -> None:
    """Says so where somebody has the version for Python, rather than that nothing was found."""
    for place in places_of(published, data):
        found = [name for name in _PICKLED if (place / name).exists()]
        if (
            found
            and published.missing_from(place)
            and published.missing_from(place / published.folder)
        ):
            raise FileError(
                f"{found[0]} belongs to CIFAR-10's Python version, whose files are pickles",
                where=str(place),
                cause="the owners publish three versions; reading a pickle can run any code in it",
                remedy="Get the binary version, cifar-10-binary.tar.gz, which needs no trust",
            )
