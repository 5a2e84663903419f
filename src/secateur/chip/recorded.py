"""A recorded chip: every read is one that was measured, drawn by key from those on disk."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from secateur.chip.cells import refuse_foreign, refuse_repeated
from secateur.chip.chip import Chip, WriteReport
from secateur.chip.ledger import Ledger
from secateur.chip.placement import Geometry, Placement, Region
from secateur.chip.state import ChipState
from secateur.device.recording import Recording
from secateur.errors import ChipError
from secateur.keyed import cell_words, generator, key_of

# What a draw is for.
_CYCLE, _VERIFY = range(2)
# Cells of a block are read back from one stored read: a page of the file.
_BLOCK = 1024
_AS_FORMED, _RESET, _SET = range(3)


class RecordedChip(Chip):
    """Replays a recording: SET brings a cell's recorded SET reads, RESET its RESET reads.

    One read of a region is one stored read of the array, so that what cells have had in common
    stays common; which one is a function of the key. Where several cycles were recorded, a pulse
    draws one of them for each cell by (seed, cell, pulse number). Cells are taken in the order of
    the recording: the first weight gets the first pairs. Nothing is drawn that was not measured:
    weights cannot be written to values, pristine cells stay pristine whatever pulse they get, and
    a recording without reads as formed begins with the first cycle's SET. The reads stay on disk.
    A deep copy is a snapshot.

    Args:
        recording: the path of one, or one that is open.
        seed: of which stored reads are drawn.
        geometry: rows and columns of the macros that the cells are counted into.

    Raises:
        FileError, SettingError: as `Recording.open`.
    """

    saves = True

    def __init__(
        self, recording: str | Path | Recording, *, seed: int = 0, geometry: Geometry | None = None
    ) -> None:
        opened = recording if isinstance(recording, Recording) else Recording.open(recording)
        self.recording, self.technology, self.seed = opened, opened.technology, seed
        self.placement = Placement(geometry or Geometry(), most_cells=opened.cells)
        self.device = torch.device("cpu")
        self.ledger = Ledger.empty(self.device)
        # Which recorded state each cell shows: see `_shown`. On the CPU, where the reads are.
        self._code = torch.zeros(0, dtype=torch.int32)
        self._formed = torch.zeros(0, dtype=torch.bool)

    def place(self, name: str, shape: tuple[int, ...], *, inputs_first: bool = False) -> Region:
        """See `Chip.place`; forming is what the recording says of these cells.

        Raises:
            ChipError: where there is no room, or a cell was not read in each of its states.
        """
        first = self.placement.cells
        # Before it is placed: a placement cannot be taken back.
        self._refuse_unread(slice(first, first + 2 * math.prod(shape)))
        region = self.placement.place(name, tuple(shape), inputs_first=inputs_first)
        own = self.recording.formed[region.cells]
        shown = 0 if self.recording.as_formed is not None else _code(_SET, 0)
        self._code = torch.cat([self._code, torch.full((len(own),), shown, dtype=torch.int32)])
        self._formed = torch.cat([self._formed, torch.from_numpy(own.copy())])
        self.ledger.extend(len(own))
        pulses = torch.from_numpy(self.recording.form[region.cells].copy())
        self.ledger.form[region.cells] = pulses.to(self.device)
        return region

    def form(self, cells: Tensor, *, voltage: float, width: float, compliance: float) -> None:
        """See `Chip.form`: the pulses are counted; what they would do was not recorded."""
        self.ledger.form[self._checked(cells)] += 1

    def set(self, cells: Tensor) -> None:
        """See `Chip.set`."""
        cells = self._checked(cells)
        self.ledger.set[cells] += 1
        self._show(cells, _SET, cycles=len(self.recording.set))

    def reset(self, cells: Tensor) -> None:
        """See `Chip.reset`."""
        cells = self._checked(cells)
        self.ledger.reset[cells] += 1
        self._show(cells, _RESET, cycles=len(self.recording.reset))

    def write_verify(
        self, cells: Tensor, targets: Tensor, *, tolerance: float = 0.02, attempts: int = 10
    ) -> WriteReport:
        """Refused: a recording has the states after SET and after RESET, none between.

        Raises:
            ChipError: always.
        """
        raise ChipError(
            "A recorded chip cannot be written to values", where=str(self.recording.path),
            cause="what was recorded are the states after SET and after RESET",
            remedy="Prune it, or write to a simulated chip of the technology that "
            "`secateur chip fit` makes of the recording",
        )  # fmt: skip

    def read(self, region: Region, *, key: int) -> Tensor:
        """See `Chip.read`: one stored read of the array."""
        self.placement.check(region)
        self.ledger.reads += 1
        values = self._stored(region, key_of(self.seed, "read", key))
        return torch.from_numpy(values).to(self.device).view(*region.shape, 2)

    def read_back(self, cells: Tensor) -> Tensor:
        """See `Chip.read_back`."""
        refuse_foreign(cells, total=self.placement.cells)
        self.ledger.reads += 1
        counts = self.ledger.counts(cells).cpu()
        cells = cells.cpu()
        blocks = torch.div(cells, _BLOCK, rounding_mode="floor")
        draws = cell_words(blocks, counts, seed=self.seed, purpose=_VERIFY)[0].numpy()
        codes, numbers = self._code[cells].numpy(), cells.numpy()
        found = np.empty(len(numbers), dtype=np.float32)
        for code, reads in self._shown(codes):
            here = codes == code
            found[here] = reads[draws[here] % len(reads), numbers[here]]
        if not np.isfinite(found).all():
            raise self._not_measured(int(numbers[np.isfinite(found).argmin()]))
        return torch.from_numpy(found).to(self.device)

    def multiply(self, region: Region, voltages: Tensor, *, key: int) -> Tensor:
        """See `Chip.multiply`: a stored read is drawn for every multiplication."""
        inputs, outputs = region.matrix
        if (given := voltages.shape[-1]) != inputs:
            raise ChipError(f"{given} voltages for {inputs} input lines", where=region.name)
        self.placement.check(region)
        most = max(len(reads) for _, reads in self._shown(self._code[region.cells].numpy()))
        draws = torch.randint(
            most, (len(voltages),), generator=generator(key_of(self.seed, "multiply", key))
        )
        currents = torch.empty((len(voltages), outputs), device=self.device)
        for draw in sorted(set(draws.tolist())):
            pairs = torch.from_numpy(self._stored(region, draw)).to(self.device).view(-1, 2)
            flat = (pairs[:, 0] - pairs[:, 1]).reshape(region.shape[0], -1)
            chosen = (draws == draw).to(self.device)
            currents[chosen] = voltages[chosen] @ (flat if region.inputs_first else flat.T)
        return currents

    def status(self, region: Region) -> Tensor:
        """See `Chip.status`: which of its recorded states a cell shows."""
        self.placement.check(region)
        low = self._code[region.cells] % 3 == _RESET
        status = torch.where(low, self.LOW, self.HIGH)
        status = status.masked_fill(~self._formed[region.cells], self.PRISTINE)
        return status.to(torch.int8).to(self.device).view(*region.shape, 2)

    def conducting(self, cells: Tensor) -> Tensor:
        """See `Chip.conducting`."""
        refuse_foreign(cells, total=self.placement.cells)
        return self._formed[cells.cpu()].to(self.device)

    def to(self, target: torch.device) -> None:
        """Reads are delivered to that device from now on; the recording stays on disk."""
        self.device = target
        for name in ("form", "set", "reset"):
            setattr(self.ledger, name, getattr(self.ledger, name).to(target))

    # --- Saving ------------------------------------------------------------------------------

    def identity(self) -> dict[str, Any]:
        """See `Chip.identity`; the recording and the seed are part of it."""
        return {**super().identity(), "seed": self.seed, "recording": self.recording.digest}

    def state(self) -> ChipState:
        """See `Chip.state`: which recorded state each cell shows, and the ledger."""
        tensors = {name: tensor.clone() for name, tensor in self._cells().items()}
        tensors["reads"] = torch.tensor(self.ledger.reads)
        return ChipState(tensors, self.identity())

    def restore(self, state: ChipState) -> None:
        """See `Chip.restore`."""
        state.copy_to(self._cells(), self.identity())
        self.ledger.reads = int(state.tensors["reads"])

    def _cells(self) -> dict[str, Tensor]:
        ledger = self.ledger
        return {"shown": self._code, "form": ledger.form, "set": ledger.set, "reset": ledger.reset}

    # --- Inside ------------------------------------------------------------------------------

    def _show(self, cells: Tensor, state: int, *, cycles: int) -> None:
        """Lets formed cells show a recorded state, of a cycle that is the pulse's own draw."""
        counts = self.ledger.counts(cells).cpu()
        cells = cells.cpu()
        draws = cell_words(cells, counts, seed=self.seed, purpose=_CYCLE)[0] % cycles
        formed = self._formed[cells]
        self._code[cells[formed]] = _code(state, draws[formed].to(torch.int32))

    def _shown(self, codes: NDArray[np.int32]) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """The states among codes, each with its reads (reads, cells) on disk."""
        states = (self.recording.as_formed, self.recording.reset, self.recording.set)
        for code in np.flatnonzero(np.bincount(codes)):
            reads = states[code % 3]
            assert reads is not None
            yield int(code), reads[code // 3]

    def _stored(self, region: Region, draw: int) -> NDArray[np.float32]:
        """The draw-th stored read of a region's cells, each in the state that it shows."""
        codes = self._code[region.cells].numpy()
        found = np.empty(len(codes), dtype=np.float32)
        for code, reads in self._shown(codes):
            row = reads[draw % len(reads), region.cells]
            np.copyto(found, row, where=codes == code)
        if not np.isfinite(found).all():
            raise self._not_measured(region.first_cell + int(np.isfinite(found).argmin()))
        return found

    def _refuse_unread(self, cells: slice) -> None:
        """Refuses cells that lack the reads of a state they can be brought to."""
        held, formed = self.recording, self.recording.formed[cells]
        first = held.as_formed if held.as_formed is not None else held.set[:1]
        needed = [("forming", first, np.ones_like(formed)), ("SET", held.set, formed)]
        for words, reads, who in [*needed, ("RESET", held.reset, formed)]:
            unread = np.isnan(reads[:, 0, cells]).any(axis=0) & who
            if unread.any():
                raise ChipError(
                    f"Cell {cells.start + int(unread.argmax())} has no recorded reads after "
                    f"{words}; so have {int(unread.sum())} cells", where=str(held.path),
                    cause="they were left out of the measurement, and no read is invented",
                    remedy="Measure them, or import a table without their pairs",
                )  # fmt: skip

    def _not_measured(self, cell: int) -> ChipError:
        return ChipError(
            f"A stored read of cell {cell} is not a number", where=str(self.recording.path),
            cause="the file was changed after it was written", remedy="Import it again",
        )  # fmt: skip

    def _checked(self, cells: Tensor) -> Tensor:
        cells, total = cells.to(self.device), self.placement.cells
        refuse_foreign(cells, total=total)
        refuse_repeated(cells, total=total)
        return cells


def _code(state: int, cycle: Any) -> Any:
    """State and cycle as one number: state + 3 cycle."""
    return state + 3 * cycle
