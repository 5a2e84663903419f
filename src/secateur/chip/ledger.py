"""The ledger: every pulse a cell has received, by kind."""

from dataclasses import dataclass, fields

import torch
from torch import Tensor

from secateur.chip.room import appended, with_room


@dataclass
class Ledger:
    """Pulse counts per cell, int32, in the order of the chip's cells.

    Nothing but a pulse changes a conductance, so a cell whose counts stand still must stand still
    itself.
    """

    form: Tensor
    set: Tensor
    reset: Tensor
    reads: int = 0

    @classmethod
    def empty(cls, device: torch.device) -> "Ledger":
        """A ledger without cells."""
        none = torch.zeros(0, dtype=torch.int32, device=device)
        return cls(form=none, set=none.clone(), reset=none.clone())

    def extend(self, cells: int) -> None:
        """Adds new cells that have received nothing yet."""
        fresh = torch.zeros(cells, dtype=torch.int32, device=self.form.device)
        for kind in ("form", "set", "reset"):
            setattr(self, kind, appended(getattr(self, kind), fresh))

    def expect(self, cells: int) -> None:
        """Makes room for so many cells in all."""
        for kind in ("form", "set", "reset"):
            setattr(self, kind, with_room(getattr(self, kind), cells))

    def to(self, target: torch.device) -> None:
        """Moves the counts to a device."""
        for kind in ("form", "set", "reset"):
            setattr(self, kind, getattr(self, kind).to(target))

    def counts(self, cells: Tensor) -> Tensor:
        """All pulses that the given cells have received: the number of their last pulse."""
        return self.form[cells] + self.set[cells] + self.reset[cells]

    def wear(self, cells: Tensor) -> Tensor:
        """SET and RESET pulses that the given cells have received."""
        return self.set[cells] + self.reset[cells]

    def totals(self) -> dict[str, int]:
        """Pulses by kind over the whole chip."""
        return {
            field.name: int(getattr(self, field.name).sum())
            for field in fields(self)
            if field.name != "reads"
        }

    @property
    def switching(self) -> Tensor:
        """SET and RESET pulses per cell: what wears a cell."""
        return self.set + self.reset

    @property
    def most_worn(self) -> int:
        """SET and RESET pulses of the cell that has received most."""
        return int(self.switching.max()) if self.set.numel() else 0
