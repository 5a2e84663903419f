"""Saving a simulated chip: its cells' state travels, its identity is compared, no pulse is sent."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, is_dataclass
from typing import Any

import torch
from torch import Tensor

from secateur.chip.placement import Placement, Region
from secateur.errors import FileError, SettingError

_ABSENT = "absent"


@dataclass(frozen=True)
class ChipState:
    """What the cells of a chip have become.

    Args:
        tensors: one entry per cell in use, in the order of the chip's cells: `conductance` now
            and as `programmed` (siemens), `status`, `stuck`, the ledger's `form`, `set`, `reset`
            (pulses) and its age; the chip's clock, and the number of `reads`. Copies.
        identity: of the chip that it belongs to, as `Chip.identity` gives it.
    """

    tensors: dict[str, Tensor]
    identity: dict[str, Any]

    def copy_to(self, cells: Mapping[str, Tensor], identity: Mapping[str, Any]) -> None:
        """Writes the saved values into a chip's own tensors, all of them or none.

        Raises:
            SettingError: where the identity is another one; the difference is named.
            FileError: where a tensor is missing or of another size.
        """
        if found := first_difference(identity, self.identity):
            raise SettingError(
                f"The saved state belongs to another chip: {found}",
                remedy="Make the chip and prune the model with the settings it was saved with",
            )
        for name, tensor in {**cells, "reads": torch.zeros(())}.items():
            if name not in self.tensors or self.tensors[name].shape != tensor.shape:
                raise FileError(
                    f"The saved chip's {name} is missing or of another size",
                    cause="the file was changed by another program",
                    remedy="Load another one",
                )
        for name, tensor in cells.items():
            tensor.copy_(self.tensors[name])


def identity_of(placement: Placement) -> dict[str, Any]:
    """Geometry and regions of a chip in plain JSON."""
    return {
        "geometry": asdict(placement.geometry),
        "macros": placement.limit,
        "regions": [_region(region) for region in placement.regions],
    }


def _region(region: Region) -> dict[str, Any]:
    tiles = [list(asdict(tile).values()) for tile in region.tiles]
    return {**asdict(region), "shape": list(region.shape), "tiles": tiles}


def in_words(setting: object) -> str:
    """A setting object as text that is the same in every process."""
    return repr(setting) if is_dataclass(setting) else type(setting).__name__


def first_difference(here: Any, there: Any) -> str | None:
    """Where two JSON values differ first: `technology.read_noise is 0.02 here, 0.0 in the file`.

    Args:
        here: value of this process.
        there: value that was saved.

    Returns:
        One phrase, or None where they are equal.
    """
    own, saved = dict(_leaves("", here)), dict(_leaves("", there))
    paths = [*own, *saved]
    # What is missing on one side explains more than a value that differs because of it.
    missing = [path for path in paths if (path in own) != (path in saved)]
    for path in missing + paths:
        if own.get(path, _ABSENT) != saved.get(path, _ABSENT):
            return f"{path} is {own.get(path, _ABSENT)} here, {saved.get(path, _ABSENT)} saved"
    return None


def _leaves(path: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _leaves(f"{path}.{key}" if path else str(key), inner)
    elif isinstance(value, list) and all(isinstance(inner, Mapping) for inner in value):
        for n, inner in enumerate(value):
            yield from _leaves(f"{path}[{n}]", inner)
    else:
        yield path, repr(value)
