"""Reading what is in a data file, zipped or not, and refusing what its owners did not publish."""

import hashlib
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from gzip import BadGzipFile, GzipFile
from pathlib import Path

from secateur.errors import FileError
from secateur.tasks.published import PublishedFile

_CHUNK = 1 << 20
_GZIP_MAGIC = b"\x1f\x8b"


@contextmanager
def open_contents(path: Path, *, packed: bool = False) -> Iterator[io.BufferedIOBase]:
    """Open a file for reading its contents, unzipped if it is zipped and not wanted `packed`.

    The first bytes decide, not the name: browsers unpack files and keep the `.gz`.

    Raises:
        FileError: the file cannot be read, or it is a truncated or corrupt gzip file.
    """
    try:
        with path.open("rb") as raw:
            zipped = raw.read(2) == _GZIP_MAGIC and not packed
            raw.seek(0)
            if zipped:
                with GzipFile(fileobj=raw, mode="rb") as contents:
                    yield contents
            else:
                yield raw
    except FileError:
        raise
    except EOFError as error:
        raise FileError(
            "A data file ends too early",
            where=str(path),
            cause="a copy or download that was cut off",
            remedy="Delete it and get it again",
        ) from error
    except (BadGzipFile, zlib.error) as error:
        raise FileError(
            f"A data file is corrupt: {error}",
            where=str(path),
            cause="a damaged copy, or something appended to it",
            remedy="Delete it and get it again",
        ) from error
    except OSError as error:
        raise FileError(
            f"A data file cannot be read: {error.strerror or error}",
            where=str(path),
            remedy="Check that it exists and that you may read it",
        ) from error


def check_contents(path: Path, file: PublishedFile, *, packed: bool = False) -> None:
    """Read the whole of `path` and compare its contents with the published size and checksum.

    Args:
        path: the file.
        file: what was published.
        packed: the file as it is counts, not what is zipped in it.

    Raises:
        FileError: unreadable, truncated, corrupt, or with other contents.
    """
    digest, size = hashlib.sha256(), 0
    with open_contents(path, packed=packed) as contents:
        # Stopping at the first byte too many bounds what a hostile gzip file can make us unpack.
        while size <= file.size and (chunk := contents.read(_CHUNK)):
            digest.update(chunk)
            size += len(chunk)
    if size != file.size:
        relation = "more than" if size > file.size else f"{size} bytes instead of"
        raise FileError(
            f"{file.name} holds {relation} the published {file.size} bytes",
            where=str(path),
            cause="a download that was cut off, or a page of a proxy in its place",
            remedy="Delete it and get it again",
        )
    refuse_other_checksum(path, digest.hexdigest(), file.sha256)


def refuse_other_checksum(path: Path, found: str, expected: str) -> None:
    """Raise FileError unless the two hexadecimal sha256 are the same."""
    if found != expected:
        raise FileError(
            f"The contents of {path.name} are not the published ones: "
            f"sha256 {found[:12]}..., expected {expected[:12]}...",
            where=str(path),
            cause="a damaged file, or one of another data set under this name",
            remedy="Delete it and get it again",
        )
