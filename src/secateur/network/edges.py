"""Edges and the cells behind them."""

from typing import Literal

import torch
from torch import Tensor

# What an edge is: a pair of cells, or one cell of a pair.
Grain = Literal["pair", "cell"]


def cells_of(edges: Tensor, *, grain: Grain, first_cell: int) -> Tensor:
    """Numbers of the cells behind edges, (n, 2) for pairs, (n, 1) for cells.

    Args:
        edges: int64, numbered from the region's first.
        grain: of the edges.
        first_cell: the region's.
    """
    if grain == "cell":
        return (edges + first_cell).unsqueeze(1)
    first = 2 * edges + first_cell
    return torch.stack([first, first + 1], dim=1)


def weight_of_cells(read: Tensor, edges: Tensor) -> Tensor:
    """The signed difference in siemens that edges contribute, from the reads of their cells.

    Args:
        read: siemens, shaped as `cells_of`.
        edges: as there: a cell's sign is that of its column.
    """
    if read.shape[1] == 2:
        return read[:, 0] - read[:, 1]
    return read[:, 0] * (1.0 - 2.0 * (edges & 1))
