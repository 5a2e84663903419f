"""SQLite files of the chip room: one owner, write-ahead, durable, and refusals that teach."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from secateur.errors import FileError


def opened(
    path: Path, *, what: str, application: int, version: int, schema: Sequence[str],
    synchronous: Literal["full", "normal"] = "full",
) -> sqlite3.Connection:  # fmt: skip
    """Opens a file of ours, or makes it; nobody else can while it is open.

    Args:
        path: of the file.
        what: the kind of file, for messages.
        application: its 32-bit sign.
        version: of the layout.
        schema: statements that make an empty one.
        synchronous: "full" survives a power cut, "normal" a kill only.

    Raises:
        FileError: for a file of another kind, a damaged one, or one that is open elsewhere.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with reported(path, what=what):
        base = sqlite3.connect(path, isolation_level=None, timeout=2.0, check_same_thread=False)
        try:
            # Exclusive before write-ahead: then no memory is shared with other processes.
            base.execute("PRAGMA locking_mode = EXCLUSIVE")
            found = int(base.execute("PRAGMA application_id").fetchone()[0])
            tables = base.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()[0]
            if tables and found != application:
                raise sqlite3.DatabaseError("file is of another program")
            base.execute("PRAGMA journal_mode = WAL")
            base.execute(f"PRAGMA synchronous = {synchronous.upper()}")
            with begun(base):
                if not tables:
                    for statement in schema:
                        base.execute(statement)
                    base.execute(f"PRAGMA application_id = {application}")
                    base.execute(f"PRAGMA user_version = {version}")
            written = int(base.execute("PRAGMA user_version").fetchone()[0])
            if written != version:
                raise FileError(
                    f"This {what} was written in version {written} of the layout, "
                    f"expected {version}", where=str(path),
                    remedy="Use the version of secateur that wrote it",
                )  # fmt: skip
            if found and base.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
                raise sqlite3.DatabaseError("database disk image is malformed")
        except BaseException:
            base.close()
            raise
    return base


@contextmanager
def begun(base: sqlite3.Connection) -> Iterator[None]:
    """One transaction: all of it or nothing."""
    base.execute("BEGIN IMMEDIATE")
    try:
        yield
        base.execute("COMMIT")
    except BaseException:
        # Some failures, as of a full disk, have ended it already.
        if base.in_transaction:
            base.execute("ROLLBACK")
        raise


@contextmanager
def reported(path: Path, *, what: str = "journal") -> Iterator[None]:
    """SQLite's errors as refusals that say what to do.

    Raises:
        FileError: instead of them.
    """
    try:
        yield
    except sqlite3.OperationalError as error:
        if "locked" in str(error):
            raise FileError(
                f"This {what} is open in another process", where=str(path),
                cause="a run or a server that is still alive",
                remedy="Stop it, or give another file",
            ) from error  # fmt: skip
        raise FileError(
            f"This {what} cannot be used: {error}", where=str(path),
            cause="a full disk, or a folder without write permission",
            remedy="Free some space or choose another place; what was written before is unharmed",
        ) from error  # fmt: skip
    except sqlite3.DatabaseError as error:
        raise FileError(
            f"This is no {what} that can be read: {error}", where=str(path),
            cause="another program's file, or one that was damaged",
            remedy=f"Give a {what} that secateur has written, or the name of a new file",
        ) from error  # fmt: skip
