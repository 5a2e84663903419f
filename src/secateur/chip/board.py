"""A simulated board: a simulated chip whose cells and memory of commands outlive its process.

As non-volatile cells do. A command's effect on its cells, and its id, are written in one
transaction: a board that is killed has either given the pulses and knows it, or has not.
"""

import json
import uuid
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from secateur.chip import keeping
from secateur.chip.command import PULSES, Command, Outcome, carry_out, raw
from secateur.chip.forming import Formable, Forming
from secateur.chip.simulated import SimulatedChip
from secateur.chip.sqlite import begun, opened, reported
from secateur.chip.state import ChipState, first_difference, in_words
from secateur.errors import ChipError, SettingError

_APPLICATION, _VERSION = 0x53454342, 1
_SCHEMA = (
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    "CREATE TABLE places (number INTEGER PRIMARY KEY, arguments TEXT NOT NULL)",
    "CREATE TABLE commands (id TEXT PRIMARY KEY, digest BLOB NOT NULL, how TEXT NOT NULL, "
    "cells BLOB NOT NULL, counts BLOB NOT NULL, missed BLOB) WITHOUT ROWID",
    "CREATE TABLE deltas (number INTEGER NOT NULL, name TEXT NOT NULL, data BLOB NOT NULL, "
    "PRIMARY KEY (number, name)) WITHOUT ROWID",
    "CREATE TABLE snapshot (name TEXT PRIMARY KEY, data BLOB NOT NULL) WITHOUT ROWID",
)  # fmt: skip
# Deltas from snapshot to snapshot.
_COMPACT = 400


class _Nothing(Forming):
    """Cells that were formed long ago need no pulse to be known again."""

    def run(self, chip: Formable, cells: Tensor) -> None:
        pass


class Done:
    """The answer of a board that does as it is told at once.

    Args:
        outcome: of the command.
        again: whether it had been given before.
    """

    def __init__(self, outcome: Outcome, *, again: bool) -> None:
        self.outcome, self.again = outcome, again

    def done(self) -> bool:
        """It is."""
        return True

    def result(self) -> Outcome:
        """The outcome."""
        return self.outcome


class Board:
    """A simulated chip kept in a file, with the ids of the commands it was given.

    Args:
        make: the chip as it left the factory, without weights.
        path: of the file; made where there is none.

    Raises:
        SettingError: where the file is of another chip; the difference is named.
        FileError: for a file that is no board, is damaged, or is open elsewhere.
    """

    def __init__(self, make: Callable[[], SimulatedChip], path: str | Path) -> None:
        self._make, self.path, self.chip = make, Path(path), make()
        # Whether what is in memory may be ahead of what is on the disk.
        self._ahead = False
        self._base = opened(
            self.path, what="board", application=_APPLICATION, version=_VERSION, schema=_SCHEMA
        )
        self._deltas = 0
        with reported(self.path, what="board"):
            try:
                self._check()
                self.chip = self._loaded()
            except BaseException:
                self._base.close()
                raise

    @property
    def serial(self) -> str:
        """Of this board, and of no other."""
        return self._meta("serial")

    def issue(self, identity: str, command: Command) -> Done:
        """See `RemembersCommands.issue`."""
        with reported(self.path, what="board"):
            row = self._base.execute(
                "SELECT digest FROM commands WHERE id = ?", (identity,)
            ).fetchone()
        if row is not None:
            if row[0] != command.digest():
                raise ChipError(
                    f"Command {identity} was another one when it was first given",
                    cause="two runs use the same ids, or a resumed run has taken other steps",
                    remedy="Begin a new run",
                )
            outcome = self.outcome_of(identity)
            assert outcome is not None
            return Done(outcome, again=True)
        if self._ahead:
            self._go_back()
        self._ahead = True
        try:
            outcome = carry_out(self.chip, command)
            with reported(self.path, what="board"), begun(self._base):
                self._keep(identity, command, outcome)
        except BaseException:
            self._go_back()
            raise
        self._ahead = False
        return Done(outcome, again=False)

    def outcome_of(self, identity: str) -> Outcome | None:
        """See `RemembersCommands.outcome_of`."""
        with reported(self.path, what="board"):
            row = self._base.execute(
                "SELECT how, cells, counts, missed FROM commands WHERE id = ?", (identity,)
            ).fetchone()
        if row is None:
            return None
        how, cells, counts, missed = row
        return Outcome(
            how, _tensor(cells, torch.int64), _tensor(counts, torch.int32).view(len(PULSES), -1),
            missed=None if missed is None else _tensor(missed, torch.int64),
        )  # fmt: skip

    def close(self) -> None:
        """Lets go of the file."""
        self._base.close()

    # --- Inside ------------------------------------------------------------------------------

    def _keep(self, identity: str, command: Command, outcome: Outcome) -> None:
        """Within one transaction: the id, and what has become of the cells."""
        if command.kind == "place":
            self._base.execute(
                "INSERT INTO places (arguments) VALUES (?)", (json.dumps(command.parameters),)
            )
        missed = None if outcome.missed is None else raw(outcome.missed)
        self._base.execute(
            "INSERT INTO commands VALUES (?, ?, ?, ?, ?, ?)",
            (identity, command.digest(), outcome.how, raw(outcome.cells), raw(outcome.counts),
             missed),
        )  # fmt: skip
        if self._deltas >= _COMPACT:
            self._snapshot()
            return
        self._deltas += 1
        rows = [("cells", raw(outcome.cells))]
        rows += [
            (n, raw(t if t.dim() == 0 else t[outcome.cells])) for n, t in _state(self.chip).items()
        ]
        self._base.executemany(
            "INSERT INTO deltas VALUES (?, ?, ?)",
            [(self._deltas, name, data) for name, data in rows],
        )

    def _snapshot(self) -> None:
        self._base.execute("DELETE FROM deltas")
        self._base.executemany(
            "INSERT OR REPLACE INTO snapshot VALUES (?, ?)",
            [(name, raw(tensor)) for name, tensor in _state(self.chip).items()],
        )
        self._deltas = 0

    def _go_back(self) -> None:
        """Takes over what the file says, whatever memory has become."""
        with reported(self.path, what="board"):
            self.chip = self._loaded()
        self._ahead = False

    def _loaded(self) -> SimulatedChip:
        """The chip that the file tells of, made without a pulse."""
        chip, self._deltas = self._make(), 0
        self._place(chip)
        state = {name: held.contiguous().clone() for name, held in _state(chip).items()}
        for name, data in self._base.execute("SELECT name, data FROM snapshot"):
            found = _tensor(data, state[name].dtype)
            state[name].view(-1)[: found.numel()] = found
        numbers = self._base.execute("SELECT DISTINCT number FROM deltas ORDER BY number")
        for (number,) in numbers.fetchall():
            rows = self._base.execute("SELECT name, data FROM deltas WHERE number = ?", (number,))
            delta = dict(rows.fetchall())
            cells = _tensor(delta.pop("cells"), torch.int64)
            for name, data in delta.items():
                where = slice(None) if state[name].dim() == 0 else cells
                state[name].view(-1)[where] = _tensor(data, state[name].dtype)
            self._deltas = number
        chip.restore(ChipState(state, chip.identity()))
        return chip

    def _place(self, chip: SimulatedChip) -> None:
        forming, chip.forming = chip.forming, _Nothing()
        for (arguments,) in self._base.execute("SELECT arguments FROM places ORDER BY number"):
            asked = json.loads(arguments)
            chip.place(asked["name"], tuple(asked["shape"]), inputs_first=asked["inputs_first"])
        chip.forming = forming

    def _check(self) -> None:
        own: dict[str, Any] = {
            "technology": self.chip.technology.identity(), "seed": self.chip.seed,
            "forming": in_words(self.chip.forming), "macros": self.chip.placement.limit,
            "geometry": asdict(self.chip.placement.geometry),
        }  # fmt: skip
        if not self._base.execute("SELECT COUNT(*) FROM meta").fetchone()[0]:
            with begun(self._base):
                self._base.executemany(
                    "INSERT INTO meta VALUES (?, ?)",
                    [("chip", json.dumps(own)), ("serial", uuid.uuid4().hex)],
                )
        if found := first_difference(own, json.loads(self._meta("chip"))):
            raise SettingError(
                f"This file is of another board: {found}", where=str(self.path),
                remedy="Give the settings that it was begun with, or the name of a new file",
            )  # fmt: skip

    def _meta(self, key: str) -> str:
        row = self._base.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return str(row[0])


def _state(chip: SimulatedChip) -> dict[str, Tensor]:
    return {**keeping.all_of(chip), "reads": torch.tensor(chip.ledger.reads)}


def _tensor(data: bytes, dtype: torch.dtype) -> Tensor:
    return torch.frombuffer(bytearray(data), dtype=dtype) if data else torch.zeros(0, dtype=dtype)
