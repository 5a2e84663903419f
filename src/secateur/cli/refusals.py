"""Failures as one paragraph and an exit code."""

import errno
import os
import sys

from rich.console import Console
from rich.text import Text

from secateur.errors import FileError, SecateurError, SettingError

FAILURE, WRONG_SETTING, INTERRUPTED = 1, 2, 130
_FULL = (errno.ENOSPC, errno.EDQUOT)


def refusal(error: BaseException) -> tuple[str, int]:
    """What to tell the user about a failure, and the exit code."""
    if isinstance(error, KeyboardInterrupt):
        return "Interrupted.", INTERRUPTED
    if isinstance(error, SettingError):
        return str(error), WRONG_SETTING
    if isinstance(error, SecateurError):
        return str(error), FAILURE
    if isinstance(error, OSError):
        return str(_of_system(error)), FAILURE
    return str(_unexpected(error)), FAILURE


def say(message: str) -> None:
    """Prints a refusal to stderr, on one line that the terminal may wrap."""
    text = Text.assemble(("secateur: ", "bold red"), message)
    Console(stderr=True, highlight=False).print(text, soft_wrap=True)


def settle_streams() -> None:
    """Flushes the standard streams; one that cannot be written to is turned into nothing.

    Without it the interpreter would try again at its exit, fail, and print a traceback.
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _of_system(error: OSError) -> SecateurError:
    where = str(error.filename or "")
    if error.errno in _FULL:
        return FileError(
            "The disk is full", where=where,
            remedy="Free some space, then run again; `secateur run --resume --out DIR` goes on "
            "with a run that had begun",
        )  # fmt: skip
    return FileError(
        error.strerror or str(error), where=where,
        remedy="Give a place that exists and that you may read and write",
    )  # fmt: skip


def _unexpected(error: BaseException) -> SecateurError:
    return SecateurError(
        f"An unexpected {type(error).__name__}: {error}",
        cause="a fault of secateur, or of a library it uses",
        remedy="Run again with --debug and report what it shows",
    )
