"""Cell numbers in commands: those a chip does not have are refused, and those named twice."""

import torch
from torch import Tensor

from secateur.errors import ChipError


def refuse_foreign(cells: Tensor, *, total: int) -> None:
    """Refuses cell numbers outside 0 ... total - 1.

    Raises:
        ChipError: naming one of them.
    """
    if not cells.numel():
        return
    lowest, highest = (int(end) for end in cells.aminmax())
    if lowest < 0 or highest >= total:
        raise ChipError(
            f"Cell {lowest if lowest < 0 else highest} is not on this chip, "
            f"which has {total} cells in use",
            cause="the cell numbers belong to another chip",
            remedy="Use the numbers of a region that this chip's `place` has returned",
        )


def refuse_repeated(cells: Tensor, *, total: int) -> None:
    """Refuses numbers that occur twice among cells of 0 ... total - 1, in O(n) for large n.

    Raises:
        ChipError: naming one of them.
    """
    if bool((cells[1:] > cells[:-1]).all()):
        return
    # A sort is the cheaper of the two where a command names a small part of a large chip.
    if 64 * cells.numel() >= total:
        marks = torch.zeros(total, dtype=torch.bool, device=cells.device)
        marks[cells] = True
        if int(marks.sum()) == cells.numel():
            return
    ordered = cells.sort().values
    repeated = ordered[1:][ordered[1:] == ordered[:-1]]
    if repeated.numel():
        raise ChipError(
            f"Cell {int(repeated[0])} is named twice in one command",
            cause="two edges were given the same cell",
            remedy="Name each cell once",
        )
