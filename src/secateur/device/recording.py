"""A recording: repeated reads of an array in its states, in one HDF5 file, mapped and not loaded.

| data set | shape | what it holds |
|---|---|---|
| `set` | cycles x reads x cells | siemens, float32, read after a SET |
| `reset` | cycles x reads x cells | read after a RESET |
| `as_formed` | 1 x reads x cells | read after forming, before any SET or RESET; may be absent |
| `formed` | cells | 0 where a cell is pristine |
| `form` | cells | forming pulses each cell has received |

Cells 2w and 2w + 1 are a pair. A cell that was not read in a state has nan in all its reads there.
The attributes `schema`, `version`, `technology` (its TOML text), `source` and `digest` belong to
the file; numbers and text are all that is ever read of it.
"""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from secateur.device.technology import Technology
from secateur.errors import FileError, SettingError

if TYPE_CHECKING:
    import h5py

SCHEMA, VERSION = "secateur.recording", 1
State = Literal["as_formed", "reset", "set"]
Stored = NDArray[np.float32]

_REMEDY = "Give a file that `secateur chip record` or `secateur chip import` has written"


@dataclass(frozen=True, eq=False)
class Recording:
    """Reads of an array, as they lie on disk; see the module's table.

    A deep copy is the recording itself: nothing of it ever changes.

    Args:
        path: of the file.
        technology: of the cells: voltages, pulses, energies.
        digest: of all that was recorded: the identity of the array and its measurement.
        source: where it comes from, in words.
        as_formed: siemens (1, reads, cells), mapped; None where not recorded.
        reset: siemens (cycles, reads, cells), mapped.
        set: siemens (cycles, reads, cells), mapped.
        formed: boolean (cells,).
        form: int32 (cells,), forming pulses.
    """

    path: Path
    technology: Technology
    digest: str
    source: str
    as_formed: Stored | None
    reset: Stored
    set: Stored
    formed: NDArray[np.bool_]
    form: NDArray[np.int32]

    @property
    def cells(self) -> int:
        """How many cells were recorded."""
        return len(self.formed)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    @classmethod
    def open(cls, path: str | Path) -> "Recording":
        """Maps a recording.

        Raises:
            FileError: for a file that is missing, truncated, foreign or of another version.
            SettingError: where h5py is missing, or for a technology that cannot be.
        """
        path = Path(path)
        h5py = h5py_for(path)
        try:
            with h5py.File(path, "r") as file:
                return _mapped(cls, path, file)
        except (OSError, KeyError, ValueError, RuntimeError) as error:
            if isinstance(error, SettingError | FileError):
                raise
            raise FileError(
                f"This recording cannot be read: {error}", where=str(path),
                cause="a file that is missing, truncated or of another program", remedy=_REMEDY,
            ) from error  # fmt: skip


class RecordingWriter:
    """Writes a recording read by read, beside its place, and moves it there when it is complete.

    A context manager: where it is left by an error, nothing is left behind.

    Args:
        path: of the file to write.
        technology: of the cells.
        source: where the reads come from, in words.
        shapes: (cycles, reads) of each recorded state; `set` and `reset` at least.
        formed: boolean (cells,).
        form: forming pulses (cells,).

    Raises:
        SettingError: for an odd number of cells, or where h5py is missing.
        FileError: where the file cannot be written.
    """

    def __init__(
        self, path: Path, *, technology: Technology, source: str,
        shapes: dict[State, tuple[int, int]], formed: NDArray[np.bool_],
        form: NDArray[np.int32],
    ) -> None:  # fmt: skip
        cells = len(formed)
        if not cells or cells % 2 or min(min(shape) for shape in shapes.values()) < 1:
            raise SettingError(
                f"{cells} cells with reads {shapes} make no recording", where=str(path),
                remedy="Give pairs of cells, and at least one read of each state",
            )  # fmt: skip
        self.path, self.shapes = path, shapes
        self._partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
        self._missing: dict[State, NDArray[np.bool_]] = {}
        self._hash = hashlib.blake2b(technology.toml().encode(), digest_size=16)
        self._hash.update(formed.tobytes())
        h5py = h5py_for(path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = h5py.File(self._partial, "w")
            words = {"technology": technology.toml(), "source": source, "schema": SCHEMA}
            self._file.attrs.update(words | {"version": VERSION})
            self._file["formed"], self._file["form"] = formed.astype(np.uint8), form
            for state, shape in shapes.items():
                data = self._file.create_dataset(state, (*shape, cells), dtype="<f4")
                data.attrs["unit"] = "S"
        except OSError as error:
            raise _unwritten(path, error) from error

    def write(self, state: State, cycle: int, read: int, values: NDArray[Any]) -> None:
        """One read of all cells, siemens (cells,), in a state; nan for cells it does not have.

        Raises:
            SettingError: for values that are not finite, or there in one read and not in another.
            FileError: where the file cannot be written.
        """
        row = np.asarray(values, dtype="<f4")
        missing = self._missing.setdefault(state, np.isnan(row))
        wrong = np.isinf(row) | (np.isnan(row) != missing)
        if wrong.any():
            raise SettingError(
                f"Read {read + 1} of cell {int(wrong.argmax())} ({state}, cycle {cycle}) is "
                f"{row[wrong.argmax()]}; so of {int(wrong.sum())} cells", where=str(self.path),
                cause="a failed read kept among the others, or one left out",
                remedy="Read these cells again, or leave them out in every read of the state",
            )  # fmt: skip
        self._hash.update(f"{state}/{cycle}/{read}".encode() + row.tobytes())
        try:
            self._file[state][cycle, read] = row
        except OSError as error:
            raise _unwritten(self.path, error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:  # fmt: skip
        try:
            if kind is None:
                self._file.attrs["digest"] = self._hash.hexdigest()
            self._file.close()
            if kind is None:
                self._partial.replace(self.path)
        except OSError as failed:
            raise _unwritten(self.path, failed) from failed
        finally:
            self._partial.unlink(missing_ok=True)


def h5py_for(path: Path) -> Any:
    """The h5py package.

    Raises:
        SettingError: where it is not installed.
    """
    try:
        import h5py
    except ImportError as error:
        raise SettingError(
            "HDF5 files need h5py", where=str(path), remedy='pip install "secateur[hdf5]"'
        ) from error
    return h5py


# --- Inside -----------------------------------------------------------------------------------


def _mapped(cls: type[Recording], path: Path, file: "h5py.File") -> Recording:
    words = {name: file.attrs.get(name) for name in ("schema", "technology", "source", "digest")}
    if words["schema"] != SCHEMA or not all(isinstance(word, str) for word in words.values()):
        raise FileError("This file is no recording", where=str(path), remedy=_REMEDY)
    if (version := file.attrs.get("version")) != VERSION:
        raise FileError(
            f"This recording has version {version} of the layout, expected {VERSION}",
            where=str(path), remedy="Use the version of secateur that wrote it",
        )  # fmt: skip
    formed = _whole(file, "formed", path).astype(bool)
    states = {state: _map(file, state, path, len(formed)) for state in ("reset", "set")}
    first = _map(file, "as_formed", path, len(formed)) if "as_formed" in file else None
    return cls(
        path=path, technology=Technology.parse(words["technology"], where=str(path)),
        digest=words["digest"], source=words["source"], as_formed=first, formed=formed,
        form=_whole(file, "form", path).astype(np.int32), **states,
    )  # fmt: skip


def _whole(file: "h5py.File", name: str, path: Path) -> NDArray[Any]:
    data = _own(file, name, path)
    if data.ndim != 1 or data.dtype.kind not in "biu" or len(data) % 2:
        raise _foreign(name, path)
    values: NDArray[Any] = data[:]
    return values


def _map(file: "h5py.File", name: str, path: Path, cells: int) -> Stored:
    data = _own(file, name, path)
    offset = data.id.get_offset()
    if data.ndim != 3 or data.shape[2] != cells or data.dtype != np.dtype("<f4") or not data.size:
        raise _foreign(name, path)
    if offset is None or data.external:
        raise FileError(
            f"The data set {name} does not lie in one piece in this file", where=str(path),
            cause="it was compressed or moved by another program", remedy=_REMEDY,
        )  # fmt: skip
    if offset + data.nbytes > path.stat().st_size:
        raise FileError(f"The file ends inside {name}", where=str(path), remedy="Copy it again")
    return np.memmap(path, dtype="<f4", mode="r", offset=offset, shape=data.shape)


def _own(file: "h5py.File", name: str, path: Path) -> Any:
    """A data set of this very file: a link could lead to any other."""
    h5py = h5py_for(path)
    if not isinstance(file.get(name, getlink=True), h5py.HardLink):
        raise _foreign(name, path)
    data = file[name]
    if not isinstance(data, h5py.Dataset):
        raise _foreign(name, path)
    return data


def _foreign(name: str, path: Path) -> FileError:
    return FileError(
        f"{name} is missing, or not what a recording has under that name", where=str(path),
        cause="the file was changed by another program", remedy=_REMEDY,
    )  # fmt: skip


def _unwritten(path: Path, error: OSError) -> FileError:
    return FileError(
        f"The recording could not be written: {error.strerror or error}", where=str(path),
        cause="a full disk or a folder without write permission",
        remedy="Free some space or choose another --out",
    )  # fmt: skip
