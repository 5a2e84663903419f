"""A chip behind an instrument: the bookkeeping of every driver, which is left three commands.

Placement, the ledger, refusals, forming and the states of cells are here; a driver sends pulses and
measures.
"""

from abc import abstractmethod

import torch
from torch import Tensor

from secateur.chip.cells import refuse_foreign, refuse_repeated
from secateur.chip.chip import Chip, WriteReport
from secateur.chip.forming import FixedVoltage, Forming, refuse_unphysical
from secateur.chip.ledger import Ledger
from secateur.chip.placement import Geometry, Placement, Region
from secateur.device import Technology
from secateur.errors import ChipError


class DrivenChip(Chip):
    """A real chip; give it `send_form`, `send_switch` and `measure`, and it is a `Chip`.

    Whether a cell is formed, and in which state, is what it reads: above the geometric mean of the
    pristine and the low conductance after a forming pulse it is formed, above that of the low and
    the high one it is high. A pulse is counted before it is sent: one that may have been given has
    been counted. Tensors are on the CPU.

    What it knows ends with its process. A new one that is given the old one's journal allots the
    same cells to the same weights again and takes over the counts (`secateur.chip.recalling`).

    Args:
        technology: what the cells are made of: its conductances tell the states apart.
        geometry: rows and columns of a macro.
        macros: how many there are.
        forming: how cells are formed when a weight is placed on them.

    Raises:
        SettingError, FileError: for a technology that cannot be had.
    """

    def __init__(
        self, technology: str | Technology, *, geometry: Geometry, macros: int = 1,
        forming: Forming | None = None,
    ) -> None:  # fmt: skip
        self.technology = Technology.load(technology)
        self.forming = forming or FixedVoltage()
        self.placement = Placement(geometry, macros=macros)
        self.ledger = Ledger.empty(torch.device("cpu"))
        self._place = torch.zeros((0, 3), dtype=torch.int64)
        self._formed = torch.zeros(0, dtype=torch.bool)
        self._high = torch.zeros(0, dtype=torch.bool)
        # Pulsed since they were last looked at; of these, those that may have been formed by it.
        self._unseen = torch.zeros(0, dtype=torch.bool)
        self._unsure = torch.zeros(0, dtype=torch.bool)

    # --- What a driver gives -----------------------------------------------------------------

    @abstractmethod
    def send_form(self, cells: Tensor, *, voltage: float, width: float, compliance: float) -> None:
        """One forming pulse to each cell: volts, seconds, amperes. `where` tells where they lie."""

    @abstractmethod
    def send_switch(self, cells: Tensor, *, up: bool) -> None:
        """One SET (`up`) or RESET pulse to each cell."""

    @abstractmethod
    def measure(self, cells: Tensor) -> Tensor:
        """One read of each cell in siemens, float32, in the order of `cells`."""

    def where(self, cells: Tensor) -> Tensor:
        """Macro, row and column of cells, int64 (n, 3)."""
        return self._place[cells]

    # --- Commands ----------------------------------------------------------------------------

    def place(self, name: str, shape: tuple[int, ...], *, inputs_first: bool = False) -> Region:
        """See `Chip.place`; cells of which some conduct were formed before, and get no pulse."""
        region = self.allot(name, shape, inputs_first=inputs_first)
        cells = torch.arange(region.cells.start, region.cells.stop)
        if not bool(self.conducting(cells).any()):
            self.forming.run(self, cells)
        return region

    def allot(self, name: str, shape: tuple[int, ...], *, inputs_first: bool = False) -> Region:
        """See `FormedApart.allot`."""
        region = self.placement.place(name, tuple(shape), inputs_first=inputs_first)
        self._extend(region)
        return region

    def form(self, cells: Tensor, *, voltage: float, width: float, compliance: float) -> None:
        """See `Chip.form`."""
        refuse_unphysical(voltage=voltage, width=width, compliance=compliance)
        cells = self._checked(cells)
        if len(cells):
            self.ledger.form[cells] += 1
            self._unseen[cells] = True
            # Also if the pulses fail half way. Nothing but forming makes a pristine cell conduct.
            self._unsure[cells] = ~self._formed[cells]
            self.send_form(cells, voltage=voltage, width=width, compliance=compliance)
            self._look(cells)

    def set(self, cells: Tensor) -> None:
        """See `Chip.set`."""
        self._switch(cells, up=True)

    def reset(self, cells: Tensor) -> None:
        """See `Chip.reset`."""
        self._switch(cells, up=False)

    def write_verify(
        self, cells: Tensor, targets: Tensor, *, tolerance: float = 0.02, attempts: int = 10
    ) -> WriteReport:
        """Refused, unless a driver overrides it: it takes a SET of adjustable compliance.

        `secateur.chip.writing.write_and_verify` does the rest.

        Raises:
            ChipError: always.
        """
        raise ChipError(
            "This chip cannot be written to values", where=type(self).__name__,
            cause="its driver knows SET and RESET, and no SET that stops at a given current",
            remedy="Prune it, or give its driver a write_verify",
        )  # fmt: skip

    def read(self, region: Region, *, key: int) -> Tensor:
        """See `Chip.read`: a measurement, whatever the key."""
        self.placement.check(region)
        self.ledger.reads += 1
        cells = torch.arange(region.cells.start, region.cells.stop)
        return self.measure(cells).view(*region.shape, 2)

    def read_back(self, cells: Tensor) -> Tensor:
        """See `Chip.read_back`: a measurement."""
        refuse_foreign(cells, total=self.placement.cells)
        self.ledger.reads += 1
        return self.measure(cells.cpu()) if len(cells) else torch.zeros(0)

    def multiply(self, region: Region, voltages: Tensor, *, key: int) -> Tensor:
        """See `Chip.multiply`: each by a read of its own. A board that multiplies overrides it."""
        self.placement.check(region)
        inputs, outputs = region.matrix
        if (given := voltages.shape[-1]) != inputs:
            raise ChipError(f"{given} voltages for {inputs} input lines", where=region.name)
        currents = torch.empty((len(voltages), outputs))
        for n, vector in enumerate(voltages.cpu().float()):
            pairs = self.read(region, key=key)
            flat = (pairs[..., 0] - pairs[..., 1]).reshape(region.shape[0], -1)
            currents[n] = vector @ (flat if region.inputs_first else flat.T)
        return currents

    def status(self, region: Region) -> Tensor:
        """See `Chip.status`: cells that were pulsed since are looked at first."""
        self.placement.check(region)
        cells = torch.arange(region.cells.start, region.cells.stop)
        if len(unseen := cells[self._unseen[cells]]):
            self._look(unseen)
        high = self._high[region.cells]
        status = torch.where(high, self.HIGH, self.LOW)
        status = status.masked_fill(~self._formed[region.cells], self.PRISTINE)
        return status.to(torch.int8).view(*region.shape, 2)

    def conducting(self, cells: Tensor) -> Tensor:
        """See `Chip.conducting`: as they were when first looked at after forming."""
        cells = cells.cpu()
        refuse_foreign(cells, total=self.placement.cells)
        if len(unsure := cells[self._unsure[cells]]):
            self._look(unsure)
        return self._formed[cells]

    def to(self, device: torch.device) -> None:
        """It stays where it is."""

    # --- Inside ------------------------------------------------------------------------------

    @property
    def _conducts(self) -> float:
        """Siemens above which a cell is formed."""
        return float(
            (self.technology.pristine_conductance * self.technology.low_conductance) ** 0.5
        )

    def _switch(self, cells: Tensor, *, up: bool) -> None:
        cells = self._checked(cells)
        if len(cells):
            (self.ledger.set if up else self.ledger.reset)[cells] += 1
            self._unseen[cells] = True
            self.send_switch(cells, up=up)

    def _look(self, cells: Tensor) -> None:
        """Measures the cells; tells high ones from low ones, and formed ones where not known."""
        law, read = self.technology, self.measure(cells)
        self.ledger.reads += 1
        self._high[cells] = read > (law.low_conductance * law.high_conductance) ** 0.5
        self._formed[cells] |= self._unsure[cells] & (read > self._conducts)
        self._unseen[cells] = self._unsure[cells] = False

    def _extend(self, region: Region) -> None:
        geometry = self.placement.geometry
        pairs = region.pair_addresses(geometry)
        address = torch.stack([2 * pairs, 2 * pairs + 1], dim=1).view(-1)
        inside = address % geometry.cells
        lines = [address // geometry.cells, inside // geometry.columns, inside % geometry.columns]
        self._place = torch.cat([self._place, torch.stack(lines, dim=1)])
        # Never looked at, and perhaps formed by a process that has ended.
        for name, value in (("_formed", False), ("_high", False), ("_unseen", True),
                            ("_unsure", True)):  # fmt: skip
            known = getattr(self, name)
            setattr(self, name, torch.cat([known, torch.full((len(address),), value)]))
        self.ledger.extend(len(address))

    def _checked(self, cells: Tensor) -> Tensor:
        cells, total = cells.cpu(), self.placement.cells
        refuse_foreign(cells, total=total)
        refuse_repeated(cells, total=total)
        return cells
