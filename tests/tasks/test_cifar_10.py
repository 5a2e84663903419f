"""CIFAR-10 comes from its owners' binary version, checked, and never from pickles."""

import hashlib
import io
import pickle
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from leaves import Owner

from secateur.errors import FileError
from secateur.tasks.cifar_10_data import CIFAR_10, load_cifar_10
from secateur.tasks.crops import Crops, shifted
from secateur.tasks.locate import locate
from secateur.tasks.published import PublishedFile, PublishedSet

RECORDS = 40


def records(number: int) -> bytes:
    """Forty records of one file: classes in turn, a colour for each plane."""
    draw = np.random.default_rng(number)
    found = draw.integers(0, 256, (RECORDS, 3073), dtype=np.uint8)
    found[:, 0] = np.arange(RECORDS) % 10
    return found.tobytes()


CONTENTS = {file.name: records(n) for n, file in enumerate(CIFAR_10.files)}


def packed(contents: dict[str, bytes]) -> bytes:
    """An archive with a folder, as the owners', and a member that tries to leave it."""
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w:gz") as archive:
        named = {f"cifar-10-batches-bin/{name}": body for name, body in contents.items()}
        for path, body in {**named, "../outside.bin": b"x"}.items():
            member = tarfile.TarInfo(path)
            member.size = len(body)
            archive.addfile(member, io.BytesIO(body))
    return whole.getvalue()


def made_up(*addresses: str, archive: bytes = b"") -> PublishedSet:
    """CIFAR-10 with other pictures."""
    return replace(
        CIFAR_10,
        files=tuple(
            PublishedFile(name, len(body), hashlib.sha256(body).hexdigest())
            for name, body in CONTENTS.items()
        ),
        addresses=addresses,
        archive=PublishedFile(
            "cifar-10-binary.tar.gz", len(archive), hashlib.sha256(archive).hexdigest()
        ),
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "data" / "cifar-10-batches-bin"
    place.mkdir(parents=True)
    for name, body in CONTENTS.items():
        (place / name).write_bytes(body)
    return place


def test_records_become_pictures_and_splits(folder: Path) -> None:
    data = load_cifar_10(folder.parent, published=made_up(), validation_per_class=4)
    assert [len(part) for part in (data.training, data.validation, data.test)] == [160, 40, 40]
    assert data.validation.targets.bincount().tolist() == [4] * 10
    first = np.frombuffer(CONTENTS["test_batch.bin"], np.uint8)[:3073]
    inputs, targets = data.test.batch(torch.tensor([0]))
    assert int(targets[0]) == first[0]
    # A label, then the red, the green and the blue plane, row by row; from -1 to 1.
    expected = first[1:].reshape(3, 32, 32).astype(np.float32) / 127.5 - 1.0
    np.testing.assert_allclose(inputs[0].numpy(), expected, atol=1e-6)
    assert (data.training.augmented, data.validation.augmented, data.test.augmented) == (
        True, False, False,
    )  # fmt: skip
    assert set(data.training.examples(["first", "second"])) == {"first", "second"}


def test_the_reported_run_trains_on_both_parts_augmented(folder: Path) -> None:
    data = load_cifar_10(folder, published=made_up(), validation_per_class=4)
    both = data.training_and_validation
    assert (len(both), both.augmented) == (200, True)


def test_a_window_depends_on_epoch_and_place_alone() -> None:
    pictures = torch.randint(0, 256, (8, 3, 32, 32), dtype=torch.uint8)
    samples = Crops(pictures, torch.arange(8), augmented=True)
    whole, _ = samples.batch(torch.arange(8), key=5)
    some, targets = samples.batch(torch.tensor([6, 2]), key=5)
    assert torch.equal(some, whole[[6, 2]])
    assert targets.tolist() == [6, 2]
    assert not torch.equal(whole, samples.batch(torch.arange(8), key=6)[0])


def test_windows_reach_every_shift_alike_and_mirror_half() -> None:
    """A single bright pixel in the middle tells where a window lay."""
    count = 20_000
    picture = torch.zeros(1, 1, 32, 32)
    picture[0, 0, 16, 12] = 1.0
    seen = shifted(picture.expand(count, 1, 32, 32), torch.arange(count), key=1)
    rows, columns = seen.flatten(1).argmax(1) // 32, seen.flatten(1).argmax(1) % 32
    assert torch.equal(seen.flatten(1).sum(1), torch.ones(count))
    counts = (rows - 12).bincount(minlength=9)
    # Nine shifts; four standard errors of a binomial count.
    assert len(counts) == 9
    assert float((counts / count - 1 / 9).abs().max()) < 4 * (8 / 81 / count) ** 0.5
    plain, mirrored = set(range(8, 17)), set(range(15, 24))
    assert set(columns.tolist()) == plain | mirrored
    only_mirrored = float((columns > 16).double().mean())
    assert only_mirrored == pytest.approx(0.5 * 7 / 9, abs=4 * (0.25 / count) ** 0.5)


def test_it_is_downloaded_as_the_owners_archive_and_unpacked(
    owner: Owner, cache: Path, tmp_path: Path
) -> None:
    archive = packed(CONTENTS)
    owner.publish("cifar-10-binary.tar.gz", archive)
    found = locate(made_up(owner.address, archive=archive))
    assert {path.name: path.read_bytes() for path in found.iterdir()} == CONTENTS
    assert owner.asked == ["cifar-10-binary.tar.gz"]
    assert not list(tmp_path.rglob("outside.bin"))


def test_an_archive_of_other_contents_is_refused(owner: Owner) -> None:
    archive = packed({**CONTENTS, "test_batch.bin": records(99)})
    owner.publish("cifar-10-binary.tar.gz", archive)
    with pytest.raises(FileError, match="could not be downloaded"):
        locate(made_up(owner.address, archive=packed(CONTENTS)))
    with pytest.raises(FileError, match=r"test_batch\.bin.* are not the published ones"):
        locate(made_up(owner.address, archive=archive))
    short = packed({name: CONTENTS[name] for name in list(CONTENTS)[:-1]})
    owner.publish("cifar-10-binary.tar.gz", short)
    with pytest.raises(FileError, match=r"lacks test_batch\.bin"):
        locate(made_up(owner.address, archive=short))


def test_a_changed_file_is_refused_by_name(folder: Path) -> None:
    path = folder / "data_batch_3.bin"
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    with pytest.raises(FileError, match=r"data_batch_3\.bin"):
        load_cifar_10(folder, published=made_up())


class Bomb:
    """Runs code where somebody unpickles it."""

    def __init__(self, touched: Path) -> None:
        self.touched = touched

    def __reduce__(self) -> tuple:
        return Path.touch, (self.touched,)


@pytest.mark.parametrize("inside", ["", "cifar-10-batches-py"])
def test_the_version_of_pickles_is_refused_and_never_read(tmp_path: Path, inside: str) -> None:
    place = tmp_path / "data" / inside
    place.mkdir(parents=True)
    touched = tmp_path / "touched"
    (place / "data_batch_1").write_bytes(pickle.dumps(Bomb(touched)))
    with pytest.raises(FileError, match=r"pickles.*binary version"):
        load_cifar_10(tmp_path / "data", published=made_up())
    assert not touched.exists()


def test_pickles_beside_the_binary_version_do_not_matter(folder: Path) -> None:
    (folder.parent / "cifar-10-batches-py").mkdir()
    assert len(load_cifar_10(folder.parent, published=made_up(), validation_per_class=4).test) == 40
