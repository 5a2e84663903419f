"""Failures that a program has gone on after: it was told of them, and gave other commands.

Who goes through the run again is told of them again, in the same words, and takes the same path. To
give what was left of such a command would be to give it after its successors.
"""

import json
from dataclasses import dataclass

from secateur.chip.command import Command, UnansweredError
from secateur.chip.journal import Journal
from secateur.errors import ChipError, FileError, ModelError, SecateurError, SettingError

# What a failure is raised as again: the nearest of these.
_OURS: tuple[type[SecateurError], ...] = (
    UnansweredError, ChipError, SettingError, ModelError, FileError, SecateurError,
)  # fmt: skip
_OTHERS: tuple[type[BaseException], ...] = (
    TimeoutError, ConnectionError, OSError, RuntimeError, ValueError, TypeError, LookupError,
    ArithmeticError, Exception, KeyboardInterrupt, BaseException,
)  # fmt: skip
_WORDS = ("what", "where", "cause", "remedy")


@dataclass(frozen=True)
class Told:
    """A failure that a program was told of before it went on.

    Args:
        error: that was raised.
        at: how many commands the program had given before the call that raised it.
    """

    error: BaseException
    at: int


def row(identity: str, error: BaseException, *, at: int) -> tuple[str, int, str, str]:
    """What a program was told of a command, as its journal holds it.

    Args:
        identity: of the command.
        error: that was raised.
        at: how many commands the program had given before the call that raised it.
    """
    kind = next(kind for kind in (*_OURS, *_OTHERS) if isinstance(error, kind))
    words = {"what": str(error)}
    if isinstance(error, SecateurError):
        words = {word: getattr(error, word) for word in _WORDS}
    return identity, at, kind.__name__, json.dumps(words)


def told(journal: Journal, identity: str) -> Told | None:
    """What a program was told of a command, and where; None where it has not gone on."""
    found = journal.failure(identity)
    if found is None:
        return None
    at, name, written = found
    words = json.loads(written)
    for ours in _OURS:
        if ours.__name__ == name:
            return Told(ours(**{word: words.get(word, "") for word in _WORDS}), at)
    kind = next(kind for kind in _OTHERS if kind.__name__ == name)
    return Told(kind(words["what"]), at)


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
