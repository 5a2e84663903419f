"""What every refusal of secateur says: what was wrong, where, the likely cause, the remedy."""

import difflib
from collections.abc import Iterable


class SecateurError(Exception):
    """A refusal with its remedy; the command line prints it as one paragraph, without a traceback.

    Args:
        what: what was wrong, as a sentence without its full stop.
        where: the file, option, module or address concerned.
        cause: the likely cause.
        remedy: what to do about it.
    """

    def __init__(self, what: str, *, where: str = "", cause: str = "", remedy: str = "") -> None:
        self.what, self.where, self.cause, self.remedy = what, where, cause, remedy
        super().__init__(what)

    def __str__(self) -> str:
        located = f"{self.what} ({self.where})" if self.where else self.what
        return sentences(located, f"Likely cause: {self.cause}" if self.cause else "", self.remedy)

    def locate(self, place: str) -> None:
        """Says where it happened in wider terms than where it was found."""
        self.where = f"{place}: {self.where}" if self.where else place


class SettingError(SecateurError, ValueError):
    """A setting, argument or recipe key that cannot be used as given."""


class ModelError(SecateurError, TypeError):
    """A model, or a part of one, that cannot be put on a chip."""


class ChipError(SecateurError, RuntimeError):
    """A command that a chip cannot carry out."""


class FileError(SecateurError, OSError):
    """A file that is missing, foreign, truncated, corrupt or cannot be written."""


class DivergedError(SecateurError, ArithmeticError):
    """A training run whose loss is no longer a finite number."""


def sentences(*parts: str) -> str:
    """The parts that are not empty, each with its full stop."""
    return " ".join(p if p.endswith((".", "?", "!")) else f"{p}." for p in parts if p)


def nearest(word: str, known: Iterable[str], *, prefix: str = "") -> str:
    """`Did you mean 'x'?` where a known word is close, otherwise the list of known words.

    Args:
        word: the unknown one.
        known: those that there are.
        prefix: what goes before each of them when it is shown.
    """
    words = sorted(known)
    close = difflib.get_close_matches(word, words, n=1, cutoff=0.6)
    if close:
        return f"Did you mean {prefix + close[0]!r}?"
    return "Known: " + ", ".join(prefix + one for one in words) if words else "There is none"


def kind_in_words(kind: object) -> str:
    """A type as a reader of recipes calls it: "a whole number"."""
    words = {
        int: "a whole number", float: "a number", bool: "true or false", str: "a word",
        tuple: "a list [..., ...]", list: "a list [..., ...]", dict: "a table",
    }  # fmt: skip
    found = next((text for known, text in words.items() if kind is known), None)
    return found or f"a {getattr(kind, '__name__', kind)}"
