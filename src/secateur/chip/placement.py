"""Placement: which cells are which edge.

A weight is a pair of cells in adjacent columns: the weight with memory index w of a region owns
the region's cells 2w (+) and 2w + 1 (-). A region is a weight matrix cut into tiles; tiles are
packed onto shelves of macros. Input lines are rows, output lines are columns.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from secateur.errors import ChipError, SettingError


@dataclass(frozen=True)
class Geometry:
    """Rows (input lines) and columns (output lines) of one macro.

    Raises:
        SettingError: without room for a single pair.
    """

    rows: int = 512
    columns: int = 512

    def __post_init__(self) -> None:
        if self.rows < 1 or self.columns < 2:
            raise SettingError(
                f"A macro of {self.rows} x {self.columns} cells holds no pair",
                remedy="Give at least 1 row and 2 columns",
            )

    @property
    def cells(self) -> int:
        """Cells of a macro."""
        return self.rows * self.columns

    @property
    def pairs_per_row(self) -> int:
        """Pairs in adjacent columns along one row."""
        return self.columns // 2

    def lines(self, pairs: Tensor) -> tuple[Tensor, Tensor]:
        """Numbers on the chip of the input and the output line of each pair's two cells.

        Args:
            pairs: int64 (n,), physical pair addresses.

        Returns:
            Two int64 tensors (2n,), + and - cells in turn.
        """
        row, place = pairs // self.pairs_per_row, pairs % self.pairs_per_row
        first = row // self.rows * self.columns + 2 * place
        columns = torch.stack([first, first + 1], dim=1).view(-1)
        return row.repeat_interleave(2), columns


@dataclass(frozen=True)
class Tile:
    """A rectangle of one macro that holds a part of a region's matrix."""

    macro: int
    row: int
    pair_column: int
    rows: int
    pair_columns: int
    first_input: int
    first_output: int


@dataclass(frozen=True)
class Region:
    """Where one weight lives: its shape, its first cell, its tiles.

    Args:
        name: of the weight, for messages and maps.
        shape: of the weight tensor.
        inputs_first: True where the weight's first axis counts inputs (transposed convolutions).
        first_cell: number of its first cell on the chip; it owns 2 cells a weight from there.
        tiles: covering the matrix (inputs x outputs) without overlap.
    """

    name: str
    shape: tuple[int, ...]
    inputs_first: bool
    first_cell: int
    tiles: tuple[Tile, ...]

    @property
    def weights(self) -> int:
        """Number of weights, each a pair of cells."""
        return math.prod(self.shape)

    @property
    def matrix(self) -> tuple[int, int]:
        """Inputs and outputs of the weight as a matrix."""
        first, rest = self.shape[0], math.prod(self.shape[1:])
        return (first, rest) if self.inputs_first else (rest, first)

    @property
    def cells(self) -> slice:
        """The region's cell numbers."""
        return slice(self.first_cell, self.first_cell + 2 * self.weights)

    @property
    def pairs(self) -> slice:
        """The region's pair numbers: half its cell numbers."""
        return slice(self.first_cell // 2, self.first_cell // 2 + self.weights)

    def as_matrix(self, values: Tensor) -> Tensor:
        """Values of the weights, shaped as they or flat, as (inputs, outputs)."""
        flat = values.reshape(self.shape[0], -1)
        return flat if self.inputs_first else flat.T

    def pair_addresses(self, geometry: Geometry) -> Tensor:
        """Physical pair address (macro, row, pair column in mixed radix) of each weight, int64."""
        inputs, outputs = self.matrix
        grid = torch.empty((inputs, outputs), dtype=torch.int64)
        for tile in self.tiles:
            row = torch.arange(tile.rows) + tile.macro * geometry.rows + tile.row
            column = torch.arange(tile.pair_columns) + tile.pair_column
            addresses = row.unsqueeze(1) * geometry.pairs_per_row + column
            i, o = tile.first_input, tile.first_output
            grid[i : i + tile.rows, o : o + tile.pair_columns] = addresses
        return (grid if self.inputs_first else grid.T).reshape(-1)


@dataclass
class _Shelf:
    macro: int
    row: int
    height: int
    used: int = 0


class Placement:
    """Packs regions onto macros, and says who sits where.

    Args:
        geometry: of every macro.
        macros: how many the chip has, or None for as many as it takes.
        most_cells: how many cells there are, where these fill no whole macros.
    """

    def __init__(
        self, geometry: Geometry, *, macros: int | None = None, most_cells: int | None = None
    ) -> None:
        self.geometry, self.limit, self.most_cells = geometry, macros, most_cells
        self.regions: list[Region] = []
        self._shelves: list[_Shelf] = []
        self._free_row: list[int] = []

    @property
    def macros(self) -> int:
        """Macros in use."""
        return len(self._free_row)

    @property
    def cells(self) -> int:
        """Cells in use."""
        return sum(2 * region.weights for region in self.regions)

    @property
    def utilisation(self) -> float:
        """Share of the used macros' cells that belong to a weight."""
        return self.cells / (self.macros * self.geometry.cells) if self.macros else 0.0

    def place(self, name: str, shape: tuple[int, ...], *, inputs_first: bool = False) -> Region:
        """Finds room for a weight.

        Raises:
            ChipError: where the chip's macros are full; nothing is placed then.
        """
        probe = Region(name, shape, inputs_first, self.cells, ())
        inputs, outputs = probe.matrix
        rows, pairs = self.geometry.rows, self.geometry.pairs_per_row
        if self.most_cells is not None and self.cells + 2 * probe.weights > self.most_cells:
            raise self._full(name, probe.weights)
        before = self._snapshot()
        tiles: list[Tile] = []
        for i in range(0, inputs, rows):
            for o in range(0, outputs, pairs):
                height, width = min(rows, inputs - i), min(pairs, outputs - o)
                shelf = self._shelf(height, width)
                if shelf is None:
                    self._restore(before)
                    raise self._full(name, probe.weights)
                tiles.append(Tile(shelf.macro, shelf.row, shelf.used, height, width, i, o))
                shelf.used += width
        region = Region(name, shape, inputs_first, probe.first_cell, tuple(tiles))
        self.regions.append(region)
        return region

    def cells_along(self, tile: Tile) -> Tensor:
        """What is on a tile's rows, from end to end of its macro: the array it is read in.

        Returns:
            Cell numbers, int64 (tile.rows, columns); -1 where no weight was placed.
        """
        numbers = torch.full((tile.rows, self.geometry.columns), -1, dtype=torch.int64)
        for region in self.regions:
            inputs, outputs = region.matrix
            for other in region.tiles:
                top = max(tile.row, other.row)
                bottom = min(tile.row + tile.rows, other.row + other.rows)
                if other.macro != tile.macro or top >= bottom:
                    continue
                i = torch.arange(top, bottom).unsqueeze(1) - other.row + other.first_input
                o = torch.arange(other.pair_columns) + other.first_output
                weights = i * outputs + o if region.inputs_first else o * inputs + i
                first = 2 * weights + region.first_cell
                place = slice(2 * other.pair_column, 2 * (other.pair_column + other.pair_columns))
                pairs = torch.stack([first, first + 1], dim=-1).flatten(1)
                numbers[top - tile.row : bottom - tile.row, place] = pairs
        return numbers

    def check(self, region: Region) -> None:
        """Refuses a region that was placed elsewhere.

        Raises:
            ChipError: naming the region.
        """
        if region not in self.regions:
            raise ChipError(
                f"Region {region.name!r} is not on this chip",
                cause="it was placed on another chip",
                remedy="Use the region that this chip's `place` has returned",
            )

    def _shelf(self, height: int, width: int) -> _Shelf | None:
        room = [
            shelf for shelf in self._shelves
            if shelf.height >= height and shelf.used + width <= self.geometry.pairs_per_row
        ]  # fmt: skip
        if room:
            return min(room, key=lambda shelf: shelf.height)
        for macro, row in enumerate(self._free_row):
            if row + height <= self.geometry.rows:
                return self._open(macro, height)
        if self.limit is not None and self.macros >= self.limit:
            return None
        self._free_row.append(0)
        return self._open(self.macros - 1, height)

    def _open(self, macro: int, height: int) -> _Shelf:
        shelf = _Shelf(macro, self._free_row[macro], height)
        self._free_row[macro] += height
        self._shelves.append(shelf)
        return shelf

    def _snapshot(self) -> tuple[list[_Shelf], list[int]]:
        copies = [_Shelf(s.macro, s.row, s.height, s.used) for s in self._shelves]
        return copies, list(self._free_row)

    def _restore(self, before: tuple[list[_Shelf], list[int]]) -> None:
        self._shelves, self._free_row = before

    def _full(self, name: str, weights: int) -> ChipError:
        total = self.most_cells or (self.limit or 0) * self.geometry.cells
        return ChipError(
            f"No room for the {weights} weights ({2 * weights} cells): "
            f"{self.cells} of the chip's {total} cells are taken",
            where=name,
            cause="the model has more weights than the chip has pairs of cells",
            remedy="Give the chip more macros, or leave layers digital with `where`",
        )

    def __str__(self) -> str:
        lines = [
            f"{self.macros} macro(s) of {self.geometry.rows} x {self.geometry.columns} cells, "
            f"{self.cells} cells in use ({self.utilisation:.1%})"
        ]
        for region in self.regions:
            inputs, outputs = region.matrix
            lines.append(f"  {region.name}: {inputs} inputs x {outputs} outputs")
            lines += [
                f"    macro {t.macro}, rows {t.row}-{t.row + t.rows - 1}, "
                f"columns {2 * t.pair_column}-{2 * (t.pair_column + t.pair_columns) - 1}"
                for t in region.tiles
            ]
        return "\n".join(lines)

    __repr__ = __str__


def as_macro(
    values: Tensor, pairs: Tensor, *, macro: int, geometry: Geometry, elsewhere: float
) -> Tensor:
    """Values of cells as they lie on a macro, (rows, columns), on the CPU.

    Args:
        values: one per cell, + and - cells of each pair in turn.
        pairs: int64, physical pair addresses.
        macro: its number.
        geometry: of the macros.
        elsewhere: value of cells without a weight.
    """
    grid = torch.full((geometry.cells,), elsewhere, dtype=values.dtype)
    addresses = torch.stack([2 * pairs, 2 * pairs + 1], dim=1).view(-1).cpu()
    here = addresses // geometry.cells == macro
    grid[addresses[here] % geometry.cells] = values.cpu()[here]
    return grid.view(geometry.rows, geometry.columns)
