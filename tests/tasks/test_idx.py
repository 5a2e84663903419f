"""IDX files are read exactly as written, or refused by name."""

import gzip
import hashlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from leaves import idx_bytes

from secateur.errors import FileError
from secateur.tasks.idx import read_idx

IMAGES = np.arange(3 * 4 * 5, dtype=np.uint8).reshape(3, 4, 5)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "images-idx3-ubyte.gz"


@given(
    values=hnp.arrays(
        dtype=st.sampled_from(["u1", "i1", "i2", "i4", "f4", "f8"]),
        shape=hnp.array_shapes(max_dims=4, max_side=4),
    ),
    zipped=st.booleans(),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
def test_every_type_and_shape_comes_back_as_written(
    path: Path, values: np.ndarray, zipped: bool
) -> None:
    contents = idx_bytes(values)
    path.write_bytes(gzip.compress(contents, 1) if zipped else contents)
    read = read_idx(path)
    assert read.dtype == values.dtype
    assert read.dtype.isnative
    np.testing.assert_array_equal(read, values)


def test_the_header_is_big_endian_as_the_format_says(path: Path) -> None:
    path.write_bytes(bytes.fromhex("00 00 0b 01  00 00 00 02  01 00  ff fe"))
    assert read_idx(path).tolist() == [256, -2]


def test_the_contents_decide_whether_a_file_is_zipped_not_its_name(tmp_path: Path) -> None:
    zipped_without_suffix = tmp_path / "images-idx3-ubyte"
    zipped_without_suffix.write_bytes(gzip.compress(idx_bytes(IMAGES)))
    np.testing.assert_array_equal(read_idx(zipped_without_suffix), IMAGES)


@pytest.mark.parametrize("kept", [0, 1, 3, 4, 9, 15, 16, 17, 75])
def test_a_plain_file_cut_anywhere_is_refused_by_name(path: Path, kept: int) -> None:
    path.write_bytes(idx_bytes(IMAGES)[:kept])
    with pytest.raises(FileError, match=r"images-idx3-ubyte\.gz"):
        read_idx(path)


def test_a_zipped_file_cut_anywhere_is_refused_by_name(path: Path) -> None:
    whole = gzip.compress(idx_bytes(IMAGES))
    for kept in range(len(whole)):
        path.write_bytes(whole[:kept])
        with pytest.raises(FileError, match=r"images-idx3-ubyte\.gz"):
            read_idx(path)


def test_every_damaged_byte_of_a_zipped_file_is_noticed(path: Path) -> None:
    contents = idx_bytes(IMAGES)
    whole = gzip.compress(contents)
    sha256 = hashlib.sha256(contents).hexdigest()
    for position in range(len(whole)):
        damaged = bytearray(whole)
        damaged[position] ^= 0xFF
        path.write_bytes(damaged)
        try:
            read = read_idx(path, shape=IMAGES.shape, sha256=sha256)
        except FileError as error:
            assert path.name in str(error)  # noqa: PT017
        else:
            # Some bytes of a gzip header (time, system) carry no data.
            assert position < 10
            np.testing.assert_array_equal(read, IMAGES)


def test_bytes_after_the_announced_ones_are_refused(path: Path) -> None:
    path.write_bytes(gzip.compress(idx_bytes(IMAGES) + b"!"))
    with pytest.raises(FileError, match="goes on after the 60 bytes"):
        read_idx(path)


def test_something_appended_to_a_zipped_file_is_refused(path: Path) -> None:
    path.write_bytes(gzip.compress(idx_bytes(IMAGES)) + b"tail")
    with pytest.raises(FileError, match="corrupt"):
        read_idx(path)


def test_a_web_page_is_no_idx_file(path: Path) -> None:
    path.write_bytes(b"<!DOCTYPE html><title>Please log in</title>")
    with pytest.raises(FileError, match="is not an IDX file: it begins with the bytes 3c 21 44 4f"):
        read_idx(path)


@pytest.mark.parametrize("magic", ["00 00 07 01", "00 01 08 01", "00 00 08 00", "00 00 08 ff"])
def test_a_magic_number_outside_the_format_is_refused(path: Path, magic: str) -> None:
    path.write_bytes(bytes.fromhex(magic) + bytes(2000))
    with pytest.raises(FileError, match="is not an IDX file"):
        read_idx(path)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_header_that_announces_exabytes_costs_no_memory(path: Path, zipped: bool) -> None:
    contents = bytes.fromhex("00 00 08 02") + b"\x7f\xff\xff\xff" * 2 + bytes(10)
    path.write_bytes(gzip.compress(contents) if zipped else contents)
    with pytest.raises(FileError, match="ends after 10 of 4611686014132420609 bytes"):
        read_idx(path)


def test_a_file_that_announces_no_values_is_refused(path: Path) -> None:
    path.write_bytes(idx_bytes(np.empty((0, 28, 28), np.uint8)))
    with pytest.raises(FileError, match="announces no values: 0 x 28 x 28"):
        read_idx(path)


def test_another_shape_than_wanted_is_refused_with_both(path: Path) -> None:
    path.write_bytes(idx_bytes(IMAGES))
    with pytest.raises(FileError, match=r"3 x 4 x 5 where 60 is wanted.*swapped or renamed"):
        read_idx(path, shape=(60,))


def test_other_contents_than_published_are_refused(path: Path) -> None:
    path.write_bytes(idx_bytes(IMAGES))
    published = hashlib.sha256(idx_bytes(IMAGES)).hexdigest()
    np.testing.assert_array_equal(read_idx(path, sha256=published), IMAGES)
    path.write_bytes(idx_bytes(IMAGES + 1))
    with pytest.raises(FileError, match="not the published ones"):
        read_idx(path, sha256=published)


def test_missing_files_and_folders_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"cannot be read.*gone\.gz"):
        read_idx(tmp_path / "gone.gz")
    with pytest.raises(FileError, match="cannot be read"):
        read_idx(tmp_path)
