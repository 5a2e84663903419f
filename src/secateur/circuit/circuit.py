"""Levels of fidelity: how inputs and cells become outputs. Levels are objects, not flags."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from secateur.keyed import normal

# A linear layer's sum: (inputs, weight) -> outputs, linear in both.
LinearMap = Callable[[Tensor, Tensor], Tensor]


class Circuit(ABC):
    """One multiplication of inputs by the weights of a region."""

    label: str

    @abstractmethod
    def weight(self, mean: Tensor, deviation: Tensor, *, gain: float, key: int) -> Tensor:
        """The weights one forward pass works with.

        Args:
            mean: siemens, any shape: difference of each pair.
            deviation: siemens, the same shape: read noise of that difference.
            gain: weights per siemens.
            key: of this read.
        """

    @abstractmethod
    def product(
        self, linear: LinearMap, inputs: Tensor, weight: Tensor, deviation: Tensor, *, gain: float,
        key: int,
    ) -> Tensor:  # fmt: skip
        """Outputs of the layer for weights that came from `weight`, differentiable in both."""


@dataclass(frozen=True)
class ReadPerStep(Circuit):
    """The array is read once for a step and layer; all multiplications of it share that read."""

    label: str = "ideal sums, one noisy read per step"

    def weight(self, mean: Tensor, deviation: Tensor, *, gain: float, key: int) -> Tensor:
        """Mean plus noise of one read."""
        draw = normal(mean.shape, key=key, device=mean.device)
        return torch.addcmul(mean, deviation, draw).mul_(gain)

    def product(
        self, linear: LinearMap, inputs: Tensor, weight: Tensor, deviation: Tensor, *, gain: float,
        key: int,
    ) -> Tensor:  # fmt: skip
        """The plain product."""
        return linear(inputs, weight)


@dataclass(frozen=True)
class ReadPerProduct(Circuit):
    """Every multiplication meets the cells with fresh noise.

    Independent Gaussian noises of cells sum to a Gaussian noise of the column, of variance
    sum over inputs of (deviation x input)^2: one more product with squared operands and one draw
    per output are exact in distribution.
    """

    label: str = "ideal sums, fresh noise for every multiplication"

    def weight(self, mean: Tensor, deviation: Tensor, *, gain: float, key: int) -> Tensor:
        """The mean: the noise comes with the product."""
        return mean * gain

    def product(
        self, linear: LinearMap, inputs: Tensor, weight: Tensor, deviation: Tensor, *, gain: float,
        key: int,
    ) -> Tensor:  # fmt: skip
        """The product plus the noise of its columns; no gradient flows through the noise."""
        outputs = linear(inputs, weight)
        spread, draw = _column_noise(linear, inputs, deviation * gain, key)
        return outputs.addcmul_(spread.to(outputs.dtype), draw.to(outputs.dtype))


# torch.compile cannot trace a generator, and would compile anew for every key.
@torch.compiler.disable  # type: ignore[untyped-decorator,unused-ignore]
@torch.no_grad()
def _column_noise(
    linear: LinearMap, inputs: Tensor, deviation: Tensor, key: int
) -> tuple[Tensor, Tensor]:
    """Standard deviation of every output's noise, and standard normals laid out as it is."""
    # In half precision, which autocast may ask for, the squares would vanish.
    with torch.autocast(inputs.device.type, enabled=False):
        variance = linear(inputs.to(deviation.dtype).square(), deviation.square())
    draw = normal((variance.numel(),), key=key, device=variance.device)
    # Where channels are last, a product of two layouts would be slow.
    draw = draw.as_strided(variance.shape, torch.empty_like(variance).stride())
    # A sum of squares may come out a rounding error below zero.
    return variance.clamp_min_(0.0).sqrt_(), draw
