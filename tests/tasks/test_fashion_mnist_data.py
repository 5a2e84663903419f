"""Fashion-MNIST: the published 70 000 or a refusal that names the file."""

import gzip
import hashlib
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from leaves import idx_bytes
from torch.nn.functional import max_pool2d

from secateur.errors import FileError, SettingError
from secateur.tasks.contents import check_contents
from secateur.tasks.data import Data
from secateur.tasks.fashion_mnist_data import (
    CLASSES,
    FASHION_MNIST,
    arrange,
    load_fashion_mnist,
)

NAMES = [file.name for file in FASHION_MNIST.files]
TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS = NAMES


def small(count: int, side: int = 6) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(count)
    images = generator.integers(0, 256, (count, side, side), dtype=np.uint8)
    return images, (np.arange(count) % 10).astype(np.uint8)


def test_bytes_become_floats_from_0_to_1_with_a_channel() -> None:
    images, labels = small(40)
    data = arrange(images, labels, images, labels, pooled=False, validation_per_class=1)
    assert data.test.inputs.dtype == torch.float32
    assert data.test.inputs.shape == (40, 1, 6, 6)
    np.testing.assert_array_equal(
        data.test.inputs[:, 0].numpy(), images.astype(np.float32) / np.float32(255)
    )
    assert data.test.targets.tolist() == labels.tolist()


def test_pooling_takes_the_largest_of_every_2_by_2_pixels() -> None:
    images, labels = small(40)
    plain = arrange(images, labels, images, labels, pooled=False, validation_per_class=1)
    pooled = arrange(images, labels, images, labels, pooled=True, validation_per_class=1)
    for name in "training", "validation", "test":
        expected = max_pool2d(getattr(plain, name).inputs, 2)
        assert torch.equal(getattr(pooled, name).inputs, expected)
        assert torch.equal(getattr(pooled, name).targets, getattr(plain, name).targets)


def test_images_keep_their_labels_when_dealt_out() -> None:
    labels = (np.arange(100) % 10).astype(np.uint8)
    images = np.broadcast_to(labels[:, None, None], (100, 2, 2)).copy()
    data = arrange(images, labels, images, labels, pooled=True, validation_per_class=3)
    for split in data.training, data.validation, data.training_and_validation:
        assert torch.equal((split.inputs.flatten() * 255).round().long(), split.targets)
    assert data.validation.targets.bincount().tolist() == [3] * 10
    assert data.training.targets.bincount().tolist() == [7] * 10


def test_as_many_labels_as_images() -> None:
    images, labels = small(40)
    with pytest.raises(SettingError, match="40 inputs has 39 targets"):
        arrange(images, labels[:-1], images, labels, pooled=False, validation_per_class=1)


@pytest.fixture
def blank(tmp_path: Path) -> Path:
    """All four files with the right names and shapes, and nothing but zeros in them."""
    shapes = ((60_000, 28, 28), (60_000,), (10_000, 28, 28), (10_000,))
    for name, shape in zip(NAMES, shapes, strict=True):
        contents = idx_bytes(np.zeros(shape, np.uint8))
        (tmp_path / name).write_bytes(gzip.compress(contents, 1))
    return tmp_path


def test_another_data_set_of_the_same_shape_is_refused_by_its_checksum(blank: Path) -> None:
    with pytest.raises(FileError, match=rf"contents of {TRAIN_IMAGES} are not the published ones"):
        load_fashion_mnist(blank)


@pytest.mark.parametrize(
    ("one", "other", "found"),
    [
        (TRAIN_IMAGES, TRAIN_LABELS, "60000 where 60000 x 28 x 28 is wanted"),
        (TRAIN_IMAGES, TEST_IMAGES, "10000 x 28 x 28 where 60000 x 28 x 28 is wanted"),
    ],
    ids=["images-labels", "train-test"],
)
def test_swapped_files_are_named(blank: Path, one: str, other: str, found: str) -> None:
    aside = (blank / one).rename(blank / "aside")
    (blank / other).rename(blank / one)
    aside.rename(blank / other)
    with pytest.raises(FileError, match=f"{one} holds an array of {found}.*swapped"):
        load_fashion_mnist(blank)


def test_a_missing_file_is_named(blank: Path) -> None:
    (blank / TEST_LABELS).unlink()
    with pytest.raises(FileError, match=f"Fashion-MNIST is incomplete: {TEST_LABELS} missing"):
        load_fashion_mnist(blank)


def test_the_refusal_of_a_machine_without_it_names_the_package_and_the_variable(
    tmp_path: Path,
) -> None:
    with pytest.raises(FileError) as refusal:
        load_fashion_mnist(tmp_path)
    for way in "--data", "$SECATEUR_DATA", "apt install dataset-fashion-mnist", "amazonaws.com":
        assert way in str(refusal.value)


@pytest.fixture(scope="module")
def real(real_fashion_mnist: Path) -> Data:
    return load_fashion_mnist(real_fashion_mnist)


def test_the_real_files_are_the_published_ones(real_fashion_mnist: Path) -> None:
    for file in FASHION_MNIST.files:
        path = file.path_in(real_fashion_mnist)
        assert path is not None
        check_contents(path, file)


def test_the_real_splits_hold_50_10_and_10_thousand_with_equal_classes(real: Data) -> None:
    for split, count in ((real.training, 50_000), (real.validation, 10_000), (real.test, 10_000)):
        assert split.inputs.shape == (count, 1, 14, 14)
        assert split.targets.bincount().tolist() == [count // len(CLASSES)] * len(CLASSES)
        assert (split.inputs.min(), split.inputs.max()) == (0, 1)
    assert len(real.training_and_validation) == 60_000


def test_the_real_validation_images_are_the_same_for_ever(real: Data) -> None:
    # A change of this checksum makes all earlier results incomparable.
    grey = (real.validation.inputs * 255).round().to(torch.uint8).numpy().tobytes()
    assert hashlib.sha256(grey).hexdigest()[:16] == "e894c1745235cd12"


def test_one_truncated_real_file_is_refused_by_name(
    real_fashion_mnist: Path, tmp_path: Path
) -> None:
    for file in FASHION_MNIST.files:
        path = file.path_in(real_fashion_mnist)
        assert path is not None
        shutil.copy(path, tmp_path)
    cut = tmp_path / TEST_IMAGES
    cut.chmod(0o600)
    cut.write_bytes(cut.read_bytes()[:4_000_000])
    with pytest.raises(FileError, match=rf"ends too early.*{TEST_IMAGES}"):
        load_fashion_mnist(tmp_path)
