"""A chip: macros of cells, and the commands of the hardware."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from secateur.chip.ledger import Ledger
from secateur.chip.placement import Placement, Region
from secateur.chip.state import ChipState, identity_of
from secateur.chip.window import Window
from secateur.device import Technology
from secateur.errors import ChipError


@dataclass(frozen=True)
class PairStatistics:
    """What a simulator knows of a region's pairs: mean and noise of a read, in siemens.

    Both have the region's shape. They are views of the chip's state: read them, never write.
    """

    difference: Tensor
    deviation: Tensor


@dataclass(frozen=True)
class CellStatistics:
    """What a simulator knows of cells: mean and noise of a read, in siemens, any shape."""

    conductance: Tensor
    deviation: Tensor


@dataclass(frozen=True)
class WriteReport:
    """What `write_verify` did: pulses per cell, and the cells it could not bring to target."""

    pulses: int
    missed: Tensor

    @classmethod
    def joined(cls, parts: Sequence["WriteReport"]) -> "WriteReport":
        """Of a write that was given in parts."""
        return cls(sum(part.pulses for part in parts), torch.cat([part.missed for part in parts]))


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
    # Of all that is frozen at a chip's birth.
    seed: int = 0

    PRISTINE: ClassVar[int] = 0
    LOW: ClassVar[int] = 1
    HIGH: ClassVar[int] = 2

    # Whether `restore` can bring the cells back: those of a real chip only pulses can change.
    saves: bool = False
    # Cells that one command with an id may name, None for any number. More go in several.
    cells_per_command: int | None = None

    @abstractmethod
    def place(self, name: str, shape: tuple[int, ...], *, inputs_first: bool = False) -> Region:
        """Gives a weight its cells and forms them.

        Raises:
            ChipError: where there is no room.
        """

    def expect(self, weights: int) -> None:  # noqa: B027 (a chip need not heed it)
        """Told that so many more weights will be placed; may make room for them at once."""

    @abstractmethod
    def form(self, cells: Tensor, *, voltage: float, width: float, compliance: float) -> None:
        """One forming pulse to each of the given cells (int64, no cell twice).

        Raises:
            ChipError: for cells the chip does not have, or a cell named twice.
        """

    def ramp(
        self, cells: Tensor, *, voltages: Sequence[float], width: float, compliance: float
    ) -> None:
        """Forming pulses of rising voltage: each pair gets them until one of its cells conducts.

        Pulse by pulse, unless a chip has a procedure of its own for the same pulses.

        Args:
            cells: int64, whole pairs in turn: 2w, 2w + 1.
            voltages: volts of the pulses, never falling.
            width: seconds of each pulse.
            compliance: amperes.

        Raises:
            ChipError: for cells the chip does not have, or a cell named twice.
        """
        pairs = cells.view(-1, 2)
        for voltage in voltages:
            self.form(pairs.reshape(-1), voltage=voltage, width=width, compliance=compliance)
            pairs = pairs[~self.conducting(pairs.reshape(-1)).view(-1, 2).any(dim=1)]
            if not len(pairs):
                return

    @abstractmethod
    def set(self, cells: Tensor) -> None:
        """One SET pulse to each cell: a low cell goes high, a pristine one stays pristine."""

    @abstractmethod
    def reset(self, cells: Tensor) -> None:
        """One RESET pulse to each cell: a high cell goes low."""

    def switch(self, cells: Tensor, up: Tensor) -> None:
        """RESETs the cells where `up` is False, then SETs those where it is True.

        What a mask update sends; in one pass where a chip can.

        Args:
            cells: int64, no cell twice.
            up: boolean, one per cell.
        """
        self.reset(cells[~up])
        self.set(cells[up])

    def switch_verify(self, cells: Tensor, up: Tensor) -> Tensor:
        """Switches formed cells; those that were looked at and did not follow, int64.

        None of them where a chip does not look back, as most do not.
        """
        self.switch(cells, up)
        return cells[:0]

    @abstractmethod
    def write_verify(
        self, cells: Tensor, targets: Tensor, *, tolerance: float = 0.02, attempts: int = 10
    ) -> WriteReport:
        """Brings cells near target conductances by pulses and reads, all counted.

        Args:
            cells: int64, no cell twice.
            targets: siemens, one per cell.
            tolerance: accepted deviation as a share of the technology's high conductance.
            attempts: at most so many SET pulses per cell, 1 or more.

        Raises:
            ChipError: for foreign cells, a cell named twice, or targets that are no conductances.
        """

    @abstractmethod
    def read(self, region: Region, *, key: int) -> Tensor:
        """One noisy read of a region in siemens, of shape (*region.shape, 2): + cells, - cells.

        Raises:
            ChipError: for a region of another chip; so do `multiply`, `status`, `statistics`.
        """

    @abstractmethod
    def read_back(self, cells: Tensor) -> Tensor:
        """One read of each cell in siemens, as taken after programming: its noise belongs to the
        cell's last pulse, so that reading it again tells nothing new."""

    @abstractmethod
    def multiply(self, region: Region, voltages: Tensor, *, key: int) -> Tensor:
        """Currents (n, outputs) of + columns less - columns for voltages (n, inputs).

        Each of the n multiplications meets the cells with fresh noise.
        """

    def begin_multiply(self, region: Region, voltages: Tensor, *, key: int) -> Callable[[], Tensor]:
        """`multiply` whose answer may come later: calling the result waits for it.

        Until then the voltages must stay as they are; they may be on their way, even twice.
        """
        currents = self.multiply(region, voltages, key=key)
        return lambda: currents

    def begin_convolve(
        self, region: Region, maps: Tensor, window: Window, *, key: int
    ) -> Callable[[], Tensor]:
        """`multiply` of every patch that a window sees: currents (N, outputs, *places), later.

        Args:
            region: of a weight (outputs, channels, *kernel).
            maps: volts (N, channels, *size).
            window: how patches are cut.
            key: of the noise.
        """
        currents = self.begin_multiply(region, window.patches(maps), key=key)
        return lambda: window.laid_out(currents(), maps)

    @abstractmethod
    def status(self, region: Region) -> Tensor:
        """PRISTINE, LOW or HIGH per cell, int8 of shape (*region.shape, 2).

        A cell that was written to a value is in the state that it is nearer to, as a ratio; SET and
        RESET both move it, unless the memory has two states only.
        """

    @abstractmethod
    def conducting(self, cells: Tensor) -> Tensor:
        """Mask of the given cells that are no longer pristine."""

    def statistics(self, region: Region) -> PairStatistics | None:
        """Mean and noise of a region's pairs where the chip knows them, None where it does not."""
        return None

    def mark(self) -> tuple[object, int] | None:
        """As long as object and number are the same, no conductance has changed.

        None where a chip cannot tell.
        """
        return None

    def cell_statistics(self, cells: Tensor) -> CellStatistics | None:
        """Mean and noise of cells where the chip knows them, None where it does not.

        Args:
            cells: their numbers, int64, any shape; -1 is any cell that no weight was placed on.
        """
        return None

    @abstractmethod
    def to(self, device: torch.device) -> None:
        """Moves a simulated chip's tensors to a device; a real chip stays where it is."""

    def spent(self) -> Tensor:
        """SET and RESET pulses of each cell by now, int32 (cells,): what a flip budget goes by.

        A chip with a journal counts what its run has asked for, so that a run that goes the same
        way again finds the same, though the cells are ahead of it.
        """
        return self.ledger.switching

    def close(self) -> None:
        """Lets go of a board, once what was asked of it is done; nothing to do for a simulation."""
        return

    # --- Saving ------------------------------------------------------------------------------

    def identity(self) -> dict[str, Any]:
        """What tells this chip from others, in plain JSON: technology, geometry, placement."""
        technology = self.technology.identity()
        return {"kind": type(self).__name__, "technology": technology} | identity_of(self.placement)

    def state(self) -> ChipState | None:
        """A copy of the cells' state; None for a real chip, which keeps its own."""
        return None

    def restore(self, state: ChipState) -> None:
        """Brings the cells back to a saved state without a pulse.

        Raises:
            ChipError: for a real chip, which only pulses can change.
            SettingError: for the state of another chip; the difference is named.
            FileError: where the state does not fit the placement it names.
        """
        raise ChipError(
            "A real chip cannot be brought back to a saved state", where=type(self).__name__,
            cause="its conductances are changed by pulses only",
            remedy="Load the model's digital state; the chip still holds what was on it",
        )  # fmt: skip
