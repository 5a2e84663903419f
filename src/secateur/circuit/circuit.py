"""Levels of fidelity: how inputs and cells become outputs. Levels are objects, not flags."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from secateur.circuit.blocks import blocks, equal_parts
from secateur.keyed import NormalStream, normal
from secateur.uncompiled import uncompiled

if TYPE_CHECKING:
    from secateur.circuit.wired import Wired

# A linear layer's sum: (inputs, weight) -> outputs, linear in both.
LinearMap = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Levels:
    """What a converter at the input lines gives: whole multiples of `step`.

    Args:
        step: distance of two levels.
        bits: of the converter.
        signed: -(2^(bits-1) - 1) ... 2^(bits-1) - 1 steps instead of 0 ... 2^bits - 1.
    """

    step: float
    bits: int
    signed: bool


class Circuit(ABC):
    """One multiplication of inputs by the weights of a region."""

    @property
    @abstractmethod
    def label(self) -> str:
        """The level in words, for records."""

    @abstractmethod
    def weight(self, mean: Tensor, deviation: Tensor, *, gain: float, key: int) -> Tensor:
        """The weights one forward pass works with.

        Args:
            mean: siemens, any shape: difference of each pair.
            deviation: siemens, the same shape: read noise of that difference.
            gain: weights per siemens.
            key: of this read.
        """

    def add_noise(
        self, outputs: Tensor, linear: LinearMap, inputs: Tensor, deviation: Tensor, *,
        gain: float, key: int | Sequence[int],
    ) -> Tensor:  # fmt: skip
        """`outputs`, sums of one analog read of `inputs`, with the noise of that read; in place.

        Several keys are of as many equal parts along the first axis, each a read of its own.
        Nothing is added where noise does not come anew with every read.
        """
        return outputs

    def product(
        self, linear: LinearMap, inputs: Tensor, weight: Tensor, deviation: Tensor, *, gain: float,
        key: int, levels: Levels | None = None,
    ) -> Tensor:  # fmt: skip
        """Outputs of the layer for weights that came from `weight`, differentiable in both.

        `levels` are those of the inputs, where a converter made them.
        """
        outputs = linear(inputs, weight)
        return self.add_noise(outputs, linear, inputs, deviation, gain=gain, key=key)

    @property
    def wires(self) -> "Wired | None":
        """The wires that the cells of this level are seen through."""
        return None

    def bound(self, layout: "Layout") -> "Circuit":
        """This level for one weight, with what it keeps for it; itself where it keeps nothing."""
        return self

    def part(self, start: int, stop: int) -> "Circuit":
        """This level for some of the outputs of its weight."""
        return self


@dataclass(frozen=True)
class Layout:
    """How a weight lies on macros, as far as the outputs depend on it.

    Args:
        shape: of the weight.
        inputs_first: True where its first axis counts inputs (transposed convolutions).
        spans: first and last + 1 input of the rows that share macros, in turn: what a column sums.
        macros: int64 (spans, columns), the macro of every column's pair.
        pair_columns: int64, likewise: the pair's place along that macro's rows.
        seed: of the chip.
    """

    shape: tuple[int, ...]
    inputs_first: bool
    spans: tuple[tuple[int, int], ...]
    macros: Tensor
    pair_columns: Tensor
    seed: int


@dataclass(frozen=True)
class Ideal(Circuit):
    """Ideal sums of the mean conductances: no noise of any read."""

    label = "ideal sums, no read noise"

    def weight(self, mean: Tensor, deviation: Tensor, *, gain: float, key: int) -> Tensor:
        """The mean."""
        return mean * gain


@dataclass(frozen=True)
class ReadPerStep(Circuit):
    """The array is read once for a step and layer; all multiplications of it share that read."""

    label = "ideal sums, one noisy read per step"

    def weight(self, mean: Tensor, deviation: Tensor, *, gain: float, key: int) -> Tensor:
        """Mean plus noise of one read."""
        draw = normal(mean.shape, key=key, device=mean.device)
        return torch.addcmul(mean, deviation, draw).mul_(gain)


@dataclass(frozen=True)
class ReadPerProduct(Circuit):
    """Every multiplication meets the cells with fresh noise.

    Independent Gaussian noises of cells sum to a Gaussian noise of the column, of variance
    sum over inputs of (deviation x input)^2: one more product with squared operands and one draw
    per output, of `NormalStream`, have its law.
    """

    label = "ideal sums, fresh noise for every multiplication"

    def weight(self, mean: Tensor, deviation: Tensor, *, gain: float, key: int) -> Tensor:
        """The mean: the noise comes with the product."""
        return mean * gain

    def add_noise(
        self, outputs: Tensor, linear: LinearMap, inputs: Tensor, deviation: Tensor, *,
        gain: float, key: int | Sequence[int],
    ) -> Tensor:  # fmt: skip
        """The noise of the columns; no gradient flows through it."""
        keys = (key,) if isinstance(key, int) else key
        noisy: Tensor = _add_column_noise(outputs, linear, inputs, deviation * gain, keys)
        return noisy


# torch.compile cannot trace a generator, and would compile anew for every key.
@uncompiled
def _add_column_noise(
    outputs: Tensor, linear: LinearMap, inputs: Tensor, deviation: Tensor, keys: Sequence[int]
) -> Tensor:
    with torch.no_grad():
        # In half precision, which autocast may ask for, the squares would vanish.
        with torch.autocast(inputs.device.type, enabled=False):
            variance = linear(inputs.to(deviation.dtype).square(), deviation.square())
        # A product's sums are needed by no gradient: detached, they take the noise in one pass.
        reads = (equal_parts(stacked, len(keys)) for stacked in (variance, outputs.detach()))
        for key, own, whole in zip(keys, *reads, strict=True):
            source = NormalStream(key, variance.device)
            for part, sums in zip(blocks(own), blocks(whole), strict=True):
                draw = source.draw(part.numel())
                # Where channels are last, a product of two layouts would be slow.
                draw = draw.as_strided(part.shape, torch.empty_like(part).stride())
                # A sum of squares may come out a rounding error below zero.
                sums.addcmul_(part.clamp_min_(0.0).sqrt_(), draw)
    return outputs
