"""A chip behind a wire: a board's commands, given to another process."""

import secrets
import tempfile
import uuid
import weakref
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from secateur.chip.cells import refuse_foreign, refuse_repeated
from secateur.chip.chip import Chip, WriteReport
from secateur.chip.command import PULSES, Command, Outcome, UnansweredError, parted, region_of
from secateur.chip.ledger import Ledger
from secateur.chip.link import Link, Request
from secateur.chip.placement import Geometry, Placement, Region
from secateur.chip.products import check_inputs
from secateur.chip.window import Window
from secateur.chip.wire import Limits
from secateur.device import Technology
from secateur.errors import ChipError

# Bytes of one cell's pulses of each kind.
_COUNTS = 4 * len(PULSES)


class RemoteChip(Chip):
    """A chip that a server has, as a real board is: only pulses change it, only reads tell.

    It has no state to give and knows no statistics: every product is computed over there. Programs
    of pulses are sent without waiting; what is asked afterwards is answered in order. The ledger is
    the board's own. A deep copy is the same chip.

    Args:
        address: of the server, `tcp://127.0.0.1:5757`.
        owner: who uses it, for others to read; a name of its own where empty.
        token: 16 characters or more that nobody can guess: who gives the same takes the board over
            from a process that was killed. One of its own where empty.
        keys: folder with the client's keys, needed for all but loopback.
        patience: seconds without a word after which a new connection is made; a board at work
            says so every second.
        timeout: seconds without a word after which it is given up.
        limits: of the messages that are accepted here; the smaller ones of both ends hold.

    Raises:
        ChipError: where nobody answers, or the board is another's.
        SettingError: for an address that others can reach, without keys; for a short token.
        FileError: for keys that cannot be read.
    """

    def __init__(
        self, address: str, *, owner: str = "", token: str = "", keys: str | Path | None = None,
        patience: float = 10.0, timeout: float = 60.0, limits: Limits | None = None,
    ) -> None:  # fmt: skip
        # Ids of commands that come without one must not have been used before.
        self._name = uuid.uuid4().hex
        self._count = 0
        self.device = torch.device("cpu")
        self._serial: str | None = None
        self._sent: list[_Issued] = []
        # Commands of which nobody has been told yet what has become of them.
        self._untold: weakref.WeakValueDictionary[str, _Issued] = weakref.WeakValueDictionary()
        # None where pulses may have been given of which no answer tells: then it is asked for.
        self._ledger: Ledger | None = None
        self._formed: Tensor | None = None
        self._link = Link(
            address, owner=owner or self._name, token=token or secrets.token_hex(16),
            on_greeting=self._greeted, keys=None if keys is None else Path(keys), patience=patience,
            timeout=timeout, limits=limits or Limits(),
        )  # fmt: skip

    @property
    def ledger(self) -> Ledger:  # type: ignore[override]
        """The board's own, as far as commands have been given; waits for those under way."""
        self._settle()
        if self._ledger is None:
            self._ledger = self._counted()
        return self._ledger

    @property
    def cells_per_command(self) -> int:  # type: ignore[override]
        """See `Chip.cells_per_command`: as many as one message can tell the counts of."""
        return self._link.most // _COUNTS

    # --- Commands with ids -------------------------------------------------------------------

    def issue(self, identity: str, command: Command) -> "_Issued":
        """See `RemembersCommands.issue`: sent, not waited for."""
        # Copies: it may be sent again after a cut, when the caller has changed its own.
        values = None if command.values is None else command.values.clone()
        command = replace(command, cells=command.cells.clone(), values=values)
        arrays = [command.cells, *([] if values is None else [values])]
        request = self._link.ask(
            "issue", arrays, id=identity, kind=command.kind, parameters=command.parameters,
            untold=list(self._untold),
            on_reply=lambda about, arrays: self._note(command, about, arrays),
        )  # fmt: skip
        self._untold[identity] = issued = _Issued(request, told=partial(self._tell, identity))
        if command.kind in ("place", "form", "ramp"):
            self._formed = None
        if command.kind == "place":
            issued.result()
        return issued

    def outcome_of(self, identity: str) -> Outcome | None:
        """See `RemembersCommands.outcome_of`."""
        header, arrays = self._link.ask("outcome_of", id=identity).result()
        # A weight may have been placed whose forming has failed for a while.
        self._take_over(header["regions"])
        return None if header["how"] is None else Outcome.of_parts(header, arrays)

    # --- Programming -------------------------------------------------------------------------

    def place(self, name: str, shape: tuple[int, ...], *, inputs_first: bool = False) -> Region:
        """See `Chip.place`."""
        asked = {"name": name, "shape": list(shape), "inputs_first": inputs_first}
        (placed,) = self._give(Command("place", parameters=asked))
        return region_of(self, placed.result())

    def form(self, cells: Tensor, *, voltage: float, width: float, compliance: float) -> None:
        """See `Chip.form`."""
        how = {"voltage": voltage, "width": width, "compliance": compliance}
        self._give(Command("form", self._checked(cells), parameters=how))

    def ramp(
        self, cells: Tensor, *, voltages: Sequence[float], width: float, compliance: float
    ) -> None:
        """See `Chip.ramp`; the board has the procedure."""
        how = {"voltages": list(voltages), "width": width, "compliance": compliance}
        self._give(Command("ramp", self._checked(cells), parameters=how))

    def set(self, cells: Tensor) -> None:
        """See `Chip.set`."""
        self._give(Command("set", self._checked(cells)))

    def reset(self, cells: Tensor) -> None:
        """See `Chip.reset`."""
        self._give(Command("reset", self._checked(cells)))

    def switch(self, cells: Tensor, up: Tensor) -> None:
        """See `Chip.switch`; sent, not waited for."""
        self._give(Command("switch", self._checked(cells), up.cpu()))

    def write_verify(
        self, cells: Tensor, targets: Tensor, *, tolerance: float = 0.02, attempts: int = 10
    ) -> WriteReport:
        """See `Chip.write_verify`; the board has the procedure."""
        how = {"tolerance": tolerance, "attempts": attempts}
        aims = targets.detach().float().cpu()
        parts = self._give(Command("write_verify", self._checked(cells), aims, how))
        return WriteReport.joined([part.result().report() for part in parts])

    # --- Reading -----------------------------------------------------------------------------

    def read(self, region: Region, *, key: int) -> Tensor:
        """See `Chip.read`."""
        return self._array(self._ask("read", region, key=key))

    def read_back(self, cells: Tensor) -> Tensor:
        """See `Chip.read_back`."""
        refuse_foreign(cells, total=self.placement.cells)
        return self._of_cells("read_back", cells.cpu().long())

    def multiply(self, region: Region, voltages: Tensor, *, key: int) -> Tensor:
        """See `Chip.multiply`."""
        return self.begin_multiply(region, voltages, key=key)()

    def begin_multiply(self, region: Region, voltages: Tensor, *, key: int) -> Callable[[], Tensor]:
        """See `Chip.begin_multiply`: the board works while the caller does something else."""
        check_inputs(region, voltages.shape[-1])
        request = self._ask("multiply", region, voltages.detach().float(), key=key)
        return lambda: self._array(request)

    def begin_convolve(
        self, region: Region, maps: Tensor, window: Window, *, key: int
    ) -> Callable[[], Tensor]:
        """See `Chip.begin_convolve`: the maps travel, and the board cuts the patches."""
        size = [list(window.kernel), list(window.stride), list(window.padding),
                list(window.dilation)]  # fmt: skip
        maps = maps.detach().float()
        request = self._ask("convolve", region, maps, key=key, window=size)
        return lambda: self._array(request)

    def status(self, region: Region) -> Tensor:
        """See `Chip.status`."""
        return self._array(self._ask("status", region))

    def conducting(self, cells: Tensor) -> Tensor:
        """See `Chip.conducting`; asked for once after each forming, since nothing undoes it."""
        refuse_foreign(cells, total=self.placement.cells)
        if self._formed is None:
            everyone = torch.arange(self.placement.cells)
            self._formed = self._of_cells("conducting", everyone)
        return self._formed[cells]

    def to(self, device: torch.device) -> None:
        """What it answers goes to the device from now on; the board stays where it is."""
        self._settle()
        self.device = device
        if self._ledger is not None:
            for name in PULSES:
                setattr(self._ledger, name, getattr(self._ledger, name).to(device))
        if self._formed is not None:
            self._formed = self._formed.to(device)

    def identity(self) -> dict[str, Any]:
        """See `Chip.identity`; the board's serial number is part of it."""
        return {**super().identity(), "serial": self._serial}

    def close(self) -> None:
        """Waits for what is under way and gives the board back."""
        try:
            self._settle()
        finally:
            self._sent.clear()
            self._link.close()

    def __deepcopy__(self, memo: dict[int, Any]) -> "RemoteChip":
        return self

    # --- Inside ------------------------------------------------------------------------------

    def _give(self, command: Command) -> "list[_Issued]":
        """A command with an id of this process, or several; a refusal is raised by the next."""
        parts = []
        for part in parted(command, self.cells_per_command):
            while self._sent and self._sent[0].done():
                self._sent.pop(0).result()
            self._count += 1
            parts.append(self.issue(f"{self._name}/{self._count}", part))
            self._sent.append(parts[-1])
        return parts

    def _tell(self, identity: str) -> None:
        self._untold.pop(identity, None)

    def _ask(self, op: str, region: Region, *arrays: Tensor, **header: Any) -> Request:
        self.placement.check(region)
        where = [region.first_cell, list(region.shape)]
        return self._link.ask(op, [array.cpu() for array in arrays], region=where, **header)

    def _of_cells(self, op: str, cells: Tensor) -> Tensor:
        """One answer for each cell, in as many messages as it takes."""
        parts = torch.split(cells, self._link.most // cells.element_size())
        requests = [self._link.ask(op, [part]) for part in parts]
        return torch.cat([self._array(request) for request in requests])

    def _counted(self) -> Ledger:
        """The board's counts as they are when all that was asked is answered."""
        total, part = self.placement.cells, self.cells_per_command
        requests = [
            self._link.ask("ledger", first=first, count=min(part, total - first))
            for first in range(0, max(total, 1), part)
        ]
        rows = torch.cat([self._array(request) for request in requests], dim=1)
        return Ledger(*(row.contiguous() for row in rows))

    def _array(self, request: Request) -> Tensor:
        _, (array,) = request.result()
        return array.to(self.device)

    def _checked(self, cells: Tensor) -> Tensor:
        cells, total = cells.cpu().long(), self.placement.cells
        refuse_foreign(cells, total=total)
        refuse_repeated(cells, total=total)
        return cells

    def _settle(self) -> None:
        self._link.settle()
        while self._sent:
            self._sent.pop(0).result()

    def _note(self, command: Command, about: dict[str, Any], arrays: list[Tensor]) -> None:
        """Counts a command's pulses, in the order of the answers; once, however often it is sent.

        What had been given before this session began is in the counts that it began with.
        """
        if "error" in about:
            # Some of its pulses may have been given.
            self._ledger = None
            return
        if about["again"]:
            return
        outcome = Outcome.of_parts(about, arrays)
        if command.kind == "place":
            asked = command.parameters
            self.placement.place(
                asked["name"], tuple(asked["shape"]), inputs_first=asked["inputs_first"]
            )
        if outcome.possible is not None:
            # Read back: the board has counted a part of it before, or all that it may have got.
            self._ledger = None
        if self._ledger is not None:
            self._ledger.extend(self.placement.cells - len(self._ledger.form))
            outcome.add_to(self._ledger)

    def _greeted(self, about: dict[str, Any]) -> None:
        """Takes over what a board says of itself: at first, and after every cut."""
        if self._serial is not None and about["serial"] != self._serial:
            raise UnansweredError(
                f"Another board answers: {about['serial']} instead of {self._serial}",
                cause="its server was started again with another --state",
                remedy="Serve the board that the run was begun with",
            )
        self._serial = about["serial"]
        self.seed, self.technology = about["seed"], technology_of(about["technology"])
        if not hasattr(self, "placement"):
            self.placement = Placement(Geometry(*about["geometry"]), macros=about["macros"])
        # Some of the weights were placed, and the answer was lost.
        self._take_over(about["regions"])

    def _take_over(self, regions: list[Any]) -> None:
        """Notes weights that the board has beyond those that are known here."""
        for name, shape, inputs_first in regions[len(self.placement.regions) :]:
            self.placement.place(name, tuple(shape), inputs_first=inputs_first)
        self._ledger = self._formed = None


class _Issued:
    """A command that was sent.

    Args:
        request: with it.
        told: called once its sender knows what has become of it.
    """

    def __init__(self, request: Request, *, told: Callable[[], None]) -> None:
        self._request, self._told = request, told

    def done(self) -> bool:
        """See `Answer.done`."""
        return self._request.done()

    def result(self) -> Outcome:
        """See `Answer.result`."""
        try:
            reply = self._request.result()
        except ChipError:
            self._told()
            raise
        self._told()
        return Outcome.of_parts(*reply)


def technology_of(text: str) -> Technology:
    """A technology from the text of its file.

    Raises:
        SettingError, FileError: for a text that is none.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "board.toml"
        path.write_text(text, encoding="utf-8")
        return Technology.load(path)
