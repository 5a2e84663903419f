"""Foreign layouts of repeated reads, to a recording: arrays of a whole array's reads, and tables.

Arrays are read row by row, however large the file. Numbers are all that is read.
"""

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from secateur.device.measurement.table import UNITS_OF_CONDUCTANCE, Reads, load_reads
from secateur.device.recording import RecordingWriter, State, h5py_for
from secateur.device.technology import Technology
from secateur.errors import FileError, SettingError, nearest

_STATES: tuple[State, ...] = ("set", "reset")
_PICKLED = (".pt", ".pth", ".pkl", ".pickle", ".joblib")
_ARRAYS = "an .npz or .h5 file with both arrays, or a folder with set.npy and reset.npy (or .csv)"


@dataclass(frozen=True)
class _Rows:
    """An array (reads, columns) as its rows, one after the other."""

    shape: tuple[int, int]
    rows: Iterator[NDArray[Any]]


def import_paper(source: Path, out: Path, *, unit: str, technology: Technology) -> None:
    """The layout of the paper's public code: arrays `set` and `reset`, each reads x 2 pairs.

    The first half of the columns are the pairs' first cells, the second half their second cells.
    There are no reads as formed, and one cycle.

    Args:
        source: an .npz or HDF5 file with both arrays, or a folder with `set` and `reset` as .npy
            or .csv (numbers only, a row for each read).
        out: the recording to write.
        unit: of the numbers: S, mS, uS or nS.
        technology: of the cells.

    Raises:
        SettingError: for an unknown unit, a file that could only be unpickled, or arrays that do
            not belong together.
        FileError: for a file that cannot be read or written.
    """
    if unit not in UNITS_OF_CONDUCTANCE:
        raise SettingError(
            f"{unit!r} is no unit of conductances", remedy=nearest(unit, UNITS_OF_CONDUCTANCE)
        )
    refuse_pickled(source)
    factor = UNITS_OF_CONDUCTANCE[unit]
    with ExitStack() as stack, _refusing(source):
        arrays = {state: stack.enter_context(_rows_of(source, state)) for state in _STATES}
        widths = {array.shape[1] for array in arrays.values()}
        cells = arrays["set"].shape[1]
        if len(widths) > 1 or cells % 2:
            shapes = ", ".join(f"{name} {array.shape}" for name, array in arrays.items())
            raise SettingError(
                f"These arrays are no reads of pairs: {shapes}", where=str(source),
                cause="columns that are not the same cells, first ones and then second ones",
                remedy="Give reads x 2 pairs in both",
            )  # fmt: skip
        writer = RecordingWriter(
            out, technology=technology, source=f"{source.name}, layout of the paper's code",
            shapes={state: (1, array.shape[0]) for state, array in arrays.items()},
            formed=np.ones(cells, dtype=bool), form=np.ones(cells, dtype=np.int32),
        )  # fmt: skip
        with writer:
            for state, array in arrays.items():
                for read, row in enumerate(array.rows):
                    # From halves to pairs side by side.
                    pairs = row.reshape(2, -1).T.reshape(-1)
                    writer.write(state, 0, read, pairs * factor)


def import_table(source: Path, out: Path, *, technology: Technology) -> None:
    """A table with a row for each read, see `load_reads`, to a recording.

    Cells become pairs in the order of their numbers, two by two. High states are those after SET;
    the first cycle stands for the array as formed. Every cell has as many cycles, and reads in
    each, as the others; one may lack a state altogether.

    Raises:
        SettingError: for an odd number of cells, or cells that were read less often than others.
        FileError: for a file that cannot be read or written.
    """
    refuse_pickled(source)
    reads = load_reads(source)
    cells = np.unique(reads.cell)
    arrays = {state: _array(reads, cells, high=state == "set", source=source) for state in _STATES}
    writer = RecordingWriter(
        out, technology=technology, source=f"{source.name}, a table of reads",
        shapes={state: array.shape[:2] for state, array in arrays.items()},
        formed=np.ones(len(cells), dtype=bool), form=np.ones(len(cells), dtype=np.int32),
    )  # fmt: skip
    with writer:
        for state, array in arrays.items():
            for cycle, read in np.ndindex(array.shape[:2]):
                writer.write(state, cycle, read, array[cycle, read])


def refuse_pickled(source: Path) -> None:
    """Refuses files that only unpickling could read.

    Raises:
        SettingError: with what to write instead.
    """
    if source.suffix.lower() in _PICKLED:
        raise SettingError(
            f"{source.suffix} files are not read", where=str(source),
            cause="they are pickles: opening one runs whatever code its author put into it",
            remedy="Where you trust it, load it yourself and save the numbers: "
            'numpy.savez("reads.npz", set=..., reset=...)',
        )  # fmt: skip


# --- Inside -----------------------------------------------------------------------------------


def _array(
    reads: Reads, cells: NDArray[np.int64], *, high: bool, source: Path
) -> NDArray[np.float64]:
    """Siemens (cycles, reads, cells) of one state; nan for cells without it."""
    chosen = reads.high == high
    word = "high" if high else "low"
    if not chosen.any():
        raise SettingError(
            f"No read in the {word} state", where=str(source),
            remedy="A chip needs both: after SET (high) and after RESET (low)",
        )  # fmt: skip
    column = np.searchsorted(cells, reads.cell[chosen])
    cycles, cycle = np.unique(reads.cycle[chosen], return_inverse=True)
    counts = np.zeros((len(cycles), len(cells)), dtype=np.int64)
    np.add.at(counts, (cycle, column), 1)
    there, most = counts.any(axis=0), int(counts.max())
    if (uneven := (counts != most) & there).any():
        first = np.argwhere(uneven)[0]
        raise SettingError(
            f"Cell {cells[first[1]]} was read {counts[tuple(first)]} times in the {word} state of "
            f"cycle {cycles[first[0]]}, others {most} times; so were {int(uneven.any(0).sum())} "
            "cells", where=str(source), cause="rows left out, or cycles that not all cells saw",
            remedy="Leave out the surplus rows of the others, or these cells",
        )  # fmt: skip
    order = np.lexsort((column, cycle))
    # Ordered by cycle and cell, the reads of each follow one another as they stand in the table.
    values = reads.conductance[chosen][order].reshape(len(cycles), int(there.sum()), most)
    found = np.full((len(cycles), most, len(cells)), np.nan)
    found[:, :, there] = values.transpose(0, 2, 1)
    return found


@contextmanager
def _rows_of(source: Path, name: str) -> Iterator[_Rows]:
    """The rows of the array of that name in a file or folder."""
    suffix = source.suffix.lower()
    with ExitStack() as stack:
        if source.is_dir():
            listed = [source / f"{name}.npy", source / f"{name}.csv"]
            path = next((path for path in listed if path.is_file()), None)
            if path is None:
                raise SettingError(
                    f"There is no {name}.npy or {name}.csv", where=str(source),
                    remedy=f"Give {_ARRAYS}",
                )  # fmt: skip
            if path.suffix == ".csv":
                yield _csv_rows(path)
            else:
                yield _npy_rows(stack.enter_context(path.open("rb")), path)
        elif suffix == ".npz":
            archive = stack.enter_context(zipfile.ZipFile(source))
            if f"{name}.npy" not in archive.namelist():
                held = ", ".join(archive.namelist())
                raise SettingError(f"No array {name!r} among {held}", where=str(source))
            yield _npy_rows(stack.enter_context(archive.open(f"{name}.npy")), source)  # type: ignore[arg-type]
        elif suffix in (".h5", ".hdf5"):
            file = stack.enter_context(h5py_for(source).File(source, "r"))
            if name not in file or len(shape := file[name].shape) != 2:
                raise SettingError(f"No array {name!r} of reads x cells", where=str(source))
            yield _Rows(shape, (file[name][n] for n in range(shape[0])))
        else:
            raise SettingError(
                f"{source.name} does not hold the arrays set and reset", where=str(source),
                remedy=f"Give {_ARRAYS}",
            )  # fmt: skip


def _npy_rows(file: BinaryIO, path: Path) -> _Rows:
    version = np.lib.format.read_magic(file)
    read = {
        (1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0,
    }.get(version)  # fmt: skip
    if read is None:
        raise SettingError(f"Version {version} of NumPy's format holds no numbers", where=str(path))
    shape, columns_first, kind = read(file)
    if len(shape) != 2 or kind.kind not in "fiu" or (columns_first and min(shape) > 1):
        raise SettingError(
            f"An array {kind} of shape {shape} is no table of reads by rows", where=str(path),
            cause="objects, another number of axes, or an array stored by columns",
            remedy="Save numpy.ascontiguousarray(reads) of numbers, reads x cells",
        )  # fmt: skip

    def rows() -> Iterator[NDArray[Any]]:
        size = shape[1] * kind.itemsize
        for n in range(shape[0]):
            content = file.read(size)
            if len(content) < size:
                raise ValueError(f"it ends in row {n + 1} of {shape[0]}")
            yield np.frombuffer(content, dtype=kind)

    return _Rows((int(shape[0]), int(shape[1])), rows())


def _csv_rows(path: Path) -> _Rows:
    with path.open(encoding="utf-8-sig") as file:
        first = file.readline()
        count = bool(first.strip()) + sum(1 for line in file if line.strip())
    width = len(first.split(","))

    def rows() -> Iterator[NDArray[Any]]:
        with path.open(encoding="utf-8-sig") as file:
            for n, line in enumerate(line for line in file if line.strip()):
                row = np.array([float(word) for word in line.split(",")])
                if len(row) != width:
                    raise ValueError(f"row {n + 1} has {len(row)} numbers, the first {width}")
                yield row

    return _Rows((count, width), rows())


@contextmanager
def _refusing(source: Path) -> Iterator[None]:
    try:
        yield
    except (
        OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error,
    ) as error:  # fmt: skip
        if isinstance(error, SettingError | FileError):
            raise
        raise FileError(
            f"These reads cannot be read: {error}", where=str(source),
            cause="a file that is missing, truncated or of another format",
            remedy=f"Give {_ARRAYS}",
        ) from error  # fmt: skip
