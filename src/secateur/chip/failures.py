"""Failures that a program has gone on after: it was told of them, and gave other commands.

Who goes through the run again is told of them again, in the same words, and takes the same path. To
give what was left of such a command would be to give it after its successors.
"""

import json

from secateur.chip.command import Command, Outcome, UnansweredError
from secateur.chip.journal import Journal
from secateur.errors import ChipError, FileError, ModelError, SecateurError, SettingError

# What a failure is raised as again: the nearest of these.
_KINDS: tuple[type[SecateurError], ...] = (
    UnansweredError, ChipError, SettingError, ModelError, FileError,
)  # fmt: skip
_WORDS = ("what", "where", "cause", "remedy")


class Failed:
    """The answer to a command of which the program was told late that it had failed.

    Args:
        error: that it was told.
    """

    def __init__(self, error: SecateurError) -> None:
        self._error = error

    def done(self) -> bool:
        """It is known."""
        return True

    def result(self) -> Outcome:
        """None: raises the error."""
        raise self._error


def keep(journal: Journal, identity: str, error: BaseException, *, late: bool) -> None:
    """Writes what a program was told of a command, before it gives another.

    Args:
        journal: of the run.
        identity: of the command.
        error: that was raised.
        late: whether other commands may have been given before it was.
    """
    kind = next((kind for kind in _KINDS if isinstance(error, kind)), ChipError)
    words = {"what": f"{type(error).__name__}: {error}"}
    if isinstance(error, SecateurError):
        words = {word: getattr(error, word) for word in _WORDS}
    written = json.dumps({"kind": kind.__name__, "late": late, **words})
    journal.set_note(_key(identity), written)


def told(journal: Journal, identity: str) -> tuple[SecateurError, bool] | None:
    """What a program was told of a command, and whether late; None where it has not gone on."""
    written = journal.note(_key(identity))
    if written is None:
        return None
    found = json.loads(written)
    kind = next(kind for kind in _KINDS if kind.__name__ == found["kind"])
    return kind(**{word: found.get(word, "") for word in _WORDS}), bool(found["late"])


def refuse_late(journal: Journal, position: int, command: Command) -> None:
    """Refuses to give what was left of a command after others that were to come after it.

    Raises:
        ChipError: where the journal holds one that was given, and not what the program was told.
    """
    if journal.gone_on_after(position):
        raise ChipError(
            f"A {command.kind} of {len(command.cells)} cells was not given to its end, and later "
            "commands were", where=str(journal.path),
            cause="it had failed, and the run was gone on with behind it",
            remedy="Begin a new run, with a new journal",
        )  # fmt: skip


def _key(identity: str) -> str:
    return f"failure of {identity}"
