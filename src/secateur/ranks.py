"""This process among those that train one model together, by torch.distributed; or alone."""

from typing import Any

import torch
from torch import Tensor


def rank() -> int:
    """This process's rank where torch.distributed runs, otherwise 0."""
    group = _group()
    return int(group.get_rank()) if group else 0


def ranks() -> int:
    """How many processes there are: 1 where torch.distributed does not run."""
    group = _group()
    return int(group.get_world_size()) if group else 1


def summed(values: Tensor) -> Tensor:
    """The sum over all ranks, in place; every rank must call. No gradient passes."""
    group = _group()
    if group:
        group.all_reduce(values, op=group.ReduceOp.SUM)
    return values


def largest(values: Tensor) -> Tensor:
    """The largest of each value over all ranks, in place; every rank must call."""
    group = _group()
    if group:
        group.all_reduce(values, op=group.ReduceOp.MAX)
    return values


def _group() -> Any:
    distributed: Any = torch.distributed
    started = distributed.is_available() and distributed.is_initialized()
    return distributed if started else None
