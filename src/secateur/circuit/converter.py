"""Converters at the input lines: activations become one of 2^bits levels."""

import math
from typing import Any

import torch
from torch import Tensor, nn

from secateur.circuit.blocks import blocks, extent
from secateur.circuit.circuit import Levels
from secateur.errors import SettingError
from secateur.uncompiled import uncompiled


class _Quantise(torch.autograd.Function):
    """Round and clip; the gradient passes inside the range and stops outside it."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, step: float, lowest: int, highest: int) -> Tensor:
        ctx.save_for_backward(inputs)
        # What rounds to the last level is inside.
        ctx.inside = (lowest - 0.5) * step, (highest + 0.5) * step
        return (inputs * (1.0 / step)).round_().clamp_(lowest, highest).mul_(step)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        (inputs,) = ctx.saved_tensors
        # One fused pass instead of a mask and a product.
        passed = torch.ops.aten.hardtanh_backward(gradients[0], inputs, *ctx.inside)
        return passed, None, None, None


def quantise(inputs: Tensor, *, step: float, bits: int, signed: bool) -> Tensor:
    """The nearest of 2^bits levels, straight-through inside the range.

    Args:
        inputs: any shape.
        step: the distance of two levels, above 0.
        bits: 1 or more.
        signed: levels -(2^(bits-1) - 1) ... 2^(bits-1) - 1 instead of 0 ... 2^bits - 1; the
            symmetric range drives a line with either sign alike.
    """
    highest = 2 ** (bits - 1) - 1 if signed else 2**bits - 1
    lowest = -highest if signed else 0
    if not (torch.is_grad_enabled() and inputs.requires_grad):
        levels = torch.empty_like(inputs)
        for part, out in zip(blocks(inputs), blocks(levels), strict=True):
            torch.mul(part, 1.0 / step, out=out).round_().clamp_(lowest, highest).mul_(step)
        return levels
    # torch leaves `apply` untyped.
    result = _Quantise.apply(inputs, step, lowest, highest)  # type: ignore[no-untyped-call,unused-ignore]
    assert isinstance(result, Tensor)
    return result


# Batches before `every` counts: a range is found fast, and followed at leisure.
_FIRST = 64


class InputConverter(nn.Module):
    """Quantises activations to `bits` on a range that training finds and evaluation keeps.

    In training the range follows `headroom` times the root mean square of the inputs, but no
    further than their peak, as an exponential average over the first batches and every `every`-th
    after them: looking at each would cost as much as the conversion itself. The sign is settled
    by the first of these that has a negative input. In evaluation both are frozen, so that a
    result does not depend on its batch. Processes that train together find one range: that of
    all their inputs.

    Args:
        bits: of the converter, 2 to 16.
        headroom: full scale over the root mean square.
        momentum: of the exponential average.
        every: batches from look to look; 1 where the calls of one batch follow each other, as
            the time steps of a recurrent layer do, and every n-th would always be the same one.
    """

    def __init__(
        self, bits: int, *, headroom: float = 4.0, momentum: float = 0.05, every: int = 8
    ) -> None:
        super().__init__()
        if not 2 <= bits <= 16:
            raise SettingError(f"input_bits is {bits}", remedy="Give 2 to 16 bits")
        self.bits, self.headroom, self.momentum = bits, headroom, momentum
        self.every = every
        # Numbers on the host, since they set up kernels: on a GPU a look at a tensor would wait.
        self.full_scale, self.signed, self.batches = 0.0, False, 0

    # torch.compile would compile anew for every range.
    @uncompiled
    def forward(self, inputs: Tensor) -> Tensor:
        """Quantised inputs of the same shape."""
        if self.training:
            if self.batches < _FIRST or self.batches % self.every == 0:
                self._follow(inputs.detach())
            self.batches += 1
        elif self.full_scale == 0.0:
            raise SettingError(
                "A converter has no range yet",
                cause="evaluation before any training step",
                remedy="Run at least one batch in training mode first, or load a saved model",
            )
        levels = self.levels()
        return quantise(inputs, step=levels.step, bits=levels.bits, signed=levels.signed)

    def levels(self) -> Levels:
        """Those of its outputs, as the range now is."""
        highest = 2 ** (self.bits - 1) - 1 if self.signed else 2**self.bits - 1
        # Before the first input that is not zero the range is zero, and so is every output.
        step = max(self.full_scale / highest, torch.finfo(torch.float32).tiny)
        return Levels(step, self.bits, self.signed)

    def _follow(self, inputs: Tensor) -> None:
        lowest, highest, norm, count = extent(inputs)
        self.signed = self.signed or lowest < 0.0
        peak = min(self.headroom * norm / math.sqrt(count), max(highest, -lowest))
        if self.full_scale == 0.0:
            self.full_scale = peak
        elif peak > 0.0:
            # All zeros, as a recurrent layer's first state, tell nothing of the range.
            self.full_scale += self.momentum * (peak - self.full_scale)

    def get_extra_state(self) -> Tensor:
        """Full scale, sign and batches seen."""
        return torch.tensor([self.full_scale, self.signed, self.batches], dtype=torch.float64)

    def set_extra_state(self, state: Tensor) -> None:
        """Restores what `get_extra_state` gave."""
        full_scale, signed, batches = state.tolist()
        self.full_scale, self.signed, self.batches = full_scale, bool(signed), int(batches)

    def extra_repr(self) -> str:
        """What `print(model)` says of it."""
        return f"bits={self.bits}"
