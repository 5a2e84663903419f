"""A simulated chip: the device's physics applied to every cell that a pulse reaches."""

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from secateur import device
from secateur.chip import cell_laws, keeping, products
from secateur.chip.ageing import Ages
from secateur.chip.cells import refuse_foreign, refuse_repeated
from secateur.chip.chip import CellStatistics, Chip, PairStatistics, WriteReport
from secateur.chip.draws import AGE, BIRTH, CELL, INPUT_LINE, OUTPUT_LINE, RELAX, VERIFY, words_of
from secateur.chip.forming import FixedVoltage, Forming, refuse_unphysical
from secateur.chip.ledger import Ledger
from secateur.chip.placement import Geometry, Placement, Region, as_macro
from secateur.chip.room import appended
from secateur.chip.state import ChipState, in_words
from secateur.chip.window import Window
from secateur.chip.writing import write_and_verify
from secateur.device import Technology
from secateur.keyed import first_normals, normal, normals, uniforms

# Status of a cell that was written to a value: it is neither low nor high, and any pulse moves it.
_BETWEEN = 3
# Cells that a command treats at a time: the draws of so many fit a processor's cache.
_PART = 1 << 16


class SimulatedChip(Chip):
    """A chip made of any technology, in memory; with its technology's noise unless told otherwise.

    Every draw is a function of (seed, cell address, pulse number), so the same commands give the
    same chip whatever was read in between. Cells no weight is placed on stay pristine and are not
    stored. Time passes when `advance` is called. A deep copy is a snapshot: an independent chip in
    the same state; another `future` than 0 draws anew whatever pulses and time do to it from then
    on, and leaves what is frozen at birth.

    Args:
        technology: a preset's name, a TOML file's path, or a `Technology`.
        seed: of the chip; chips with different seeds differ in every draw.
        forming: how cells are formed when a weight is placed on them.
        macros: how many macros it has, or None for as many as needed.
        geometry: rows and columns of a macro.

    Raises:
        SettingError, FileError: for a technology that cannot be had.
    """

    saves = True

    def __init__(
        self, technology: str | Technology = "taox-40nm", *, seed: int = 0,
        forming: Forming | None = None, macros: int | None = None,
        geometry: Geometry | None = None,
    ) -> None:  # fmt: skip
        self.technology = Technology.load(technology)
        self.seed, self.future = seed, 0
        self.forming = forming or FixedVoltage()
        self.placement = Placement(geometry or Geometry(), macros=macros)
        self.device = torch.device("cpu")
        self.ledger = Ledger.empty(self.device)
        self._ages = Ages.empty()
        # What each cell conducts now and what its last pulse left: one tensor until time passes.
        self._conductance = self._programmed = torch.zeros(0)
        self._status = torch.zeros(0, dtype=torch.int8)
        self._stuck = torch.zeros(0, dtype=torch.bool)
        self._open = torch.zeros(0, dtype=torch.bool)
        self._address = torch.zeros(0, dtype=torch.int64)
        # Derived from the conductances of each pair, and kept in step with every pulse.
        self._difference = torch.zeros(0)
        self._deviation = torch.zeros(0)

    def place(self, name: str, shape: tuple[int, ...], *, inputs_first: bool = False) -> Region:
        """See `Chip.place`."""
        region = self.placement.place(name, tuple(shape), inputs_first=inputs_first)
        self._extend(region)
        self.forming.run(self, torch.arange(region.cells.start, region.cells.stop))
        return region

    def expect(self, weights: int) -> None:
        """See `Chip.expect`."""
        keeping.make_room(self, weights)

    def read(self, region: Region, *, key: int) -> Tensor:
        """See `Chip.read`."""
        self.placement.check(region)
        conductance = self._conductance[region.cells]
        self.ledger.reads += 1
        draw = normal((*region.shape, 2), key=key, device=self.device)
        noise = self._noise(region.cells) * draw.view(-1)
        return (conductance + noise).view(*region.shape, 2)

    def read_back(self, cells: Tensor) -> Tensor:
        """See `Chip.read_back`."""
        refuse_foreign(cells, total=self._conductance.numel())
        self.ledger.reads += 1
        return torch.cat([self._read_back(part) for part in torch.split(cells, _PART)])

    def _read_back(self, cells: Tensor) -> Tensor:
        draws = first_normals(self._words(cells, self.ledger.counts(cells), VERIFY))
        return self._conductance[cells] + self._noise(cells) * draws

    def multiply(self, region: Region, voltages: Tensor, *, key: int) -> Tensor:
        """See `Chip.multiply`."""
        return products.currents(region, self.statistics(region), voltages, key=key)

    def begin_convolve(
        self, region: Region, maps: Tensor, window: Window, *, key: int
    ) -> Callable[[], Tensor]:
        """See `Chip.begin_convolve`."""
        known = self.statistics(region)
        return lambda: products.convolved(region, known, maps, window, key=key)

    def status(self, region: Region) -> Tensor:
        """See `Chip.status`."""
        self.placement.check(region)
        status = self._status[region.cells]
        high = cell_laws.nearer_high(self.technology, self._programmed[region.cells])
        nearer = self.LOW + high.to(torch.int8)
        return torch.where(status == _BETWEEN, nearer, status).view(*region.shape, 2)

    def statistics(self, region: Region) -> PairStatistics:
        """See `Chip.statistics`: views, in step with every pulse until a weight is placed."""
        self.placement.check(region)
        return PairStatistics(
            self._difference[region.pairs].view(region.shape),
            self._deviation[region.pairs].view(region.shape),
        )

    def mark(self) -> tuple[object, int]:
        """See `Chip.mark`: torch counts what is written into a tensor."""
        return self._conductance, self._conductance._version

    def cell_statistics(self, cells: Tensor) -> CellStatistics:
        """See `Chip.cell_statistics`."""
        law = self.technology
        pristine = self._conductance.new_full((1,), law.pristine_conductance)
        everyone = torch.cat([self._conductance, pristine])
        deviation = self._noise(slice(None)).to(pristine.dtype)
        noise = torch.cat([deviation, law.read_deviation(pristine)])
        return CellStatistics(everyone.take(cells), noise.take(cells))

    def conductance(self, region: Region) -> Tensor:
        """The true conductances in siemens (*region.shape, 2), a copy; no real chip can tell."""
        self.placement.check(region)
        return self._conductance[region.cells].view(*region.shape, 2).clone()

    def programmed(self, region: Region) -> Tensor:
        """What the last pulse of each cell has left, as `conductance`: time does not touch it."""
        self.placement.check(region)
        return self._programmed[region.cells].view(*region.shape, 2).clone()

    def advance(
        self, seconds: float, *, temperature: float | None = None, reads: float = 0.0
    ) -> None:
        """Lets time pass: cells drift from what their last pulses have left. No pulse is sent.

        A cell's age counts from the last pulse that changed it; heat makes it pass faster
        (Arrhenius). Pristine cells do not age.

        Args:
            seconds: to wait.
            temperature: kelvin meanwhile; the technology's reference temperature where None.
            reads: of every cell meanwhile, as far as they disturb. Those of a simulation are not
                counted here on their own.

        Raises:
            SettingError: for times, temperatures and counts that cannot be.
        """
        law = self.technology
        self._ages.let_pass(law, seconds, temperature=temperature, reads=reads)
        if self._programmed is self._conductance:
            self._conductance = self._programmed.clone()
        formed = (self._status != self.PRISTINE).nonzero().view(-1)
        for part in torch.split(formed, _PART):
            left = self._programmed[part]
            draws = lambda some, pulses: normals(self._words(some, pulses, AGE))  # noqa: E731
            self._conductance[part] = self._ages.aged(law, part, left, draws)
        self._derive(slice(None))

    def macro_map(self, macro: int, quantity: Literal["conductance", "pulses"]) -> Tensor:
        """A macro as it lies on the chip, (rows, columns), on the CPU.

        Args:
            macro: its number.
            quantity: conductances in siemens (cells without a weight are pristine), or counts
                of SET and RESET pulses.
        """
        if quantity == "conductance":
            values, elsewhere = self._conductance, self.technology.pristine_conductance
        else:
            values, elsewhere = self.ledger.switching, 0.0
        shape = self.placement.geometry
        return as_macro(values, self._address, macro=macro, geometry=shape, elsewhere=elsewhere)

    def conducting(self, cells: Tensor) -> Tensor:
        """See `Chip.conducting`."""
        refuse_foreign(cells, total=self._conductance.numel())
        return self._status[cells] != self.PRISTINE

    def to(self, target: torch.device) -> None:
        """Moves all state to a device."""
        if target != self.device:
            self.device = target
            keeping.move(self, target)

    # --- Saving ------------------------------------------------------------------------------

    def identity(self) -> dict[str, Any]:
        """See `Chip.identity`; seed and forming are part of it."""
        own = {"seed": self.seed, **({"future": self.future} if self.future else {})}
        return {**super().identity(), **own, "forming": in_words(self.forming)}

    def state(self) -> ChipState:
        """See `Chip.state`."""
        held = keeping.saved_of(self, self._ages, self._programmed)
        held["reads"] = torch.tensor(self.ledger.reads)
        return ChipState({name: t.clone() for name, t in held.items()}, self.identity())

    def restore(self, state: ChipState) -> None:
        """See `Chip.restore`; the ledger is restored along with the cells."""
        clocks = [state.tensors.get(f"age_{name}") for name in ("clock", "reads", "changed")]
        ages = self._ages.shaped(passed=any(c is not None and bool(c.any()) for c in clocks))
        apart = "programmed" in state.tensors
        programmed = torch.empty_like(self._conductance) if apart else self._conductance
        state.copy_to(keeping.saved_of(self, ages, programmed), self.identity())
        self._ages, self._programmed = ages, programmed
        self.ledger.reads = int(state.tensors["reads"])
        self._derive(slice(None))

    # --- Pulses: the only code that changes a conductance ---------------------------------------

    def form(self, cells: Tensor, *, voltage: float, width: float, compliance: float) -> None:
        """See `Chip.form`."""
        refuse_unphysical(voltage=voltage, width=width, compliance=compliance)
        for part in torch.split(self._checked(cells), _PART):
            self.ledger.form[part] += 1
            words = self._words(part, 0, CELL)
            frozen, weak = normals(words[::2])
            broken = cell_laws.breakdown(self.technology, weak, width=width) <= voltage
            self._break_down(part, frozen, words[1::2], broken, compliance)

    def ramp(
        self, cells: Tensor, *, voltages: Sequence[float], width: float, compliance: float
    ) -> None:
        """See `Chip.ramp`: the pulses a pair gets follow from its weaker cell's breakdown."""
        cells = self._checked(cells)
        if not len(voltages):
            return
        refuse_unphysical(voltage=voltages, width=width, compliance=compliance)
        steps = torch.tensor(voltages, dtype=torch.float32, device=self.device)
        for part in torch.split(cells, _PART):
            words = self._words(part, 0, CELL)
            frozen, weak = normals(words[::2])
            limit = cell_laws.breakdown(self.technology, weak, width=width)
            # On an open line no voltage forms a cell: it is its partner that the pulses wait for.
            limit = limit.masked_fill(self._open[part], math.inf)
            last = cell_laws.last_of_ramp(limit, steps, self.conducting(part).view(-1, 2).any(1))
            self.ledger.form[part] += (last + 1).to(torch.int32)
            self._break_down(part, frozen, words[1::2], limit <= steps[last], compliance)

    def _break_down(
        self, cells: Tensor, frozen: Tensor, spare: Tensor, broken: Tensor, compliance: float
    ) -> None:
        broken = broken & (self._status[cells] == self.PRISTINE) & ~self._open[cells]
        cells, frozen, spare = cells[broken], frozen[broken], spare[:, broken]
        birth = uniforms(self._words(cells, 0, BIRTH)[0])
        counts = self.ledger.counts(cells)
        cycle = first_normals(self._words(cells, counts, CELL))
        left, low, high = cell_laws.formed(
            self.technology, frozen, spare, cycle, birth, compliance=compliance
        )
        self._change(cells, left, counts)
        self._status[cells] = torch.where(low, self.LOW, self.HIGH).to(torch.int8)
        self._stuck[cells] = low | high

    def set(self, cells: Tensor) -> None:
        """See `Chip.set`; the new conductance is drawn around the cell's own median."""
        self.switch(cells, torch.ones_like(cells, dtype=torch.bool))

    def reset(self, cells: Tensor) -> None:
        """See `Chip.reset`."""
        self.switch(cells, torch.zeros_like(cells, dtype=torch.bool))

    def switch(self, cells: Tensor, up: Tensor) -> None:
        """See `Chip.switch`; the draws of both kinds of pulse are made at once."""
        cells, up = self._checked(cells), up.to(self.device)
        for part, raised in zip(torch.split(cells, _PART), torch.split(up, _PART), strict=True):
            self._switch(part, raised)

    def write_verify(
        self, cells: Tensor, targets: Tensor, *, tolerance: float = 0.02, attempts: int = 10
    ) -> WriteReport:
        """See `Chip.write_verify`: RESET, SET at a compliance for the target, read, again."""
        cells = self._checked(cells)
        everywhere = torch.ones_like(cells, dtype=torch.bool)
        report = write_and_verify(
            self, cells, targets.to(self.device), tolerance=tolerance, attempts=attempts,
            set_to=lambda some, aim: self._switch(some, everywhere[: len(some)], median=aim),
        )  # fmt: skip
        self._relax(cells)
        return report

    # --- Inside ----------------------------------------------------------------------------------

    def _switch(self, cells: Tensor, up: Tensor, *, median: Tensor | None = None) -> None:
        """One pulse to each cell: SET where `up`, RESET elsewhere."""
        if not cells.numel():
            return
        law, n = self.technology, cells.numel()
        self.ledger.set.index_add_(0, cells, up.to(torch.int32))
        self.ledger.reset.index_add_(0, cells, (~up).to(torch.int32))
        # One Philox call serves the frozen and the new draws alike.
        counts = self.ledger.counts(cells)
        numbers = torch.cat([torch.zeros_like(counts), counts])
        own, new = torch.split(self._words(cells.repeat(2), numbers, CELL), n, dim=1)
        worn = cell_laws.worn_out(law, self.ledger.wear(cells), own[1::2])
        if worn is not None:
            self._stuck[cells[worn]] = True
        # HIGH cells can be lowered, LOW ones raised, and written ones both, unless they are stuck.
        status, there = self._status[cells], self.LOW + up.to(torch.int8)
        moves = (status != there) & (status != self.PRISTINE) & ~self._stuck[cells]
        if not bool(moves.all()):
            cells, up, counts = cells[moves], up[moves], counts[moves]
            own, new = own[:, moves], new[:, moves]
            median = median[moves] if median is not None else None
        # No SET lowers: one that stops at a small current may find a cell already above it.
        floor = self._conductance[cells]
        aim = cell_laws.set_median(law, self.forming.compliance) if median is None else median
        left = cell_laws.switched(law, own, new, up, median=aim, floor=floor)
        self._change(cells, left, counts)
        self._status[cells] = self.LOW + up.to(torch.int8)

    def _relax(self, cells: Tensor) -> None:
        law = self.technology
        cells = cells[(self._status[cells] != self.PRISTINE) & ~self._stuck[cells]]
        counts = self.ledger.counts(cells)
        draw = first_normals(self._words(cells, counts, RELAX))
        written = self._conductance[cells]
        settled = device.relaxed(written, draw, deviation=law.written_deviation(written))
        self._change(cells, settled, counts)
        # A memory of two states has nothing in between.
        if law.levels != 2:
            self._status[cells] = _BETWEEN

    def _change(self, cells: Tensor, conductance: Tensor, pulses: Tensor) -> None:
        self._conductance[cells] = conductance
        if self._programmed is not self._conductance:
            self._programmed[cells] = conductance
        self._ages.note(cells, pulses)
        self._derive(cells >> 1)

    def _derive(self, pairs: Tensor | slice) -> None:
        """Brings what is known of pairs in step with their cells."""
        both = self._conductance.view(-1, 2)[pairs]
        self._difference[pairs] = both[:, 0] - both[:, 1]
        left = self._programmed.view(-1, 2)[pairs]
        age = self._ages.of_pairs(pairs)
        self._deviation[pairs] = self.technology.pair_deviation(both, age, left)

    def _noise(self, cells: Tensor | slice) -> Tensor:
        """Standard deviation of one read of each cell."""
        left, age = self._programmed[cells], self._ages.of(cells)
        return self.technology.read_deviation(self._conductance[cells], age, left)

    def _words(self, cells: Tensor, counts: Tensor | int, purpose: int) -> Tensor:
        addresses = self._address[cells >> 1].mul_(2).add_(cells & 1)
        return words_of(addresses, counts, purpose, seed=self.seed, future=self.future)

    def _checked(self, cells: Tensor) -> Tensor:
        cells, total = cells.to(self.device), self._conductance.numel()
        refuse_foreign(cells, total=total)
        refuse_repeated(cells, total=total)
        return cells

    def _extend(self, region: Region) -> None:
        law = self.technology
        addresses = region.pair_addresses(self.placement.geometry).to(self.device)
        blank = torch.full((2 * region.weights,), law.pristine_conductance, device=self.device)
        cut = cell_laws.on_open_lines(
            law, addresses, self.placement.geometry, seed=self.seed,
            purposes=(INPUT_LINE, OUTPUT_LINE),
        )  # fmt: skip
        # No current passes an open line, whatever the cell.
        blank[cut] = 0.0
        one, none = self._programmed is self._conductance, torch.zeros_like(blank[::2])
        for name, fresh in (
            ("_address", addresses), ("_status", torch.zeros_like(blank, dtype=torch.int8)),
            ("_stuck", torch.zeros_like(cut)), ("_open", cut), ("_conductance", blank),
            ("_programmed", blank), ("_difference", none), ("_deviation", none),
        ):  # fmt: skip
            if name != "_programmed" or not one:
                setattr(self, name, appended(getattr(self, name), fresh))
        self._programmed = self._conductance if one else self._programmed
        self._ages.extend(len(blank))
        self.ledger.extend(len(blank))
        self._derive(region.pairs)
