"""What a run has read since its last command, so that one that comes there again is told the same.

It becomes durable with the next command, or at once where it is much: an evaluation reads a chip
again and again and gives no command.
"""

import hashlib
from collections.abc import Callable

from torch import Tensor

from secateur.chip.journal import Journal

# Bytes that are held in memory.
MOST = 64 << 20


class Answers:
    """Reads by position and question, in memory and in a journal.

    Args:
        journal: of the run.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._held: dict[tuple[int, bytes], Tensor] = {}
        #: Bytes in memory.
        self.size = 0

    def ask(
        self, position: int, question: bytes, read: Callable[[], Tensor], *, known: bool
    ) -> Tensor:
        """What a question is answered at a position.

        Args:
            position: of the run.
            question: that tells it from all others.
            read: reads the chip.
            known: whether an earlier process has gone on from this position, so that the answer it
                was given counts.
        """
        where = (position, hashlib.blake2b(question, digest_size=16).digest())
        found = self._journal.answer(*where) if known else None
        if found is None:
            found = read()
            self.size -= _bytes(self._held.pop(where, None))
            self._held[where] = kept = found.detach().cpu().clone()
            self.size += _bytes(kept)
            if self.size > MOST:
                self._journal.keep(self.held())
                self.clear()
        return found

    def held(self) -> list[tuple[int, bytes, Tensor]]:
        """What is in memory only: position, question, answer."""
        return [(*where, found) for where, found in self._held.items()]

    def clear(self) -> None:
        """Forgets what is in memory."""
        self._held.clear()
        self.size = 0


def _bytes(tensor: Tensor | None) -> int:
    return 0 if tensor is None else tensor.numel() * tensor.element_size()
