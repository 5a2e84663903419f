"""Reads `maps.npz`, the pictures of one chip: conductances, wear, masks, scores, samples."""

import zipfile
from dataclasses import dataclass, field
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
    """

    chip: int = 0
    macros: dict[str, MacroMaps] = field(default_factory=dict)
    layers: dict[str, LayerMaps] = field(default_factory=dict)
    cells: dict[str, Array] = field(default_factory=dict)


def chip_maps(run: Run, result: Result) -> ChipMaps | None:
    """The pictures of a result's first chip that has any; None where there are none to show.

    Raises:
        FileError: where the file is corrupt, holds arrays of the wrong shape, or lies outside
            of the run directory.
    """
    for trial in result.trials:
        if trial.maps:
            path = run.directory / trial.maps
            if not path.resolve().is_relative_to(run.directory.resolve()):
                raise FileError(
                    f"The record names maps outside of its run directory: {trial.maps}",
                    where=str(run.directory / "record.json"),
                    cause="the record was edited or moved",
                    remedy="Run again, or restore the record",
                )
            if path.is_file():
                return read_maps(path, chip=trial.chip)
    return None


def read_maps(path: Path, *, chip: int = 0) -> ChipMaps:
    """Reads one `maps.npz`.

    Raises:
        FileError: where it cannot be read, or an array has the wrong number of dimensions.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise FileError(
            f"The maps cannot be read: {error}",
            where=str(path),
            cause="the file is truncated or foreign",
            remedy="Run again, or delete the file to have a page without maps",
        ) from None
    return _sorted_into_rooms(arrays, path, chip)


def _sorted_into_rooms(arrays: dict[str, Array], path: Path, chip: int) -> ChipMaps:
    macros: dict[str, dict[str, Array]] = {}
    layers: dict[str, dict[str, Array]] = {}
    cells: dict[str, Array] = {}
    for name, array in arrays.items():
        room, _, rest = name.partition("/")
        owner, _, kind = rest.rpartition("/")
        if room == "macro" and kind in ("as_formed", "final", "pulses"):
            macros.setdefault(owner, {})[kind] = _of_dimensions(2, array, name, path)
        elif room == "weight" and kind in ("mask", "scores"):
            layers.setdefault(owner, {})[kind] = _of_dimensions(2, array, name, path)
        elif room == "cells":
            cells[rest] = _of_dimensions(1, array, name, path)
    return ChipMaps(
        chip=chip,
        macros={name: MacroMaps(**macros[name]) for name in sorted(macros, key=_in_counting_order)},
        layers={name: LayerMaps(**parts) for name, parts in layers.items()},
        cells=cells,
    )


def _in_counting_order(name: str) -> tuple[int, str]:
    return (int(name), "") if name.isdecimal() else (1 << 62, name)


def _of_dimensions(dimensions: int, array: Array, name: str, path: Path) -> Array:
    if array.ndim != dimensions or array.dtype.kind not in "biuf":
        raise FileError(
            f"The map {name} is {array.dtype} of shape {array.shape},"
            f" not numbers in {dimensions} dimensions",
            where=str(path),
            cause="the file was written by another program or version",
            remedy="Run again, or delete the file to have a page without maps",
        )
    return array
