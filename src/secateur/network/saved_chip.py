"""The chip in a saved model's file, without the model: its cells, and where they are."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from secateur.chip import Geometry, Placement, Region, Tile
from secateur.errors import FileError, SettingError, nearest
from secateur.network.saving import header_of
from secateur.network.tensor_file import read_tensors


@dataclass(frozen=True)
class SavedChip:
    """What a file has of a chip.

    Args:
        placement: of its weights.
        conductance: siemens of every cell in the order of their numbers.
        technology: its parameters by name, in SI units.
    """

    placement: Placement
    conductance: Tensor
    technology: dict[str, Any]

    @property
    def regions(self) -> dict[str, Region]:
        """By the names of the weights."""
        return {region.name: region for region in self.placement.regions}

    def tile(self, weight: str, number: int) -> Tile:
        """A tile of a weight.

        Raises:
            SettingError: for a weight or tile that the chip does not have.
        """
        if weight not in self.regions:
            raise SettingError(
                f"There is no weight {weight!r} on this chip",
                remedy=nearest(weight, list(self.regions)),
            )
        tiles = self.regions[weight].tiles
        if not 0 <= number < len(tiles):
            raise SettingError(
                f"{weight} has no tile {number}", remedy=f"Give 0 to {len(tiles) - 1}"
            )
        return tiles[number]

    def array(self, tile: Tile) -> Tensor:
        """Siemens (tile.rows, columns) of the array a tile is read in, other rows being off."""
        cells = self.placement.cells_along(tile)
        pristine = float(self.technology["pristine_conductance"])
        return torch.where(cells < 0, pristine, self.conductance[cells.clamp_min(0)])


def read_chip(path: str | Path) -> SavedChip:
    """The first chip in a file that `save`, or a run as its checkpoint, has written.

    Raises:
        FileError: for a file that is missing, truncated, or has no simulated chip.
    """
    tensors, metadata = read_tensors(Path(path))
    try:
        chips = header_of(metadata)["settings"]["chips"]
    except FileError as error:
        raise FileError(
            error.what, where=str(path), cause=error.cause, remedy=error.remedy
        ) from error
    if not chips or "chip/0/conductance" not in tensors:
        raise FileError(
            "This file has no cells of a chip", where=str(path),
            cause="the model was digital, or on a real chip, which keeps its own state",
            remedy="Give a model on a simulated chip",
        )  # fmt: skip
    identity = chips[0]
    placement = Placement(Geometry(**identity["geometry"]), macros=identity["macros"])
    placement.regions = [
        Region(**{
            **region, "shape": tuple(region["shape"]),
            "tiles": tuple(Tile(*tile) for tile in region["tiles"]),
        })
        for region in identity["regions"]
    ]  # fmt: skip
    return SavedChip(placement, tensors["chip/0/conductance"], identity["technology"])
