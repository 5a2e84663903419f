"""Measurements as a table: one row for each read of a cell, every column with its unit."""

import csv
import re
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from secateur.device.measurement.recorded import columns_of
from secateur.device.recording import SCHEMA, h5py_for
from secateur.errors import FileError, SettingError, nearest

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Factors to SI by column; a count has the unit 1.
_UNITS = {
    "conductance": {"S": 1.0, "mS": 1e-3, "uS": 1e-6, "µS": 1e-6, "nS": 1e-9},
    "forming_voltage": {"V": 1.0, "mV": 1e-3},
    "time": {"s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "min": 60.0, "h": 3600.0, "d": 86400.0},
    "cell": {"1": 1.0},
    "cycle": {"1": 1.0},
}
UNITS_OF_CONDUCTANCE = _UNITS["conductance"]
_WITH_UNIT = ("conductance", "forming_voltage", "time")
_HEADING = re.compile(r"^\s*(?P<name>\w+)\s*(?:\[(?P<unit>[^\]]*)\])?\s*$")
_STATES = ("high", "low")


@dataclass(frozen=True)
class Reads:
    """Reads of cells, in SI units, one entry each; see `load_reads` for the columns.

    Args:
        cell: which cell.
        cycle: after which of its SET-and-RESET cycles.
        high: True in the high state, False in the low one.
        conductance: siemens.
        time: seconds since the pulse; None where it was not recorded.
        forming_voltage: volts, the same for all reads of a cell; None where not recorded.
        source: the file.
    """

    cell: Ints
    cycle: Ints
    high: NDArray[np.bool_]
    conductance: Floats
    time: Floats | None
    forming_voltage: Floats | None
    source: str


def load_reads(path: Path) -> Reads:
    """Measurements from a CSV, HDF5 or NumPy file.

    Columns, one row for each read:

    | column | unit | |
    |---|---|---|
    | `cell` | | number of the cell |
    | `state` | | `high` (after forming or SET) or `low` (after RESET) |
    | `conductance` | S, mS, uS, nS | as read |
    | `cycle` | | number of the SET-and-RESET cycle; 0 where absent |
    | `time` | s, ms, us, min, h, d | since the pulse; may be absent |
    | `forming_voltage` | V, mV | of the cell; may be absent |

    A CSV heading names the unit in brackets, `conductance [uS]`; so do the array names of an npz
    file and the field names of an npy file. An HDF5 file has a data set for each column, with an
    attribute `unit`. A recording is read as one, too: 1500 of its cells, 16 reads after a pulse.

    Raises:
        FileError: for a file that cannot be read.
        SettingError: for columns that are missing, unknown, given twice or without a unit, and
            for values that are no measurements.
    """
    readers = {".csv": _csv, ".npz": _numpy, ".npy": _numpy, ".h5": _hdf5, ".hdf5": _hdf5}
    if path.suffix.lower() not in readers:
        raise SettingError(
            f"{path.suffix or 'This file'} is no format of measurements", where=str(path),
            remedy="Give a .csv, .npz, .npy, .h5 or .hdf5 file",
        )  # fmt: skip
    try:
        columns = readers[path.suffix.lower()](path)
    except (
        OSError, UnicodeDecodeError, csv.Error, ValueError, EOFError, BadZipFile, zlib.error,
    ) as error:  # fmt: skip
        if isinstance(error, SettingError | FileError):
            raise
        raise FileError(
            f"These measurements cannot be read: {error}", where=str(path),
            cause="a file that is missing, truncated or of another format",
            remedy="Give a table as `secateur chip fit --help` describes it",
        ) from error  # fmt: skip
    return reads_from(columns, source=str(path))


def reads_from(columns: dict[str, Any], *, source: str) -> Reads:
    """Reads from columns by heading, such as `conductance [uS]`; see `load_reads`.

    Raises:
        SettingError: see `load_reads`.
    """
    found: dict[str, Any] = {}
    for heading, values in columns.items():
        name, factor = _column(heading, source)
        if name in found:
            raise SettingError(
                f"The column {name} is there twice", where=source,
                cause="two units of one quantity", remedy="Keep one of them",
            )  # fmt: skip
        found[name] = values if name == "state" else _numbers(name, values, source) * factor
    for name in ("cell", "state", "conductance"):
        if name not in found:
            raise SettingError(
                f"The column {name} is missing", where=source,
                remedy="Columns: cell, state, conductance [uS]; and cycle, time [s], "
                "forming_voltage [V] where known",
            )  # fmt: skip
    if not len(found["conductance"]):
        raise SettingError("There is no read in this table", where=source)
    high = _states(found["state"], source)
    _check_lengths(found, source)
    cell = found["cell"].astype(np.int64)
    cycle = found.get("cycle", np.zeros(len(cell))).astype(np.int64)
    _refuse(found["conductance"] <= 0.0, "conductance", "not above zero", source)
    for name in ("time", "forming_voltage"):
        if name in found:
            _refuse(found[name] <= 0.0, name, "not above zero", source)
    made = Reads(
        cell=cell, cycle=cycle, high=high, conductance=found["conductance"],
        time=found.get("time"), forming_voltage=found.get("forming_voltage"), source=source,
    )  # fmt: skip
    _refuse_mixed_units(made)
    return made


# --- Formats ----------------------------------------------------------------------------------


def _csv(path: Path) -> dict[str, Any]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.reader(file))
    if not rows:
        raise SettingError("This table is empty", where=str(path))
    heading, body = rows[0], [row for row in rows[1:] if row]
    for n, row in enumerate(body, start=2):
        if len(row) != len(heading):
            raise SettingError(
                f"Row {n} has {len(row)} entries, the heading {len(heading)}", where=str(path),
                remedy="Separate by commas, and use a point in decimal numbers",
            )  # fmt: skip
    if len({name.strip() for name in heading}) < len(heading):
        raise SettingError("A heading is there twice", where=str(path), remedy="Keep one of them")
    return {name: [row[n].strip() for row in body] for n, name in enumerate(heading)}


def _numpy(path: Path) -> dict[str, Any]:
    loaded = np.load(path, allow_pickle=False)
    if isinstance(loaded, np.ndarray):
        names = loaded.dtype.names
        if names is None:
            raise SettingError(
                "This array has no named fields", where=str(path),
                remedy="Save a structured array, or an .npz with one array for each column",
            )  # fmt: skip
        return {name: loaded[name] for name in names}
    with loaded:
        return {name: loaded[name] for name in loaded.files}


def _hdf5(path: Path) -> dict[str, Any]:
    columns: dict[str, Any] = {}
    with h5py_for(path).File(path) as file:
        if file.attrs.get("schema") == SCHEMA:
            return columns_of(path)
        for name, data in file.items():
            unit = data.attrs.get("unit")
            values = data.asstr()[:] if data.dtype.kind == "O" else data[:]
            columns[name if unit is None else f"{name} [{unit}]"] = values
    return columns


# --- Checks -----------------------------------------------------------------------------------


def _column(heading: str, source: str) -> tuple[str, float]:
    parts = _HEADING.match(heading)
    name = parts["name"] if parts else heading
    known = [*_UNITS, "state"]
    if parts is None or name not in known:
        raise SettingError(
            f"{heading!r} is no column of measurements", where=source, remedy=nearest(name, known)
        )
    unit = parts["unit"]
    if name not in _WITH_UNIT:
        return name, 1.0
    if unit not in _UNITS[name]:
        what = "has no unit" if unit is None else f"has the unit {unit!r}"
        raise SettingError(
            f"The column {name} {what}", where=source,
            remedy=f"Write {name} [...] with one of: {', '.join(_UNITS[name])}",
        )  # fmt: skip
    return name, _UNITS[name][unit]


def _numbers(name: str, values: Any, source: str) -> Floats:
    numbers = np.empty(len(values))
    for n, value in enumerate(values):
        try:
            numbers[n] = float(value)
        except (TypeError, ValueError) as error:
            raise SettingError(
                f"{name} of read {n + 1} is {value!r}, no number", where=source,
                remedy="Units belong into the heading; leave out rows without a value",
            ) from error  # fmt: skip
    _refuse(~np.isfinite(numbers), name, "not a finite number", source)
    if name in ("cell", "cycle"):
        _refuse(numbers != np.round(numbers), name, "not a whole number", source)
    return numbers


def _refuse(wrong: NDArray[np.bool_], name: str, what: str, source: str) -> None:
    if wrong.any():
        raise SettingError(
            f"{name} of read {int(wrong.argmax()) + 1} is {what}; so in {int(wrong.sum())} of "
            f"{len(wrong)} reads", where=source,
            cause="failed reads kept in the table, or an offset of the instrument",
            remedy="Leave those rows out; nothing is repaired or skipped in silence",
        )  # fmt: skip


def _states(values: Any, source: str) -> NDArray[np.bool_]:
    words = [v.decode() if isinstance(v, bytes) else str(v) for v in values]
    for n, word in enumerate(words):
        if word not in _STATES:
            raise SettingError(
                f"state of read {n + 1} is {word!r}", where=source,
                remedy=f"Write one of: {', '.join(_STATES)}",
            )  # fmt: skip
    return np.array([word == "high" for word in words])


def _check_lengths(found: dict[str, Any], source: str) -> None:
    lengths = {name: len(values) for name, values in found.items()}
    if len(set(lengths.values())) > 1:
        raise SettingError(f"Columns of different length: {lengths}", where=source)


def _refuse_mixed_units(reads: Reads) -> None:
    """Two clouds of one state a factor of 1000 or 1e6 apart are one cloud in two units."""
    for high, word in ((True, "high"), (False, "low")):
        logs = np.sort(np.log10(reads.conductance[reads.high == high]))
        if len(logs) < 2:
            continue
        gap = np.diff(logs)
        widest = int(gap.argmax())
        apart = float(np.median(logs[widest + 1 :]) - np.median(logs[: widest + 1]))
        if gap[widest] > 2.0 and min(abs(apart - 3.0), abs(apart - 6.0)) < 0.5:
            raise SettingError(
                f"Conductances of the {word} state lie in two groups a factor of "
                f"{10**apart:.3g} apart", where=reads.source,
                cause="mixed units: some values in S or nS, others in uS",
                remedy="Bring all of them to the unit of the heading",
            )  # fmt: skip
