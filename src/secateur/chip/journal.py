"""The journal: every programming command of a run, written down before and after it is given."""

import json
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import torch
from torch import Tensor

from secateur.chip.command import PULSES, Command, Kind, Outcome, checked_kind, raw
from secateur.chip.ledger import Ledger
from secateur.chip.sqlite import begun, opened, reported
from secateur.errors import FileError

_APPLICATION, _VERSION = 0x5345434A, 1
_SCHEMA = (
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    "CREATE TABLE commands (number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, "
    "kind TEXT NOT NULL, cells BLOB NOT NULL, up BLOB, targets BLOB, parameters TEXT NOT NULL, "
    "reason TEXT NOT NULL, began REAL NOT NULL, ended REAL, how TEXT, reached BLOB, counts BLOB, "
    "possible BLOB, missed BLOB)",
    "CREATE INDEX doubtful ON commands (number) WHERE how IS NULL",
    "CREATE TABLE answers (position INTEGER NOT NULL, question BLOB NOT NULL, "
    "dtype TEXT NOT NULL, shape TEXT NOT NULL, data BLOB NOT NULL, "
    "PRIMARY KEY (position, question)) WITHOUT ROWID",
    "CREATE TABLE stuck (cell INTEGER PRIMARY KEY, id TEXT NOT NULL, since REAL NOT NULL)",
)  # fmt: skip
# Journals that were begun without it take it up.
_FAILURES = (
    "CREATE TABLE IF NOT EXISTS failures (id TEXT PRIMARY KEY, told_at INTEGER NOT NULL, "
    "kind TEXT NOT NULL, words TEXT NOT NULL)"
)
_COLUMNS = (
    "id, kind, cells, up, targets, parameters, reason, began, ended, how, reached, counts, "
    "possible, missed"
)
# (position, question, what was read) of reads; (id, told at, kind, words) of failures.
Reads = Sequence[tuple[int, bytes, Tensor]]
Failures = Sequence[tuple[str, int, str, str]]
_DTYPES = {"bool": torch.bool, "int8": torch.int8, "float32": torch.float32}


@dataclass(frozen=True, eq=False)
class Entry:
    """One command of a journal.

    Args:
        identity: its durable id.
        command: what was asked.
        reason: why, in words.
        began: seconds since the epoch when the intent was written.
        ended: likewise when its outcome was; None while in doubt.
        outcome: what has become of it; None while in doubt.
    """

    identity: str
    command: Command
    reason: str
    began: float
    ended: float | None
    outcome: Outcome | None


class Journal:
    """Programming commands in an SQLite file: intent before, completion after, pulses by cell.

    What `begin` has written is on the disk when it returns. Nothing in the file is executed. One
    process at a time has it open.

    Args:
        path: of the file; made where there is none.
        synchronous: "full" survives a power cut; "normal" a kill only, and is faster.

    Raises:
        FileError: for a file that is no journal, is damaged, or is open elsewhere.
    """

    def __init__(
        self, path: str | Path, *, synchronous: Literal["full", "normal"] = "full"
    ) -> None:
        self.path = Path(path)
        self._base = opened(
            self.path, what="journal", application=_APPLICATION, version=_VERSION,
            schema=_SCHEMA, synchronous=synchronous,
        )  # fmt: skip
        self._ends: list[tuple[str, Outcome, float]] = []
        with reported(self.path):
            self._base.execute(_FAILURES)
        if self.note("run") is None:
            self.set_note("run", uuid.uuid4().hex)
        self.run: str = str(self.note("run"))

    # --- Writing -----------------------------------------------------------------------------

    def begin(
        self, identity: str, command: Command, *, reason: str = "",
        answers: Reads = (), forget: tuple[int, int] = (0, 0), failures: Failures = (),
    ) -> None:  # fmt: skip
        """Writes that a command is about to be given: durable when it returns.

        Args:
            identity: durable, never used for another command.
            command: what is asked.
            reason: why, in words.
            answers: what was read, to be as durable as the command.
            forget: positions from and up to which answers are needed no more.
            failures: after which it is given.

        Raises:
            FileError: where the id was used for another command, or the file cannot be written.
        """
        known = self._find(identity)
        if known is not None and known.command.digest() != command.digest():
            raise FileError(
                f"Command {identity} was another one when it was first given", where=str(self.path),
                cause="the run that is resumed does not take the same steps as before",
                remedy="Resume with the software, data and thread count that it was begun with",
            )  # fmt: skip
        with self._writing():
            self._base.execute("DELETE FROM answers WHERE position >= ? AND position < ?", forget)
            self._write(answers, failures)
            if known is not None:
                self._base.execute(
                    "UPDATE commands SET how = NULL, ended = NULL WHERE id = ?", (identity,)
                )
                return
            values = None if command.values is None else raw(command.values)
            switches = command.kind == "switch"
            self._base.execute(
                "INSERT INTO commands (id, kind, cells, up, targets, parameters, reason, began) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    identity, command.kind, raw(command.cells.long()),
                    values if switches else None, None if switches else values,
                    json.dumps(command.parameters), reason, time.time(),
                ),
            )  # fmt: skip

    def end(self, identity: str, outcome: Outcome, *, at_once: bool = True) -> None:
        """Writes what has become of a command.

        Args:
            identity: of a command that has begun.
            outcome: of it.
            at_once: otherwise it becomes durable with the next `begin`, `flush` or `close`, as may
                be where the chip remembers it too.
        """
        self._ends.append((identity, outcome, time.time()))
        if at_once:
            self.flush()

    def flush(self) -> None:
        """Makes all that was told durable."""
        if self._ends:
            self.keep()

    def keep(self, answers: Reads = (), failures: Failures = ()) -> None:
        """Makes what was read and told durable before the next command is: as `begin`."""
        with self._writing():
            self._write(answers, failures)

    def mark_stuck(self, cells: Tensor, *, identity: str) -> None:
        """Notes cells that no longer follow, and the command that has shown it."""
        now = time.time()
        with self._writing():
            rows = [(cell, identity, now) for cell in cells.tolist()]
            self._base.executemany("INSERT OR IGNORE INTO stuck VALUES (?, ?, ?)", rows)

    def rewind(self, position: int) -> None:
        """Forgets the run's commands from a position on, to which a simulated chip was restored."""
        self.flush()
        from_there = "CAST(SUBSTR(id, LENGTH(?) + 1) AS INTEGER) >= ? AND id LIKE ? || '%'"
        prefix = self.identity(0)[:-1]
        with reported(self.path), begun(self._base):
            for table in ("stuck", "commands"):
                self._base.execute(
                    f"DELETE FROM {table} WHERE {from_there}", (prefix, position, prefix)
                )

    def identity(self, position: int) -> str:
        """The durable id of the run's command of that number, from 0."""
        return f"{self.run}:{position}"

    def position(self) -> int:
        """How many commands the run has begun."""
        rows = self._base.execute(
            "SELECT SUBSTR(id, ?) FROM commands WHERE id LIKE ? AND id NOT LIKE '%+'",
            (len(self.run) + 2, f"{self.run}:%"),
        )
        return 1 + max((int(number) for (number,) in rows), default=-1)

    # --- Reading -----------------------------------------------------------------------------

    def gone_on_after(self, position: int) -> bool:
        """Whether pulses of a later command of the run have been given, or may have been."""
        self.flush()
        row = self._base.execute(
            "SELECT 1 FROM commands WHERE id LIKE ? AND CAST(SUBSTR(id, ?) AS INTEGER) > ? "
            "AND (how IS NULL OR how IN ('done', 'read back')) LIMIT 1",
            (f"{self.run}:%", len(self.run) + 2, position),
        ).fetchone()
        return row is not None

    def failure(self, identity: str) -> tuple[int, str, str] | None:
        """Where in the run a command's failure was told, its kind, and its words."""
        asked = "SELECT told_at, kind, words FROM failures WHERE id = ?"
        found: tuple[int, str, str] | None = self._base.execute(asked, (identity,)).fetchone()
        return found

    def entry(self, identity: str) -> Entry | None:
        """A command by its id."""
        self.flush()
        return self._find(identity)

    def entries(self, *, kind: Kind | None = None, within: str = "") -> Iterator[Entry]:
        """All commands in the order in which they were first given.

        Args:
            kind: only these, where given.
            within: only those whose id begins with this one and a slash.
        """
        self.flush()
        if within:
            begin = f"{within}/"
            return self._select("WHERE SUBSTR(id, 1, ?) = ? ORDER BY number", (len(begin), begin))
        if kind is not None:
            return self._select("WHERE kind = ? ORDER BY number", (kind,))
        return self._select("ORDER BY number")

    def in_doubt(self) -> list[Entry]:
        """Commands that have begun and of which nobody has written what became of them."""
        self.flush()
        return list(self._select("WHERE how IS NULL ORDER BY number"))

    def __len__(self) -> int:
        """How many commands."""
        return int(self._base.execute("SELECT COUNT(*) FROM commands").fetchone()[0])

    def counts(self, cells: int, *, possible: bool = False) -> Ledger:
        """Pulses by cell and kind over all commands.

        Args:
            cells: that the chip has in use.
            possible: those that may have been given, instead of those that certainly were.
        """
        found = Ledger.empty(torch.device("cpu"))
        found.extend(cells)
        for entry in self.entries():
            if (outcome := entry.outcome) is None:
                continue
            counts = outcome.possible if possible else outcome.counts
            if counts is not None:
                Outcome("done", outcome.cells, counts).add_to(found)
        return found

    def stuck(self) -> Tensor:
        """Cells that no longer follow, int64, ascending."""
        rows = self._base.execute("SELECT cell FROM stuck ORDER BY cell").fetchall()
        return torch.tensor([cell for (cell,) in rows], dtype=torch.int64)

    def answer(self, position: int, question: bytes) -> Tensor | None:
        """What was read at a point of the run that is gone through again; None if nothing was."""
        row = self._base.execute(
            "SELECT dtype, shape, data FROM answers WHERE position = ? AND question = ?",
            (position, question),
        ).fetchone()
        if row is None:
            return None
        dtype, shape, data = row
        return _tensor(data, _DTYPES[dtype], where=self.path).view(json.loads(shape))

    def note(self, key: str) -> str | None:
        """A word about the journal as a whole, such as the chip it is of."""
        with reported(self.path):
            row = self._base.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return None if row is None else str(row[0])

    def set_note(self, key: str, value: str) -> None:
        """Writes such a word."""
        with reported(self.path), begun(self._base):
            self._base.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    def close(self) -> None:
        """Writes what is left and lets go of the file."""
        try:
            self.flush()
        finally:
            self._base.close()

    def __enter__(self) -> "Journal":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self.close()

    # --- Inside ------------------------------------------------------------------------------

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """One transaction, with the ends that are to be written: forgotten once it has."""
        with reported(self.path), begun(self._base):
            written = self._write_ends()
            yield
        del self._ends[:written]

    def _write(self, answers: Reads, failures: Failures) -> None:
        self._base.executemany("INSERT OR REPLACE INTO failures VALUES (?, ?, ?, ?)", failures)
        self._base.executemany(
            "INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?, ?)",
            [(p, n, _name(t), json.dumps(list(t.shape)), raw(t)) for p, n, t in answers],
        )

    def _write_ends(self) -> int:
        """Within a transaction of the caller's; how many."""
        self._base.executemany(
            "UPDATE commands SET how = ?, ended = ?, reached = ?, counts = ?, possible = ?, "
            "missed = ? WHERE id = ?",
            [
                (o.how, when, raw(o.cells.long()), _blob(o.counts), _blob(o.possible),
                 _blob(o.missed), identity)
                for identity, o, when in self._ends
            ],
        )  # fmt: skip
        return len(self._ends)

    def _find(self, identity: str) -> Entry | None:
        return next(self._select("WHERE id = ?", (identity,)), None)

    def _select(self, where: str, values: tuple[Any, ...] = ()) -> Iterator[Entry]:
        with reported(self.path):
            for row in self._base.execute(f"SELECT {_COLUMNS} FROM commands {where}", values):
                yield self._entry(row)

    def _entry(self, row: Sequence[Any]) -> Entry:
        identity, kind, cells, up, targets, parameters, reason, began, ended, how, *found = row
        values = None
        if up is not None:
            values = _tensor(up, torch.bool, where=self.path)
        elif targets is not None:
            values = _tensor(targets, torch.float32, where=self.path)
        try:
            command = Command(
                checked_kind(kind), self._cells(cells), values, dict(json.loads(parameters))
            )
        except (ValueError, RuntimeError) as error:
            raise damaged(self.path, str(error)) from error
        outcome = None if how is None else self._outcome(how, found)
        return Entry(identity, command, reason, began, ended, outcome)

    def _outcome(self, how: Any, found: Sequence[Any]) -> Outcome:
        reached, counts, possible, missed = found
        cells = self._cells(reached)

        def table(data: Any) -> Tensor:
            flat = _tensor(data, torch.int32, where=self.path)
            if flat.numel() != len(PULSES) * len(cells):
                raise damaged(self.path, "counts of another number of cells")
            return flat.view(len(PULSES), -1)

        return Outcome(
            how, cells, table(counts), None if possible is None else table(possible),
            None if missed is None else self._cells(missed),
        )  # fmt: skip

    def _cells(self, data: Any) -> Tensor:
        return _tensor(data, torch.int64, where=self.path)


def damaged(path: Path, what: str) -> FileError:
    """The refusal of a journal with a row that cannot be."""
    return FileError(
        f"The journal is damaged: {what}", where=str(path),
        cause="another program has changed it",
        remedy="Restore it from a copy; the chip itself knows what its cells conduct",
    )  # fmt: skip


def _tensor(data: Any, dtype: torch.dtype, *, where: Path) -> Tensor:
    size = torch.empty(0, dtype=dtype).element_size()
    if not isinstance(data, bytes) or len(data) % size:
        raise damaged(where, f"a row's blob is no sequence of {dtype}")
    # A copy: tensors over bytes must not be written to.
    return torch.frombuffer(bytearray(data), dtype=dtype) if data else torch.zeros(0, dtype=dtype)


def _blob(tensor: Tensor | None) -> bytes | None:
    return None if tensor is None else raw(tensor)


def _name(tensor: Tensor) -> str:
    return next(name for name, dtype in _DTYPES.items() if dtype == tensor.dtype)
