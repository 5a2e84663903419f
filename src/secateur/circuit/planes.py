"""Bit-serial inputs: one bit-plane after another drives the lines, and the sums are shifted."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from secateur.circuit.blocks import equal_parts
from secateur.circuit.circuit import Levels


def bit_planes(inputs: Tensor, levels: Levels) -> Iterator[tuple[int, Tensor]]:
    """The planes of inputs, the least bit first: inputs = sum of shift x plane.

    Signed inputs are in two's complement: the last plane, the sign's, has a negative shift.

    Args:
        inputs: whole multiples of the levels' step, inside their range; any shape.
        levels: of the converter they came from.

    Yields:
        The shift, a power of 2, and the plane: 0 or the step, shaped as `inputs`.
    """
    # In half precision a level may round to one beyond the last.
    steps = (inputs.detach().to(torch.float32) / levels.step).round_()
    highest = 2 ** (levels.bits - 1) - 1 if levels.signed else 2**levels.bits - 1
    steps = steps.clamp_(-highest if levels.signed else 0, highest).to(torch.int32)
    for bit in range(levels.bits):
        plane = (steps >> bit & 1).to(inputs.dtype).mul_(levels.step)
        sign = -1 if levels.signed and bit == levels.bits - 1 else 1
        yield sign << bit, plane


@dataclass(frozen=True)
class Stack:
    """Planes of the same inputs one after another along the samples: one product serves them all.

    Args:
        shifts: of each plane.
        inputs: (planes x samples, ...).
    """

    shifts: tuple[int, ...]
    inputs: Tensor

    def each(self, outputs: Tensor) -> tuple[Tensor, ...]:
        """Outputs (planes x samples, ...) of every plane in turn: views."""
        return equal_parts(outputs, len(self.shifts))


def stacks(inputs: Tensor, levels: Levels, *, together: int) -> Iterator[Stack]:
    """The planes of inputs (samples, ...), up to `together` at a time, the least bit first."""
    planes = list(bit_planes(inputs, levels))
    for first in range(0, len(planes), together):
        some = planes[first : first + together]
        joined = some[0][1] if len(some) == 1 else torch.cat([plane for _, plane in some])
        yield Stack(tuple(shift for shift, _ in some), joined)


def noise_inputs(inputs: Tensor, levels: Levels) -> Tensor:
    """The inputs of a single read that is as noisy as all planes together: its variance is theirs.

    The variances of the planes add with their shifts squared, sum 4^bit plane^2, and so this is
    the root of that for every input. Exact in distribution where nothing is converted in between.
    """
    total = torch.zeros_like(inputs)
    for shift, plane in bit_planes(inputs, levels):
        total.addcmul_(plane, plane, value=float(shift * shift))
    return total.sqrt_()
