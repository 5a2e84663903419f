"""A simulated chip: the device's physics applied to every cell that a pulse reaches."""

import torch
from torch import Tensor

from secateur import device
from secateur.chip.chip import Chip, PairStatistics, WriteReport
from secateur.chip.forming import FixedVoltage, Forming
from secateur.chip.ledger import Ledger
from secateur.chip.placement import Geometry, Placement, Region
from secateur.device import Technology
from secateur.errors import ChipError
from secateur.keyed import cell_words, normal, normals, uniforms

# What a cell's draw is for. Draw number 0 of _CELL is frozen at birth, number n is its n-th pulse.
_CELL, _BIRTH, _VERIFY, _RELAX = range(4)


class SimulatedChip(Chip):
    """A chip made of any technology, in memory; with its technology's noise unless told otherwise.

    Every draw is a function of (seed, cell address, pulse number), so the same commands give the
    same chip whatever was read in between. Cells no weight is placed on stay pristine and are not
    stored. A deep copy is a snapshot: an independent chip in the same state.

    Args:
        technology: a preset's name, a TOML file's path, or a `Technology`.
        seed: of the chip; chips with different seeds differ in every draw.
        forming: how cells are formed when a weight is placed on them.
        macros: how many macros it has, or None for as many as needed.
        geometry: rows and columns of a macro.

    Raises:
        SettingError, FileError: for a technology that cannot be had.
    """

    def __init__(
        self,
        technology: str | Technology = "taox-40nm",
        *,
        seed: int = 0,
        forming: Forming | None = None,
        macros: int | None = None,
        geometry: Geometry | None = None,
    ) -> None:
        self.technology = Technology.load(technology)
        self.seed = seed
        self.forming = forming or FixedVoltage()
        self.placement = Placement(geometry or Geometry(), macros=macros)
        self.device = torch.device("cpu")
        self.ledger = Ledger.empty(self.device)
        self._conductance = torch.zeros(0)
        self._status = torch.zeros(0, dtype=torch.int8)
        self._stuck = torch.zeros(0, dtype=torch.bool)
        self._address = torch.zeros(0, dtype=torch.int64)
        # Derived from the conductances of each pair, and kept in step with every pulse.
        self._difference = torch.zeros(0)
        self._deviation = torch.zeros(0)

    # --- Placement and reading ---------------------------------------------------------------

    def place(self, name: str, shape: tuple[int, ...], *, inputs_first: bool = False) -> Region:
        """See `Chip.place`."""
        region = self.placement.place(name, tuple(shape), inputs_first=inputs_first)
        self._extend(region)
        self.forming.run(self, torch.arange(region.cells.start, region.cells.stop))
        return region

    def read(self, region: Region, *, key: int) -> Tensor:
        """See `Chip.read`."""
        conductance = self._conductance[region.cells].view(*region.shape, 2)
        self.ledger.reads += 1
        draw = normal(conductance.shape, key=key, device=self.device)
        return device.noisy_read(conductance, draw, read_noise=self.technology.read_noise)

    def read_back(self, cells: Tensor) -> Tensor:
        """See `Chip.read_back`."""
        self.ledger.reads += 1
        draw = normals(self._words(cells, self.ledger.counts(cells), _VERIFY))[0]
        noise = self.technology.read_noise
        return device.noisy_read(self._conductance[cells], draw, read_noise=noise)

    def multiply(self, region: Region, voltages: Tensor, *, key: int) -> Tensor:
        """See `Chip.multiply`; the noise of a column is drawn as one, exact in distribution."""
        inputs, _ = region.matrix
        if voltages.shape[-1] != inputs:
            raise ChipError(
                f"{voltages.shape[-1]} voltages for {inputs} input lines", where=region.name
            )
        known = self.statistics(region)
        first = self._as_matrix(region, known.difference)
        spread = self._as_matrix(region, known.deviation)
        variance = voltages.square() @ spread.square()
        draw = normal(variance.shape, key=key, device=self.device)
        return voltages @ first + variance.sqrt() * draw

    def status(self, region: Region) -> Tensor:
        """See `Chip.status`."""
        return self._status[region.cells].view(*region.shape, 2).clone()

    def statistics(self, region: Region) -> PairStatistics:
        """See `Chip.statistics`: views, in step with every pulse."""
        return PairStatistics(
            self._difference[region.pairs].view(region.shape),
            self._deviation[region.pairs].view(region.shape),
        )

    def conductance(self, region: Region) -> Tensor:
        """The true conductances in siemens (*region.shape, 2), a copy; no real chip can tell."""
        return self._conductance[region.cells].view(*region.shape, 2).clone()

    def conducting(self, cells: Tensor) -> Tensor:
        """See `Chip.conducting`."""
        return self._status[cells] != self.PRISTINE

    def to(self, target: torch.device) -> None:
        """Moves all state to a device."""
        if target == self.device:
            return
        self.device = target
        for name, value in vars(self).items():
            if isinstance(value, Tensor):
                setattr(self, name, value.to(target))
        for name in ("form", "set", "reset"):
            setattr(self.ledger, name, getattr(self.ledger, name).to(target))

    # --- Pulses: the only code that changes a conductance ---------------------------------------

    def form(self, cells: Tensor, *, voltage: float, width: float, compliance: float) -> None:
        """See `Chip.form`."""
        cells = self._checked(cells)
        law = self.technology
        self.ledger.form[cells] += 1
        frozen = normals(self._words(cells, 0, _CELL))
        limit = device.breakdown_voltage(
            frozen[2], mean=law.breakdown_voltage, spread=law.breakdown_spread,
            slope=law.breakdown_slope, width=width, reference_width=law.forming_width,
        )  # fmt: skip
        broken = (limit <= voltage) & (self._status[cells] == self.PRISTINE)
        cells, frozen = cells[broken], frozen[:, broken]
        stuck_low, stuck_high = device.born_stuck(
            uniforms(self._words(cells, 0, _BIRTH))[0],
            low_fraction=law.stuck_low_fraction, high_fraction=law.stuck_high_fraction,
        )  # fmt: skip
        median = device.median_at_compliance(
            law.high_conductance, compliance=compliance, reference=law.compliance_current
        )
        cycle = normals(self._words(cells, self.ledger.counts(cells), _CELL))[0]
        high = self._high(frozen[0], cycle, median)
        self._change(cells, torch.where(stuck_low, self._low(frozen[1], cycle), high))
        self._status[cells] = torch.where(stuck_low, self.LOW, self.HIGH).to(torch.int8)
        self._stuck[cells] = stuck_low | stuck_high

    def set(self, cells: Tensor) -> None:
        """See `Chip.set`; the new conductance is drawn around the cell's own median."""
        self._switch(self._checked(cells), self.ledger.set, to=self.HIGH)

    def reset(self, cells: Tensor) -> None:
        """See `Chip.reset`."""
        self._switch(self._checked(cells), self.ledger.reset, to=self.LOW)

    def write_verify(
        self, cells: Tensor, targets: Tensor, *, tolerance: float = 0.02, attempts: int = 10
    ) -> WriteReport:
        """See `Chip.write_verify`: RESET, SET at a compliance for the target, read, again."""
        cells, law = self._checked(cells), self.technology
        before = int(self.ledger.counts(cells).sum())
        accepted = tolerance * law.high_conductance
        self.reset(cells)
        # Targets that the low state already meets need no SET.
        pending = targets > self._conductance[cells] + accepted
        aim = targets.clone()
        for attempt in range(attempts):
            places = pending.nonzero().squeeze(1)
            if not len(places):
                break
            if attempt:
                self.reset(cells[places])
            self._switch(cells[places], self.ledger.set, to=self.HIGH, median=aim[places])
            read = self.read_back(cells[places])
            aim[places] = device.next_aim(aim[places], read=read, target=targets[places])
            pending[places] = (read - targets[places]).abs() > accepted
        self._relax(cells)
        self._status[cells] = torch.where(
            self._status[cells] == self.PRISTINE, self.PRISTINE, self.HIGH
        ).to(torch.int8)
        return WriteReport(int(self.ledger.counts(cells).sum()) - before, cells[pending])

    # --- Inside ----------------------------------------------------------------------------------

    def _switch(
        self, cells: Tensor, count: Tensor, *, to: int, median: Tensor | None = None
    ) -> None:
        if not cells.numel():
            return
        law = self.technology
        count[cells] += 1
        # One Philox call serves the frozen and the new draws alike.
        pulses = self.ledger.counts(cells).long()
        both = torch.cat([cells, cells])
        counts = torch.cat([torch.zeros_like(pulses), pulses])
        draws = normals(self._words(both, counts, _CELL))
        n = cells.numel()
        frozen, cycle = draws[:, :n], draws[0, n:]
        limit = device.endurance_limit(frozen[3], median=law.endurance, spread=law.endurance_spread)
        worn = self.ledger.switching[cells] > limit if law.endurance < 1e9 else None
        if worn is not None and bool(worn.any()):
            self._stuck[cells[worn]] = True
        source = self.LOW if to == self.HIGH else self.HIGH
        moves = (self._status[cells] == source) & ~self._stuck[cells]
        if not bool(moves.all()):
            cells, frozen, cycle = cells[moves], frozen[:, moves], cycle[moves]
            median = median[moves] if median is not None else None
        if to == self.HIGH:
            centre = law.high_conductance if median is None else median
            self._change(cells, self._high(frozen[0], cycle, centre))
        else:
            self._change(cells, self._low(frozen[1], cycle))
        self._status[cells] = to

    def _high(self, frozen: Tensor, cycle: Tensor, median: float | Tensor) -> Tensor:
        law = self.technology
        return device.switched_conductance(
            frozen, cycle, median=median,
            device_spread=law.high_device_spread, cycle_spread=law.high_cycle_spread,
        )  # fmt: skip

    def _low(self, frozen: Tensor, cycle: Tensor) -> Tensor:
        law = self.technology
        return device.switched_conductance(
            frozen, cycle, median=law.low_conductance,
            device_spread=law.low_device_spread, cycle_spread=law.low_cycle_spread,
        )  # fmt: skip

    def _relax(self, cells: Tensor) -> None:
        law = self.technology
        cells = cells[(self._status[cells] != self.PRISTINE) & ~self._stuck[cells]]
        draw = normals(self._words(cells, self.ledger.counts(cells), _RELAX))[0]
        settled = device.relaxed(
            self._conductance[cells], draw,
            programming_error=law.programming_error, full_scale=law.high_conductance,
        )  # fmt: skip
        self._change(cells, settled)

    def _change(self, cells: Tensor, conductance: Tensor) -> None:
        self._conductance[cells] = conductance
        pairs = cells >> 1
        both = self._conductance.view(-1, 2)[pairs]
        self._difference[pairs] = both[:, 0] - both[:, 1]
        self._deviation[pairs] = device.pair_deviation(
            both[:, 0], both[:, 1], read_noise=self.technology.read_noise
        )

    def _words(self, cells: Tensor, counts: Tensor | int, purpose: int) -> Tensor:
        addresses = 2 * self._address[cells >> 1] + (cells & 1)
        return cell_words(addresses, counts, seed=self.seed, purpose=purpose)

    def _checked(self, cells: Tensor) -> Tensor:
        total = self._conductance.numel()
        cells = cells.to(self.device)
        if cells.numel() and not (int(cells.min()) >= 0 and int(cells.max()) < total):
            raise ChipError(
                f"Cell {int(cells.max())} is not on this chip, which has {total} cells in use",
                cause="the cell numbers belong to another chip",
            )
        ordered = cells.sort().values
        if bool((ordered[1:] == ordered[:-1]).any()):
            raise ChipError("A cell is named twice in one command", remedy="Name each cell once")
        return cells

    def _extend(self, region: Region) -> None:
        cells = 2 * region.weights
        blank = torch.full((cells,), self.technology.pristine_conductance, device=self.device)
        self._conductance = torch.cat([self._conductance, blank])
        self._status = torch.cat([self._status, torch.zeros_like(blank, dtype=torch.int8)])
        self._stuck = torch.cat([self._stuck, torch.zeros_like(blank, dtype=torch.bool)])
        addresses = region.pair_addresses(self.placement.geometry).to(self.device)
        self._address = torch.cat([self._address, addresses])
        self._difference = torch.cat([self._difference, torch.zeros_like(blank[::2])])
        deviation = device.pair_deviation(
            blank[::2], blank[1::2], read_noise=self.technology.read_noise
        )
        self._deviation = torch.cat([self._deviation, deviation])
        self.ledger.extend(cells)

    def _as_matrix(self, region: Region, values: Tensor) -> Tensor:
        flat = values.reshape(region.shape[0], -1)
        return flat if region.inputs_first else flat.T
