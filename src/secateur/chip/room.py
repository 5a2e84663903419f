"""Room for what is kept of each cell: taken once for many weights, filled as they are placed."""

import torch
from torch import Tensor


def with_room(held: Tensor, total: int) -> Tensor:
    """The same values in front of room for `total` in all; `appended` finds it."""
    room = held.new_empty(total)
    room[: len(held)] = held
    return room[: len(held)]


def appended(held: Tensor, fresh: Tensor) -> Tensor:
    """`held` (n,) and `fresh` (m,) as one tensor; `held` is not copied where there is room."""
    total = len(held) + len(fresh)
    held_bytes = held.untyped_storage().nbytes()
    if held.storage_offset() or held_bytes < total * held.element_size():
        return torch.cat([held, fresh])
    whole = held.as_strided((total,), (1,))
    whole[len(held) :] = fresh
    return whole
