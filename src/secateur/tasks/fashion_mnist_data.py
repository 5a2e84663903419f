"""Fashion-MNIST: 70 000 grey pictures of clothes, 28 x 28, in ten classes."""

import os
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from secateur.errors import FileError
from secateur.tasks.data import Data, Split, stratified
from secateur.tasks.download import OnBytes
from secateur.tasks.idx import read_idx
from secateur.tasks.locate import locate
from secateur.tasks.published import PublishedFile, PublishedSet

CLASSES = (
    "T-shirt/top",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
)
VALIDATION_PER_CLASS = 1_000
_SIDE = 28
_TRAINING, _TEST = 60_000, 10_000

FASHION_MNIST = PublishedSet(
    name="fashion-mnist",
    title="Fashion-MNIST",
    folder="fashion-mnist",
    files=(
        PublishedFile(
            "train-images-idx3-ubyte.gz",
            47_040_016,
            "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        ),
        PublishedFile(
            "train-labels-idx1-ubyte.gz",
            60_008,
            "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        ),
        PublishedFile(
            "t10k-images-idx3-ubyte.gz",
            7_840_016,
            "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        ),
        PublishedFile(
            "t10k-labels-idx1-ubyte.gz",
            10_008,
            "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
        ),
    ),
    owner="Zalando Research",
    licence="MIT",
    addresses=(
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
    ),
    debian_package="dataset-fashion-mnist",
    debian_folder=Path("/usr/share/datasets/fashion-mnist"),
)


def load_fashion_mnist(
    data: str | os.PathLike[str] | None = None,
    *,
    pooled: bool = True,
    allow_download: bool = True,
    on_bytes: OnBytes | None = None,
) -> Data[Split]:
    """Find, verify and load Fashion-MNIST.

    Args:
        data: its folder or the one around it; see `locate` for where else it is looked for.
        pooled: the largest of every 2 x 2 pixels, as in the paper: 14 x 14 pictures.
        allow_download: whether the network may be used.
        on_bytes: told of the progress of a download.

    Returns:
        50 000 training, 10 000 validation and 10 000 test pictures, each split with as many of
        every class. Inputs (N, 1, 28, 28) or (N, 1, 14, 14), float32 from 0 (background) to 1.
        The validation pictures are 1 000 of each class out of the owners' 60 000, the same in
        every run.

    Raises:
        FileError: not found, incomplete, or a file that is not the published one.
    """
    folder = locate(FASHION_MNIST, data, allow_download=allow_download, on_bytes=on_bytes)
    train_images, train_labels, test_images, test_labels = FASHION_MNIST.files
    return arrange(
        _read(folder, train_images, (_TRAINING, _SIDE, _SIDE)),
        _read(folder, train_labels, (_TRAINING,)),
        _read(folder, test_images, (_TEST, _SIDE, _SIDE)),
        _read(folder, test_labels, (_TEST,)),
        pooled=pooled,
        validation_per_class=VALIDATION_PER_CLASS,
    )


def arrange(
    train_images: NDArray[np.uint8],
    train_labels: NDArray[np.uint8],
    test_images: NDArray[np.uint8],
    test_labels: NDArray[np.uint8],
    *,
    pooled: bool,
    validation_per_class: int,
) -> Data[Split]:
    """Pictures (N, even height, even width) of bytes and their labels (N,) as splits of tensors.

    Raises:
        SettingError: pictures and labels differ in number, or a class has too few pictures.
    """
    train = Split(_inputs(train_images, pooled), _targets(train_labels))
    counts = [[validation_per_class]] * len(CLASSES)
    validation, training = stratified(train.targets, counts, name="fashion-mnist validation 1")
    return Data(
        training=Split(train.inputs[training], train.targets[training]),
        validation=Split(train.inputs[validation], train.targets[validation]),
        test=Split(_inputs(test_images, pooled), _targets(test_labels)),
    )


def _read(folder: Path, file: PublishedFile, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    path = file.path_in(folder)
    if path is None:
        raise FileError(f"{file.name} of Fashion-MNIST has just gone", where=str(folder))
    return read_idx(path, shape=shape, sha256=file.sha256)


def _inputs(images: NDArray[np.uint8], pooled: bool) -> Tensor:
    if pooled:
        # On the bytes: a quarter of the floats, and the same, since dividing keeps the order.
        count, height, width = images.shape
        images = images.reshape(count, height // 2, 2, width // 2, 2).max(axis=(2, 4))
    return torch.from_numpy(images).unsqueeze(1).to(torch.float32).div_(255)


def _targets(labels: NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(labels).to(torch.int64)
