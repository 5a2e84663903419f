"""Sums that are converted on their own: rows of one macro, one position of a transposed kernel."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from secateur.circuit.circuit import Circuit, Layout, LinearMap
from secateur.keyed import key_of, normals, philox


@dataclass(frozen=True)
class Partial:
    """A part of a layer's sums.

    Args:
        span: number of its rows among the layout's spans.
        channels: first and last + 1 channel of the inputs that take part, None for all.
        mask: 1 for weights that take part and 0 for others of these channels, None for all.
        errors: gain and offset over full scale of each output's converter, broadcasting with the
            outputs but for the groups of a transposed convolution; None without errors.
        scattered: True where not every output gets a sum of its own (transposed convolutions).
    """

    span: int
    channels: tuple[int, int] | None
    mask: Tensor | None
    errors: tuple[Tensor, Tensor] | None
    scattered: bool

    def to(self, device: torch.device) -> "Partial":
        """The same on a device."""
        mask = None if self.mask is None else self.mask.to(device)
        errors = self.errors and (self.errors[0].to(device), self.errors[1].to(device))
        return replace(self, mask=mask, errors=errors)


@dataclass(frozen=True)
class Read:
    """What it takes to multiply by a weight, or a part of it, as an array is read.

    Args:
        level: how.
        linear: the layer's map.
        weight: of the layer.
        deviation: read noise of its pairs, siemens.
        gain: weights per siemens.
    """

    level: Circuit
    linear: LinearMap
    weight: Tensor
    deviation: Tensor
    gain: float

    def noisy(self, sums: Tensor, inputs: Tensor, key: int | Sequence[int]) -> Tensor:
        """`sums` with the noise of one read of `inputs`, or of one for each key."""
        return self.level.add_noise(
            sums, self.linear, inputs, self.deviation, gain=self.gain, key=key
        )

    def sums(
        self, inputs: Tensor, every: "Sequence[Partial]", keys: Sequence[Sequence[int]],
        whole: Tensor | None = None,
    ) -> Iterator[Tensor]:  # fmt: skip
        """Noisy sums of every part in turn.

        Args:
            inputs: of the layer.
            every: the parts.
            keys: of the noise of each, one for every plane that is stacked in the inputs.
            whole: the ideal sum of all parts where it is known: the first part is then what the
                others leave of it.
        """
        parts = [self._part(inputs, partial) for partial in every]
        ideal: list[Tensor | None] = [None] * len(parts)
        if whole is not None:
            ideal = [None, *(read.linear(given, read.weight) for read, given in parts[1:])]
            ideal[0] = whole.clone() if len(parts) == 1 else whole - sum(ideal[1:])  # type: ignore[arg-type,operator]
        for (read, given), sums, key in zip(parts, ideal, keys, strict=True):
            yield read.noisy(read.linear(given, read.weight) if sums is None else sums, given, key)

    def _part(self, inputs: Tensor, partial: "Partial") -> "tuple[Read, Tensor]":
        """What a part multiplies, and by what."""
        weight, deviation = self.weight, self.deviation
        mask, channels = partial.mask, partial.channels
        # The channels of a group take turns on the same rows: nothing is left out there.
        if channels is not None and inputs.shape[_axis(weight)] == weight.shape[1]:
            first, length = channels[0], channels[1] - channels[0]
            inputs = inputs.narrow(_axis(weight), first, length)
            weight, deviation = (t.narrow(1, first, length) for t in (weight, deviation))
            mask = None if mask is None else mask.narrow(1, first, length)
        if mask is not None:
            weight, deviation = weight * mask.to(weight.dtype), deviation * mask
        return replace(self, weight=weight, deviation=deviation), inputs

    @torch.no_grad()
    def touched(self, inputs: Tensor, partial: Partial) -> Tensor | None:
        """Which outputs a part has a sum for, for one sample; None where for all of them."""
        if not partial.scattered or partial.mask is None:
            return None
        batched = inputs.dim() == self.weight.dim()
        one = torch.ones_like(inputs[:1] if batched else inputs)
        return self.linear(one, partial.mask.to(one.dtype).expand_as(self.weight)) > 0.5


def partials(
    layout: Layout, *, spreads: tuple[float, float], columns_per_converter: int
) -> list[Partial]:
    """The parts of a weight's sums, in the order in which they are added.

    Args:
        layout: of the weight.
        spreads: of the converters' gain, and of their offset over full scale.
        columns_per_converter: pairs that share one.
    """
    found = []
    for span, (first, last) in enumerate(layout.spans):
        errors = _errors(layout, span, spreads, columns_per_converter) if any(spreads) else None
        found += (
            _scattered(layout, span, first, last, errors) if layout.inputs_first
            else [_gathered(layout, span, first, last, errors)]
        )  # fmt: skip
    return found


def _gathered(
    layout: Layout, span: int, first: int, last: int, errors: tuple[Tensor, Tensor] | None
) -> Partial:
    """Rows of a weight (outputs, channels, *kernel), counted along channels and kernel."""
    outputs, channels, *kernel = layout.shape
    if errors is not None:
        shape = (outputs, *(1,) * len(kernel))
        errors = errors[0].view(shape), errors[1].view(shape)
    size = math.prod(kernel)
    if (first, last) == (0, channels * size):
        return Partial(span, None, None, errors, scattered=False)
    mask = torch.zeros(channels * size)
    mask[first:last] = 1.0
    taking_part = first // size, -(-last // size)
    return Partial(span, taking_part, mask.view(1, channels, *kernel), errors, scattered=False)


def _scattered(
    layout: Layout, span: int, first: int, last: int, errors: tuple[Tensor, Tensor] | None
) -> list[Partial]:
    """Rows of a weight (channels, outputs, *kernel): every position of the kernel has columns."""
    channels, outputs, *kernel = layout.shape
    size = math.prod(kernel)
    rows = torch.zeros(channels, 1, 1)
    rows[first:last] = 1.0
    found = []
    for place in range(size):
        mask = torch.zeros(channels, 1, size)
        mask[..., place : place + 1] = rows
        own = None
        if errors is not None:
            shape = (outputs, *(1,) * len(kernel))
            gain, offset = (e.view(outputs, size)[:, place].reshape(shape) for e in errors)
            own = gain, offset
        found.append(Partial(span, None, mask.view(channels, 1, *kernel), own, scattered=True))
    return found


def _errors(
    layout: Layout, span: int, spreads: tuple[float, float], columns_per_converter: int
) -> tuple[Tensor, Tensor]:
    """Gain, and offset over full scale, of the converter of every column: frozen at birth."""
    macros, places = layout.macros[span], layout.pair_columns[span]
    nothing = torch.zeros_like(macros)
    counters = torch.stack([macros, places // columns_per_converter, nothing, nothing])
    draws = normals(philox(counters, key=key_of(layout.seed, "converter")))
    return 1.0 + spreads[0] * draws[0], spreads[1] * draws[1]


def _axis(weight: Tensor) -> int:
    """Of the channels in a layer's inputs and outputs."""
    return 1 - weight.dim()
