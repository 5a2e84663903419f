"""In which order cells are pulsed: line by line, so that lines switch seldom.

A cell of a macro is reached by its row, along which the transistors' gates run, and its column,
which carries the voltage of the pulse; the other columns are at rest. The other cells of that
column are half-selected: they see the voltage with their gates closed. How often follows from how
many pulses a column carries, whatever their order. So the order takes column by column, rows down
one column and up the next: the voltage moves to another column only when one is done with, and the
gates in between switch one at a time. Where a driver carries several cells at once, they are cells
of one column: one pulse then serves them all, and half-selects the rest of the column once.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from secateur.errors import SettingError


@dataclass(frozen=True)
class PulseOrder:
    """Cells of one macro in the order in which they are pulsed.

    Args:
        places: int64 (n,), which of the given cells comes when.
        pulse: int64 (n,), number of the pulse that each gets, from 0, in that order.
    """

    places: Tensor
    pulse: Tensor

    @property
    def pulses(self) -> int:
        """How many pulses are sent."""
        return int(self.pulse[-1]) + 1 if len(self.pulse) else 0


def pulse_order(rows: Tensor, columns: Tensor, *, at_once: int = 1) -> PulseOrder:
    """The order described above.

    Args:
        rows: int64 (n,), of the cells of one macro, no cell twice.
        columns: int64 (n,), likewise.
        at_once: cells of a column that one pulse may serve.

    Raises:
        SettingError: for less than one cell at once.
    """
    if at_once < 1:
        raise SettingError(f"at_once is {at_once}", remedy="Give 1 cell or more")
    used, rank = torch.unique(columns, return_inverse=True)
    # Down the first column, up the second, and so on.
    along = torch.where(rank % 2 == 0, rows, rows.max() - rows if len(rows) else rows)
    places = torch.argsort(rank * (int(along.max()) + 1 if len(rows) else 1) + along)
    counts = torch.bincount(rank, minlength=len(used))
    before = counts.cumsum(0) - counts
    within = torch.arange(len(rows)) - before[rank[places]]
    # One more pulse begins with every column, and after every `at_once` cells of it.
    starts = within % at_once == 0
    return PulseOrder(places, starts.long().cumsum(0) - 1)


def line_switches(rows: Tensor, columns: Tensor, order: PulseOrder) -> int:
    """Times that a gate opens or the voltage moves to a column, over all pulses.

    A gate that stays open from pulse to pulse does not switch. Arguments as `pulse_order`.
    """
    if not order.pulses:
        return 0
    r, c = rows[order.places], columns[order.places]
    moves = 1 + int((c[1:] != c[:-1]).sum())
    gates = int(r.max()) + 1
    opened = order.pulse * gates + r
    stays = torch.isin(opened - gates, opened)
    return moves + int((~stays).sum())


def half_selected(rows: Tensor, columns: Tensor, order: PulseOrder, *, shape: tuple[int, int]) -> (
    Tensor
):  # fmt: skip
    """Pulses that each cell of a macro sees with its gate closed, int64 (rows, columns).

    Arguments as `pulse_order`.
    """
    r, c = rows[order.places], columns[order.places]
    own = torch.zeros(shape, dtype=torch.int64)
    own.index_put_((r, c), torch.ones_like(r), accumulate=True)
    # Cells of one pulse are of one column: its pulses are those that begin in it.
    first = torch.ones_like(order.pulse, dtype=torch.bool)
    first[1:] = order.pulse[1:] != order.pulse[:-1]
    carried = torch.bincount(c[first], minlength=shape[1])
    return carried.unsqueeze(0) - own
