"""Write-and-verify: RESET, SET at a compliance for the target, read, again."""

from collections.abc import Callable

import torch
from torch import Tensor

from secateur import device
from secateur.chip.chip import Chip, WriteReport
from secateur.errors import ChipError


def write_and_verify(
    chip: Chip, cells: Tensor, targets: Tensor, *, tolerance: float, attempts: int,
    set_to: Callable[[Tensor, Tensor], None],
) -> WriteReport:  # fmt: skip
    """See `Chip.write_verify`; the cells have not settled yet when it returns.

    Args:
        chip: that is written to.
        cells: int64 on the chip's device, no cell twice.
        targets: siemens, one per cell.
        tolerance: accepted deviation as a share of the technology's high conductance.
        attempts: at most so many SET pulses per cell.
        set_to: one SET pulse to cells at compliances that aim at the given conductances.

    Raises:
        ChipError: for targets that are no conductances, and for no attempt.
    """
    if attempts < 1 or targets.shape != cells.shape or not bool((targets >= 0.0).all()):
        raise ChipError(
            f"Cannot write {targets.numel()} targets to {cells.numel()} cells "
            f"in {attempts} attempts",
            remedy="Give one conductance of 0 S or more per cell, and at least one attempt",
        )
    law = chip.technology
    before = int(chip.ledger.counts(cells).sum())
    accepted = tolerance * law.high_conductance
    aim = targets.clone()
    places = torch.arange(cells.numel(), device=cells.device)

    def off_target(read: Tensor) -> Tensor:
        return places[(read - targets[places]).abs() > accepted]

    for _ in range(attempts):
        chip.reset(cells[places])
        # A low state on target needs no SET; one above it needs one to be RESET anew.
        places = off_target(chip.read_back(cells[places]))
        asked = device.nearest_level(
            aim[places], low=law.low_conductance, high=law.high_conductance,
            levels=int(law.levels),
        )  # fmt: skip
        # Where there are levels, the lowest one is the low state itself: no SET leads to it.
        up = asked > law.low_conductance if law.levels else torch.ones_like(places).bool()
        set_to(cells[places[up]], asked[up])
        read = chip.read_back(cells[places])
        # Of two states one is the nearer, and asking for the other one corrects nothing.
        if law.levels != 2:
            aim[places] = device.next_aim(aim[places], read=read, target=targets[places])
        places = off_target(read)
    return WriteReport(int(chip.ledger.counts(cells).sum()) - before, cells[places])
