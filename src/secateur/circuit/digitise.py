"""Converters at the output lines: sums become one of 2^bits levels, or the last of them."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from secateur.circuit.blocks import blocks


@dataclass(frozen=True)
class _Law:
    step: float
    highest: int
    gain: Tensor | None
    offset: Tensor | None
    saturated: Tensor

    def to_codes_(self, sums: Tensor) -> None:
        """Overwrites sums by whole numbers, those beyond the last level included."""
        sums.mul_(1.0 / self.step if self.gain is None else self.gain / self.step)
        if self.offset is not None:
            sums.add_(self.offset / self.step)
        sums.round_()


class _Digitise(torch.autograd.Function):
    """The gradient passes inside the range and stops outside it, whatever the column's errors."""

    @staticmethod
    def forward(ctx: Any, sums: Tensor, law: _Law) -> Tensor:
        result = sums.clone()
        law.to_codes_(result)
        inside = result.abs() <= law.highest
        law.saturated.add_(inside.numel() - inside.count_nonzero())
        ctx.save_for_backward(inside)
        return result.clamp_(-law.highest, law.highest).mul_(law.step)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (inside,) = ctx.saved_tensors
        return gradients[0] * inside, None


def digitise_(
    sums: Tensor, *, step: float, bits: int, saturated: Tensor, gain: Tensor | None = None,
    offset: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """Sums as the nearest of the levels -(2^(bits-1) - 1) ... 2^(bits-1) - 1 times `step`.

    A converter with errors takes gain x sum + offset for its sum. Without a gradient the sums are
    overwritten; with one it is straight-through inside the range and nothing outside.

    Args:
        sums: any shape, samples first.
        step: the distance of two levels, above 0.
        bits: 2 or more.
        saturated: int64 without axes, to which the number of sums beyond the last level is added.
        gain: of each converter, 1 for one without error; broadcasts with `sums`.
        offset: likewise, in the units of the sums.
    """
    law = _Law(step, 2 ** (bits - 1) - 1, gain, offset, saturated)
    if torch.is_grad_enabled() and sums.requires_grad:
        # torch leaves `apply` untyped.
        result = _Digitise.apply(sums, law)  # type: ignore[no-untyped-call,unused-ignore]
        assert isinstance(result, Tensor)
        return result
    # A single sample's first axis is that of the columns.
    batched = sums.dim() > (1 if gain is None else gain.dim())
    for part in blocks(sums) if batched else (sums,):
        law.to_codes_(part)
        if part.device.type == "cpu":
            # Looking is cheaper than counting, and many blocks have nothing to count.
            lowest, highest = (float(end) for end in part.aminmax())
            if max(highest, -lowest) <= law.highest:
                part.mul_(step)
                continue
        # Codes are whole numbers: whatever is beyond the last counts one.
        saturated.add_(part.abs().sub_(law.highest).clamp_(0.0, 1.0).sum().to(torch.int64))
        part.clamp_(-law.highest, law.highest).mul_(step)
    return sums


def range_of(sums: Tensor, *, headroom: float) -> float:
    """`headroom` times the root mean square of sums, but no further than their peak."""
    norm = torch.linalg.vector_norm(sums)
    # One transfer for the three numbers.
    lowest, highest, norm = torch.stack([*sums.aminmax(), norm]).tolist()
    return float(min(headroom * norm / math.sqrt(sums.numel()), max(highest, -lowest)))
