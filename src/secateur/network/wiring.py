"""A region's pairs as the output lines see them: found once, and anew when their array changes."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from secateur.chip import CellStatistics, Chip, PairStatistics, Region, Tile
from secateur.circuit import Layout, Wired, effective_deviation, relative_error


@dataclass
class _Array:
    """The array a tile is read in, and what has been found of it last."""

    tile: Tile
    cells: Tensor
    conductance: Tensor | None = None
    deviation: Tensor | None = None
    # By whether it is exact; and the currents (1, 2 pair_columns) for equal voltages likewise.
    found: dict[bool, PairStatistics] = field(default_factory=dict)
    lines: dict[bool, Tensor] = field(default_factory=dict)

    def holds(self, known: CellStatistics) -> bool:
        """Whether its cells conduct, and are as noisy, as when it was found."""
        if self.conductance is None or self.deviation is None:
            return False
        alike = torch.equal(self.conductance, known.conductance)
        return alike and torch.equal(self.deviation, known.deviation)


class SeenPairs(nn.Module):
    """What a wired level makes of a region: its effective pairs.

    Where training does not look at every read, what it goes on with is in the state dict, so that
    a run that is resumed goes on with the same.

    Args:
        wires: the level.
        region: whose pairs.
    """

    difference: Tensor | None
    deviation: Tensor | None

    def __init__(self, wires: Wired, region: Region) -> None:
        super().__init__()
        self.wires, self.region = wires, region
        self._arrays: list[_Array] = []
        self._placed = -1
        self._mark: tuple[object, int] | None = None
        self._whole: dict[bool, PairStatistics] = {}
        for name in ("difference", "deviation"):
            held = torch.zeros(region.shape) if wires.interval > 1 else None
            self.register_buffer(name, held)

    def forward(self, chip: Chip, *, read: int) -> PairStatistics | None:
        """The pairs for one read, by the model that training or evaluation asks for.

        None where the chip does not know its cells.

        Args:
            chip: that holds the region.
            read: its number.
        """
        wires = self.wires
        if not self.training:
            return self.statistics(chip, exact=wires.evaluation == "exact")
        if self.difference is None or self.deviation is None:
            return self.statistics(chip, exact=wires.training == "exact")
        # Before the first look nothing is held.
        if read % wires.interval == 0 or not bool(self.difference.any()):
            found = self.statistics(chip, exact=wires.training == "exact")
            if found is None:
                return None
            self.difference.copy_(found.difference)
            self.deviation.copy_(found.deviation)
        return PairStatistics(self.difference, self.deviation)

    def statistics(self, chip: Chip, *, exact: bool) -> PairStatistics | None:
        """Effective mean and noise of the pairs as they are now, in siemens, of the weight's shape.

        None where the chip does not know its cells.
        """
        self._place(chip)
        mark = chip.mark()
        same = mark and self._mark and mark[0] is self._mark[0] and mark[1] == self._mark[1]
        if same and exact in self._whole:
            return self._whole[exact]
        self._mark = mark
        for array in self._arrays:
            known = chip.cell_statistics(array.cells)
            if known is None:
                return None
            if not array.holds(known):
                array.conductance, array.deviation = known.conductance, known.deviation
                array.found, self._whole = {}, {}
            if exact not in array.found:
                array.found[exact] = self._find(chip, array, known.deviation, exact=exact)
        if exact not in self._whole:
            self._whole[exact] = self._join(exact)
        return self._whole[exact]

    def first_order_error(self, chip: Chip) -> float | None:
        """Largest error of an output line's current by first order, over the exact one.

        With equal voltages on the rows of each tile; None where the chip does not know its cells.
        """
        if any(self.statistics(chip, exact=exact) is None for exact in (False, True)):
            return None
        return max(relative_error(a.lines[False], a.lines[True]) for a in self._arrays)

    def __getstate__(self) -> dict[str, Any]:
        # A copy's chip is another: it has to look.
        return {**self.__dict__, "_mark": None}

    # --- Inside -----------------------------------------------------------------------------

    def _place(self, chip: Chip) -> None:
        """Finds the arrays' cells, anew where weights have been placed beside this one since."""
        device = chip.ledger.form.device
        moved = bool(self._arrays) and self._arrays[0].cells.device != device
        if self._placed != chip.placement.cells or moved:
            self._placed, self._whole = chip.placement.cells, {}
            self._arrays = [_Array(tile, self._cells(chip, tile)) for tile in self.region.tiles]

    def _cells(self, chip: Chip, tile: Tile) -> Tensor:
        return chip.placement.cells_along(tile).to(chip.ledger.form.device)

    def _seen(self, chip: Chip, tile: Tile, conductance: Tensor, exact: bool) -> Tensor:
        below = chip.placement.geometry.rows - tile.row - tile.rows
        return self.wires.seen(conductance, segments_below=below, exact=exact)

    def _find(self, chip: Chip, array: _Array, deviation: Tensor, *, exact: bool) -> PairStatistics:
        """Pairs (tile.rows, tile.pair_columns) of the tile."""
        tile, conductance = array.tile, array.conductance
        assert conductance is not None
        own = slice(2 * tile.pair_column, 2 * (tile.pair_column + tile.pair_columns))
        seen = self._seen(chip, tile, conductance, exact)[:, own]
        array.lines[exact] = seen.sum(dim=0, keepdim=True)
        noise = effective_deviation(
            deviation[:, own], conductance=conductance[:, own], effective=seen
        )
        seen = seen.to(deviation.dtype)
        spread = (noise[:, ::2].square() + noise[:, 1::2].square()).sqrt_()
        return PairStatistics(seen[:, ::2] - seen[:, 1::2], spread)

    def _join(self, exact: bool) -> PairStatistics:
        """The tiles put together to the shape of the weight."""
        inputs, outputs = self.region.matrix
        parts = [(array.tile, array.found[exact]) for array in self._arrays]
        joined = []
        for name in ("difference", "deviation"):
            like: Tensor = getattr(parts[0][1], name)
            grid = like.new_empty(inputs, outputs)
            for tile, pairs in parts:
                i, o = tile.first_input, tile.first_output
                grid[i : i + tile.rows, o : o + tile.pair_columns] = getattr(pairs, name)
            flat = grid if self.region.inputs_first else grid.T
            joined.append(flat.reshape(self.region.shape))
        return PairStatistics(*joined)


def layout_of(region: Region, *, seed: int) -> Layout:
    """What a circuit has to know of where a weight lies.

    Args:
        region: of the weight.
        seed: of the chip.
    """
    spans = sorted({(t.first_input, t.first_input + t.rows) for t in region.tiles})
    macros = torch.zeros(len(spans), region.matrix[1], dtype=torch.int64)
    pair_columns = torch.zeros_like(macros)
    for tile in region.tiles:
        span = spans.index((tile.first_input, tile.first_input + tile.rows))
        own = slice(tile.first_output, tile.first_output + tile.pair_columns)
        macros[span, own] = tile.macro
        pair_columns[span, own] = torch.arange(tile.pair_columns) + tile.pair_column
    return Layout(region.shape, region.inputs_first, tuple(spans), macros, pair_columns, seed)
