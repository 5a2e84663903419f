"""Which pictures were found sound, remembered for this user: many trials look at them once."""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

import PIL
import platformdirs

from secateur.errors import FileError
from secateur.files import write_atomically

Marks = Mapping[Path, str]


def marks_of(paths: Iterable[Path]) -> dict[Path, str]:
    """What tells each file from a later one of its name: size and time of its last change.

    A file that is not there has none.
    """
    found = {}
    for path in paths:
        try:
            state = path.stat()
        except OSError:
            continue
        found[path] = f"{state.st_size} {state.st_mtime_ns}"
    return found


class SoundPictures:
    """The memory of one folder, in the user's cache. Losing it costs time and nothing else.

    Damaged pictures are not remembered: they are few, and some are only out of reach for a while.

    Args:
        folder: around the pictures.
        whole: whether they were decoded, not only looked at.
    """

    def __init__(self, folder: Path, *, whole: bool) -> None:
        self._folder = folder.absolute()
        words = f"{self._folder} {'decoded' if whole else 'opened'} by Pillow {PIL.__version__}"
        name = hashlib.blake2b(words.encode(), digest_size=8).hexdigest()
        cache = platformdirs.user_cache_path("secateur", appauthor=False)
        self._path = cache / "sound-pictures" / f"{name}.json"

    def unknown(self, marks: Marks, paths: Iterable[Path]) -> list[Path]:
        """Those of some pictures that are not remembered as they are now."""
        known = self._known()
        return [p for p in paths if p not in marks or known.get(self._name(p)) != marks[p]]

    def keep(self, marks: Marks) -> None:
        """Remembers pictures, beside those that are remembered already."""
        files = {**self._known(), **{self._name(path): mark for path, mark in marks.items()}}
        try:
            write_atomically(self._path, json.dumps(files).encode())
        except FileError:
            # A cache that cannot be written: they are looked at again.
            return

    def _known(self) -> dict[str, str]:
        try:
            return dict(json.loads(self._path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return {}

    def _name(self, path: Path) -> str:
        return os.path.relpath(path.absolute(), self._folder)
