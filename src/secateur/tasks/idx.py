"""IDX files, the format of MNIST and Fashion-MNIST: read strictly, zipped or not."""

import hashlib
import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secateur.errors import FileError
from secateur.tasks.contents import open_contents, refuse_other_checksum

# The third byte of the magic number; IDX is big-endian.
_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_RANKS = range(1, 33)
_CHUNK = 1 << 20


def read_idx(
    path: Path, *, shape: Sequence[int] | None = None, sha256: str | None = None
) -> NDArray[Any]:
    """Read one IDX file, plain or gzip, whatever its name.

    Args:
        path: the file.
        shape: refuse any other shape, before the values are read.
        sha256: refuse contents (unzipped, header included) with any other checksum.

    Returns:
        An array of the file's own shape and type, in the machine's byte order.

    Raises:
        FileError: unreadable, not IDX, truncated, with bytes too many, corrupt, or other than
            `shape` and `sha256` ask for. The message names the file.
    """
    with open_contents(path) as contents:
        header, kind, found = _read_header(contents, path)
        if shape is not None and found != tuple(shape):
            raise FileError(
                f"{path.name} holds an array of {_spoken(found)} where {_spoken(shape)} is wanted",
                where=str(path),
                cause="two files of the data set were swapped or renamed",
                remedy="Put each file back under the name that its owners gave it",
            )
        size = math.prod(found) * kind.itemsize
        # One byte more than announced: finds a tail, and makes gzip verify its own checksum.
        body = _read_up_to(size + 1, contents)
    if len(body) != size:
        raise _wrong_length(path, len(body), size)
    if sha256 is not None:
        refuse_other_checksum(path, _digest(header, body), sha256)
    return np.frombuffer(body, dtype=kind).reshape(found).astype(kind.newbyteorder("="))


def _read_header(
    contents: io.BufferedIOBase, path: Path
) -> tuple[bytes, np.dtype[Any], tuple[int, ...]]:
    magic = contents.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in _TYPES or magic[3] not in _RANKS:
        raise FileError(
            f"{path.name} is not an IDX file: it begins with the bytes {magic.hex(' ') or 'none'}",
            where=str(path),
            cause="another kind of file, often the web page of a failed download",
            remedy="Delete it and get it again",
        )
    dimensions = contents.read(4 * magic[3])
    if len(dimensions) < 4 * magic[3]:
        raise _wrong_length(path, len(dimensions), 4 * magic[3])
    shape = tuple(int(length) for length in np.frombuffer(dimensions, dtype=">u4"))
    if 0 in shape:
        raise FileError(f"{path.name} announces no values: {_spoken(shape)}", where=str(path))
    return magic + dimensions, np.dtype(_TYPES[magic[2]]), shape


def _read_up_to(limit: int, contents: io.BufferedIOBase) -> bytes:
    # By chunks: one large read would reserve what a damaged header announces, terabytes perhaps.
    body = bytearray()
    while len(body) < limit and (chunk := contents.read(min(_CHUNK, limit - len(body)))):
        body += chunk
    return bytes(body)


def _wrong_length(path: Path, found: int, announced: int) -> FileError:
    short = found < announced
    return FileError(
        f"{path.name} ends after {found} of {announced} bytes"
        if short
        else f"{path.name} goes on after the {announced} bytes that its header announces",
        where=str(path),
        cause="a copy or download that was cut off" if short else "a damaged or edited file",
        remedy="Delete it and get it again",
    )


def _digest(*parts: bytes) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


def _spoken(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))
