"""Files that are either whole or not there."""

import io
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from secateur.errors import FileError, SettingError

_PICTURES = (".png", ".svg", ".pdf")


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A place beside a file's own, whose content is moved there in the end: old or new, never half.

    Two writers of one file, on whatever machines, do not meet before the move: the last one wins.

    Raises:
        FileError: where it cannot be written, for instance on a full disk.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        with partial.open("r+b") as file:
            os.fsync(file.fileno())
        partial.replace(path)
        _settle_name(path.parent)
    except OSError as error:
        raise FileError(
            f"The file could not be written: {error.strerror or error}", where=str(path),
            cause="a full disk or a folder without write permission",
            remedy="Free some space or choose another --out; what was there before is unharmed",
        ) from error  # fmt: skip
    finally:
        # Moved away by now, unless something went wrong.
        with suppress(OSError):
            partial.unlink()


def write_atomically(path: Path, content: bytes) -> None:
    """Writes a file's whole content, see `whole`."""
    with whole(path) as partial:
        partial.write_bytes(content)


def _settle_name(folder: Path) -> None:
    """Makes a file's new name outlive a power cut too, where the system can tell a folder so."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_figure(path: Path, figure: Any) -> None:
    """Writes a matplotlib figure as PNG, SVG or PDF, as the file's name says.

    Raises:
        SettingError: for a name that ends in none of these.
        FileError: where it cannot be written.
    """
    if path.suffix.lower() not in _PICTURES:
        raise SettingError(
            f"{path} is no picture", remedy=f"End its name in one of {', '.join(_PICTURES)}"
        )
    buffer = io.BytesIO()
    figure.savefig(buffer, format=path.suffix.lower()[1:], dpi=150)
    write_atomically(path, buffer.getvalue())
