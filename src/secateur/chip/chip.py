"""A chip: macros of cells, and the commands of the hardware."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from secateur.chip.ledger import Ledger
from secateur.chip.placement import Placement, Region
from secateur.device import Technology


@dataclass(frozen=True)
class PairStatistics:
    """What a simulator knows of a region's pairs: mean and noise of a read, in siemens.

    Both have the region's shape. They are views of the chip's state: read them, never write.
    """

    difference: Tensor
    deviation: Tensor


@dataclass(frozen=True)
class WriteReport:
    """What `write_verify` did: pulses per cell, and the cells it could not bring to target."""

    pulses: int
    missed: Tensor


class Chip(ABC):
    """Cells that only pulses can change, and every pulse counted.

    Cells are numbered in the order of placement; `placement` knows their macros, rows and
    columns. Conductances are siemens, voltages volts, currents amperes. `key` makes a read's
    noise a function of what it is for (see `secateur.keyed`). `testing.ChipContract` holds what
    every chip must obey.
    """

    technology: Technology
    placement: Placement
    ledger: Ledger

    PRISTINE: ClassVar[int] = 0
    LOW: ClassVar[int] = 1
    HIGH: ClassVar[int] = 2

    @abstractmethod
    def place(self, name: str, shape: tuple[int, ...], *, inputs_first: bool = False) -> Region:
        """Gives a weight its cells and forms them.

        Raises:
            ChipError: where there is no room.
        """

    @abstractmethod
    def form(self, cells: Tensor, *, voltage: float, width: float, compliance: float) -> None:
        """One forming pulse to each of the given cells (int64, no cell twice).

        Raises:
            ChipError: for cells the chip does not have, or a cell named twice.
        """

    @abstractmethod
    def set(self, cells: Tensor) -> None:
        """One SET pulse to each cell: a low cell goes high, a pristine one stays pristine."""

    @abstractmethod
    def reset(self, cells: Tensor) -> None:
        """One RESET pulse to each cell: a high cell goes low."""

    @abstractmethod
    def write_verify(
        self, cells: Tensor, targets: Tensor, *, tolerance: float = 0.02, attempts: int = 10
    ) -> WriteReport:
        """Brings cells near target conductances by pulses and reads, all counted.

        Args:
            cells: int64, no cell twice.
            targets: siemens, one per cell.
            tolerance: accepted deviation as a share of the technology's high conductance.
            attempts: at most so many SET pulses per cell.
        """

    @abstractmethod
    def read(self, region: Region, *, key: int) -> Tensor:
        """One noisy read of a region in siemens, of shape (*region.shape, 2): + cells, - cells."""

    @abstractmethod
    def read_back(self, cells: Tensor) -> Tensor:
        """One read of each cell in siemens, as taken after programming: its noise belongs to the
        cell's last pulse, so that reading it again tells nothing new."""

    @abstractmethod
    def multiply(self, region: Region, voltages: Tensor, *, key: int) -> Tensor:
        """Currents (n, outputs) of + columns less - columns for voltages (n, inputs).

        Each of the n multiplications meets the cells with fresh noise.
        """

    @abstractmethod
    def status(self, region: Region) -> Tensor:
        """PRISTINE, LOW or HIGH per cell, int8 of shape (*region.shape, 2)."""

    @abstractmethod
    def conducting(self, cells: Tensor) -> Tensor:
        """Mask of the given cells that are no longer pristine."""

    def statistics(self, region: Region) -> PairStatistics | None:
        """Mean and noise of a region's pairs where the chip knows them, None where it does not."""
        return None

    @abstractmethod
    def to(self, device: torch.device) -> None:
        """Moves a simulated chip's tensors to a device; a real chip stays where it is."""
