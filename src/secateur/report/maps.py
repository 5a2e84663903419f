"""Reads `maps.npz`, the pictures of one chip: conductances, wear, masks, scores, samples."""

import zipfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secateur.errors import FileError
from secateur.report.reading import Result, Run

Array = NDArray[Any]


@dataclass(frozen=True)
class MacroMaps:
    """One macro, rows = input lines, columns = output lines.

    Args:
        as_formed: conductances after forming, siemens.
        final: conductances at the end, siemens.
        pulses: SET and RESET pulses of each cell.
    """

    as_formed: Array | None = None
    final: Array | None = None
    pulses: Array | None = None


@dataclass(frozen=True)
class LayerMaps:
    """One layer's edges, rows = outputs, columns = inputs.

    Args:
        mask: true where an edge is kept.
        scores: the learned scores, no unit.
    """

    mask: Array | None = None
    scores: Array | None = None


@dataclass(frozen=True)
class ChipMaps:
    """All pictures of one chip; what the file does not hold is absent here.

    Args:
        chip: the chip's number in its run.
        macros: by the macro's number.
        layers: by the layer's name.
        cells: samples by kind, 1-D, siemens.
        worst: macro, row and column of the most worn cell; of several, the record's.
    """

    chip: int = 0
    macros: dict[str, MacroMaps] = field(default_factory=dict)
    layers: dict[str, LayerMaps] = field(default_factory=dict)
    cells: dict[str, Array] = field(default_factory=dict)
    worst: tuple[str, int, int] | None = None


def chip_maps(run: Run, result: Result) -> ChipMaps | None:
    """The pictures of a result's first chip that has any; None where there are none to show.

    Raises:
        FileError: where the file is corrupt, holds arrays of the wrong shape, or lies outside
            of the run directory.
    """
    for trial in result.trials:
        path = stored(run, trial.maps)
        if path is not None:
            worst = trial.wear.get("worst")
            place = worst and (str(worst["macro"]), worst["row"], worst["column"])
            return replace(read_maps(path, chip=trial.chip), worst=place)
    return None


def stored(run: Run, name: str | None) -> Path | None:
    """Where a file lies that the record names; None where it names none or the file is gone.

    Raises:
        FileError: where the record names a file outside of its run directory.
    """
    if not name:
        return None
    path = run.directory / name
    if not path.resolve().is_relative_to(run.directory.resolve()):
        raise FileError(
            f"The record names a file outside of its run directory: {name}",
            where=str(run.directory / "record.json"),
            cause="the record was edited or moved",
            remedy="Run again, or restore the record",
        )
    return path if path.is_file() else None


def read_maps(path: Path, *, chip: int = 0) -> ChipMaps:
    """Reads one `maps.npz`.

    Raises:
        FileError: where it cannot be read, or an array has the wrong number of dimensions.
    """
    return _sorted_into_rooms(read_arrays(path), path, chip)


def read_arrays(path: Path) -> dict[str, Array]:
    """All arrays of an npz by their names.

    Raises:
        FileError: where it cannot be read.
    """
    try:
        with np.load(path, allow_pickle=False) as held:
            return {name: held[name] for name in held.files}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise FileError(
            f"The maps cannot be read: {error}",
            where=str(path),
            cause="the file is truncated or foreign",
            remedy="Run again, or delete the file to have a page without maps",
        ) from None


def _sorted_into_rooms(arrays: dict[str, Array], path: Path, chip: int) -> ChipMaps:
    macros: dict[str, dict[str, Array]] = {}
    layers: dict[str, dict[str, Array]] = {}
    cells: dict[str, Array] = {}
    for name, array in arrays.items():
        room, _, rest = name.partition("/")
        owner, _, kind = rest.rpartition("/")
        if room == "macro" and kind in ("as_formed", "final", "pulses"):
            macros.setdefault(owner, {})[kind] = of_dimensions(2, array, name, path)
        elif room == "weight" and kind in ("mask", "scores"):
            layers.setdefault(owner, {})[kind] = of_dimensions(2, array, name, path)
        elif room == "cells":
            cells[rest] = of_dimensions(1, array, name, path)
    return ChipMaps(
        chip=chip,
        macros={name: MacroMaps(**macros[name]) for name in sorted(macros, key=_in_counting_order)},
        layers={name: LayerMaps(**parts) for name, parts in layers.items()},
        cells=cells,
    )


def _in_counting_order(name: str) -> tuple[int, str]:
    return (int(name), "") if name.isdecimal() else (1 << 62, name)


def of_dimensions(dimensions: int, array: Array, name: str, path: Path) -> Array:
    """The array, if it holds numbers in so many dimensions.

    Raises:
        FileError: where it does not.
    """
    if array.ndim != dimensions or array.dtype.kind not in "biuf":
        raise FileError(
            f"The map {name} is {array.dtype} of shape {array.shape},"
            f" not numbers in {dimensions} dimensions",
            where=str(path),
            cause="the file was written by another program or version",
            remedy="Run again, or delete the file to have a page without maps",
        )
    return array
