"""Converters at the output lines: sums become one of 2^bits levels, or the last of them."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from secateur.circuit.blocks import blocks, extent, flat

# What converters were given, each with the largest magnitude that is inside its range.
Limits = list[tuple[Tensor, float]]


@dataclass(frozen=True)
class _Law:
    step: float
    highest: int
    gain: Tensor | None
    offset: Tensor | None

    def to_codes_(self, sums: Tensor) -> None:
        """Overwrites sums by whole numbers, those beyond the last level included."""
        sums.mul_(1.0 / self.step if self.gain is None else self.gain / self.step)
        if self.offset is not None:
            sums.add_(self.offset / self.step)
        sums.round_()


class _StraightThrough(torch.autograd.Function):
    """`result` for `plain`; the gradient passes where every converter's input was in its range."""

    @staticmethod
    def forward(ctx: Any, plain: Tensor, result: Tensor, limits: Limits) -> Tensor:
        ctx.limits = [limit for _, limit in limits]
        ctx.save_for_backward(*(given for given, _ in limits))
        return result.view_as(result)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        passed = gradients[0]
        for given, limit in zip(ctx.saved_tensors, ctx.limits, strict=True):
            # One fused pass instead of a mask and a product.
            passed = torch.ops.aten.hardtanh_backward(passed, given, -limit, limit)
        return passed, None, None


def straight_through(plain: Tensor, *, result: Tensor, limits: Limits) -> Tensor:
    """`result`, with the gradient of `plain` wherever nothing was beyond a converter's range.

    Args:
        plain: what would have come of ideal converters, with its graph.
        result: of the same shape.
        limits: what each converter was given, of that shape, and the largest it can represent.
    """
    # torch leaves `apply` untyped.
    passed = _StraightThrough.apply(plain, result, limits)  # type: ignore[no-untyped-call,unused-ignore]
    assert isinstance(passed, Tensor)
    return passed


@torch.no_grad()
def digitise_(
    sums: Tensor, *, step: float, bits: int, saturated: Tensor | None, gain: Tensor | None = None,
    offset: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """Sums as the nearest of the levels -(2^(bits-1) - 1) ... 2^(bits-1) - 1 times `step`.

    In place. A converter with errors takes gain x sum + offset for its sum.

    Args:
        sums: any shape, samples first.
        step: the distance of two levels, above 0.
        bits: 2 or more.
        saturated: int64 without axes, to which the number of sums beyond the last level is added;
            None where nobody counts.
        gain: of each converter, 1 for one without error; broadcasts with `sums`.
        offset: likewise, in the units of the sums.
    """
    law = _Law(step, 2 ** (bits - 1) - 1, gain, offset)
    # A single sample's first axis is that of the columns.
    batched = sums.dim() > (1 if gain is None else gain.dim())
    for part in blocks(sums) if batched else (sums,):
        law.to_codes_(part)
        if saturated is not None:
            magnitudes = flat(part).abs()
            # Looking is cheaper than counting, and many blocks have nothing to count.
            if part.device.type == "cpu" and float(magnitudes.amax()) <= law.highest:
                part.mul_(step)
                continue
            # Codes are whole numbers: whatever is beyond the last counts one.
            beyond = magnitudes.sub_(law.highest).clamp_(0.0, 1.0).sum()
            saturated.add_(beyond.to(torch.int64))
        part.clamp_(-law.highest, law.highest).mul_(step)
    return sums


def range_of(sums: Tensor, *, headroom: float, share: float = 1.0) -> float:
    """`headroom` times the root mean square of sums, but no further than their peak.

    Args:
        sums: any shape.
        headroom: full scale over the root mean square.
        share: of the sums that there are; the others are zeros in their places.
    """
    lowest, highest, norm, count = extent(sums)
    return float(min(headroom * norm / math.sqrt(share * count), max(highest, -lowest)))
