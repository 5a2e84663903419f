"""What a simulated chip keeps of each of its cells: room for it, and what of it is saved."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from secateur.chip.ageing import Ages
from secateur.chip.room import with_room

if TYPE_CHECKING:
    from secateur.chip.simulated import SimulatedChip

# One number for each pair; all others are one for each cell.
_OF_PAIRS = ("_address", "_difference", "_deviation")


def make_room(chip: "SimulatedChip", weights: int) -> None:
    """Takes the room for so many more weights at once."""
    cells = chip._conductance.numel() + 2 * weights
    one = chip._programmed is chip._conductance
    for name, held in vars(chip).items():
        if isinstance(held, Tensor) and not (one and name == "_programmed"):
            setattr(chip, name, with_room(held, cells // 2 if name in _OF_PAIRS else cells))
    chip._programmed = chip._conductance if one else chip._programmed
    chip._ages.expect(cells)
    chip.ledger.expect(cells)


def move(chip: "SimulatedChip", target: torch.device) -> None:
    """Moves all of it to a device."""
    one = chip._programmed is chip._conductance
    for name, held in vars(chip).items():
        if isinstance(held, Tensor):
            setattr(chip, name, held.to(target))
    chip._programmed = chip._conductance if one else chip._programmed
    chip._ages.to(target)
    chip.ledger.to(target)


def saved_of(chip: "SimulatedChip", ages: Ages, programmed: Tensor) -> dict[str, Tensor]:
    """What is saved, by name: the tensors themselves.

    While no time has passed, ages and what was programmed go without saying.

    Args:
        chip: whose cells.
        ages: of them.
        programmed: what their last pulses left; the chip's conductances while no time has passed.
    """
    return {
        "conductance": chip._conductance,
        **({} if programmed is chip._conductance else {"programmed": programmed}),
        "status": chip._status, "stuck": chip._stuck, "form": chip.ledger.form,
        "set": chip.ledger.set, "reset": chip.ledger.reset, **ages.tensors(),
    }  # fmt: skip


def all_of(chip: "SimulatedChip") -> dict[str, Tensor]:
    """What is saved and what goes without saying, by name: for a file that grows by changes."""
    ages, programmed = chip._ages, chip._programmed
    said = saved_of(chip, ages, programmed)
    return {
        **said, "programmed": programmed, "age_changed": ages.changed, "age_read": ages.read
    }  # fmt: skip
