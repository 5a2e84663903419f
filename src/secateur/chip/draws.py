"""What the draws of a simulated chip's cells are for, and their words."""

import torch
from torch import Tensor

from secateur.keyed import cell_words

# Draw number 0 of CELL is frozen at birth, number n is of a cell's n-th pulse.
CELL, BIRTH, VERIFY, RELAX, AGE, INPUT_LINE, OUTPUT_LINE = range(7)
FUTURES = 1 << 29


def words_of(
    addresses: Tensor, counts: Tensor | int, purpose: int, *, seed: int, future: int
) -> Tensor:
    """Four random 32-bit words (4, n) of each cell.

    Args:
        addresses: physical, int64 (n,).
        counts: of pulses, or 0.
        purpose: of the draw.
        seed: of the chip.
        future: which of what may become of it, 0 to FUTURES - 1: what is frozen at birth is the
            same in all.
    """
    kind: Tensor | int = purpose
    if future and purpose != BIRTH:
        numbered = torch.as_tensor(counts, device=addresses.device) > 0
        kind = purpose + 8 * future * (numbered | (purpose != CELL))
    return cell_words(addresses, counts, seed=seed, purpose=kind)
