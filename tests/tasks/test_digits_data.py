"""scikit-learn's digits, split once and for all."""

import hashlib

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits as bundled

from secateur.tasks import digits_data
from secateur.tasks.data import Data
from secateur.tasks.digits_data import CLASSES, load_digits


@pytest.fixture(scope="module")
def digits() -> Data:
    return load_digits()


def test_each_split_has_its_share_of_every_class(digits: Data) -> None:
    assert [len(split) for split in (digits.training, digits.validation, digits.test)] == [
        1079,
        359,
        359,
    ]
    totals = torch.from_numpy(bundled().target).bincount()
    for split, share in ((digits.training, 0.6), (digits.validation, 0.2), (digits.test, 0.2)):
        counts = split.targets.bincount(minlength=len(CLASSES))
        assert ((counts - share * totals).abs() <= 1).all()


def test_the_splits_together_are_the_whole_file_once(digits: Data) -> None:
    both = digits.training_and_validation
    dealt = torch.cat([both.inputs, digits.test.inputs])[:, 0] * 16
    labels = torch.cat([both.targets, digits.test.targets])
    rows = [
        (int(label), *image.flatten().int().tolist())
        for image, label in zip(dealt, labels, strict=True)
    ]
    source = bundled()
    expected = [
        (int(label), *image.ravel().astype(int))
        for image, label in zip(source.images, source.target, strict=True)
    ]
    assert sorted(rows) == sorted(expected)


def test_inputs_are_float_images_from_0_to_1(digits: Data) -> None:
    assert digits.test.inputs.shape == (359, 1, 8, 8)
    assert digits.test.inputs.dtype == torch.float32
    assert digits.test.targets.dtype == torch.int64
    assert (digits.training.inputs.min(), digits.training.inputs.max()) == (0, 1)


def test_the_test_set_is_the_same_for_ever(digits: Data) -> None:
    # A change of this checksum makes all earlier results incomparable.
    grey = (digits.test.inputs * 16).to(torch.uint8).numpy().tobytes()
    assert hashlib.sha256(grey).hexdigest()[:16] == "7665a64e1058bbcf"


@pytest.mark.parametrize("found", [True, False])
def test_the_file_is_read_as_scikit_learn_reads_it(
    found: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not found:
        # As if a version kept it elsewhere.
        monkeypatch.setattr(digits_data, "find_spec", lambda name: None)
    table, source = digits_data.bundled_table(), bundled()
    assert np.array_equal(table[:, :-1], source.data)
    assert np.array_equal(table[:, -1], source.target)
