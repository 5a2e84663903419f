"""Where a layer's weights come from, and the one product that uses them."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from secateur.circuit import BoundConverters, Circuit, InputConverter, LinearMap
from secateur.errors import ModelError
from secateur.keyed import key_of, normal
from secateur.network.board_products import BoardProducts
from secateur.network.multiple import repeated, summed
from secateur.ranks import rank
from secateur.uncompiled import uncompiled


@dataclass(frozen=True)
class Reading:
    """The weights of one forward pass, and how to multiply by them.

    Every multiplication by chip weights in secateur is `product`.

    Args:
        weight: as read.
        deviation: read noise of its pairs, siemens; None where the chip tells none.
        gain: weights per siemens.
        circuit: level of fidelity, None for plain sums.
        key: of the noise of these products.
        scale: what outputs are multiplied by digitally, one number or one for each output.
        board: the chip, where it multiplies itself.
        pairs: of a weight; with several, `weight` and `deviation` are of each, see `multiple`.
        inputs_first: whether the first axis of `weight` counts inputs.
    """

    weight: Tensor
    deviation: Tensor | None = None
    gain: float = 1.0
    circuit: Circuit | None = None
    key: int = 0
    scale: Tensor | None = None
    board: BoardProducts | None = None
    pairs: int = 1
    inputs_first: bool = False

    def product(
        self, linear: LinearMap, inputs: Tensor, converter: nn.Module | None = None
    ) -> Tensor:
        """`linear(inputs, weight)` at the circuit's level of fidelity.

        Args:
            linear: the layer's map.
            inputs: of the layer.
            converter: that they have passed.
        """
        if self.pairs > 1:
            if self.board is None and not isinstance(self.circuit, BoundConverters):
                return self._summed().product(linear, inputs, converter)
            # Which rows a column sums counts here.
            inputs = repeated(
                inputs, self.pairs, weight=self.weight, inputs_first=self.inputs_first
            )
        levels = converter.levels() if isinstance(converter, InputConverter) else None
        if self.board is not None:
            return self._scaled(
                self.board.product(linear, inputs, self.weight, key=self.key, levels=levels)
            )
        if self.circuit is None or self.deviation is None:
            return self._scaled(linear(inputs, self.weight))
        return self._scaled(
            self.circuit.product(
                linear, inputs, self.weight, self.deviation, gain=self.gain, key=self.key,
                levels=levels,
            )
        )  # fmt: skip

    def part(self, start: int, stop: int) -> "Reading":
        """The reading of some of the outputs (first axis), with noise of its own."""
        deviation = None if self.deviation is None else self.deviation[start:stop]
        key = key_of(self.key, start)
        circuit = None if self.circuit is None else self.circuit.part(start, stop)
        scale = (
            self.scale[start:stop] if self.scale is not None and self.scale.dim() else self.scale
        )
        board = None if self.board is None else replace(self.board, outputs=(start, stop))
        return replace(
            self, weight=self.weight[start:stop], deviation=deviation, key=key, circuit=circuit,
            scale=scale, board=board,
        )  # fmt: skip

    def _summed(self) -> "Reading":
        """The same with the pairs of each weight added up: their noises are independent."""
        first, deviation = self.inputs_first, self.deviation
        if deviation is not None:
            deviation = summed(deviation.square(), self.pairs, inputs_first=first).sqrt_()
        return Reading(
            summed(self.weight, self.pairs, inputs_first=first), deviation, self.gain,
            self.circuit, self.key, self.scale, inputs_first=first,
        )  # fmt: skip

    def _scaled(self, outputs: Tensor) -> Tensor:
        """Outputs, drift given back digitally: by one factor, or one for each output."""
        if self.scale is None:
            return outputs
        scale = self.scale.to(outputs.dtype)
        if not scale.dim():
            return outputs * scale
        axis = 1 - self.weight.dim()
        # The groups of a transposed convolution take turns on the same columns.
        scale = scale.repeat(outputs.shape[axis] // len(scale))
        return outputs * scale.view(-1, *(1,) * (-axis - 1))


class WeightSource(nn.Module, ABC):
    """One weight of a layer: calling it reads it once."""

    def forward(self) -> Reading:
        """The reading for one forward pass."""
        self.settle()
        return self.read()

    def settle(self) -> None:
        """What has to be done once before the reads of a forward pass."""

    @abstractmethod
    def read(self) -> Reading:
        """One read."""

    @abstractmethod
    def plain(self) -> Tensor:
        """The weight as a plain tensor, detached: what a digital copy of the layer gets."""

    @property
    @abstractmethod
    def shape(self) -> torch.Size:
        """Of the weight."""

    @classmethod
    def __torch_function__(
        cls,
        function: Callable[..., Any],
        types: Sequence[type],
        arguments: Sequence[Any] = (),
        keywords: Mapping[str, Any] | None = None,
    ) -> Any:
        """Refuses torch's functions, whose fused fast paths (Transformer) look for this method."""
        raise ModelError(
            f"{getattr(function, '__name__', function)} was given a layer's weight, "
            "which is on a chip and no tensor",
            cause="code that takes layer.weight instead of calling the layer",
            remedy="Call the layer, or leave it digital with `where`",
        )


# Gives each source one parameter, however many layers share it.
PlainValue = Callable[[WeightSource], nn.Parameter]


class DigitalWeight(WeightSource):
    """A weight in digital memory, as trained; optionally with noise injected in training.

    Args:
        value: the weight; stays the parameter it is.
        noise: standard deviation of the injected noise over the largest |weight|; training only.
        seed: of the noise.
        name: of the weight, part of its noise's key.
        inputs_first: True where its first axis counts inputs (transposed convolutions).
    """

    def __init__(
        self, value: nn.Parameter, *, noise: float, seed: int, name: str, inputs_first: bool = False
    ) -> None:
        super().__init__()
        self.value, self.noise, self.seed, self.name = value, noise, seed, name
        self.inputs_first = inputs_first
        self.uses = Uses()

    def read(self) -> Reading:
        """The value, noisy in training where noise is injected."""
        if not (self.training and self.noise > 0.0):
            return Reading(self.value)
        return Reading(self._noisy())

    @uncompiled
    def _noisy(self) -> Tensor:
        key = key_of(self.seed, rank(), "inject", self.name, self.uses.next())
        return inject(self.value, key=key, noise=self.noise)

    def plain(self) -> Tensor:
        """The value."""
        return self.value.detach().clone()

    @property
    def shape(self) -> torch.Size:
        """Of the weight."""
        return self.value.shape

    def get_extra_state(self) -> Tensor:
        """The number of noise draws so far."""
        return torch.tensor(self.uses.count)

    def set_extra_state(self, state: Tensor) -> None:
        """Restores the number of noise draws."""
        self.uses.count = int(state)


class Uses:
    """Counts the reads of one weight: the step in the key of its noise."""

    def __init__(self) -> None:
        self.count = 0

    def next(self) -> int:
        """The number of this use."""
        self.count += 1
        return self.count


def inject(value: Tensor, *, key: int, noise: float) -> Tensor:
    """`value` plus Gaussian noise of `noise` times its largest magnitude, straight-through."""
    draw = normal(value.shape, key=key, device=value.device)
    return value + draw.mul_(noise * value.detach().abs().amax()).to(value.dtype)
