"""Products that the chip itself computes: forward by its cells, backward digital."""

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from torch import Tensor

from secateur.chip import Chip, Region, Window
from secateur.circuit import Levels, LinearMap


@runtime_checkable
class Slides(Protocol):
    """A linear map that is one product for every place of a window."""

    def window(self) -> Window | None:
        """The window; None where the map is more than that."""
        ...


@dataclass(frozen=True)
class BoardProducts:
    """How a weight's products are asked of its chip.

    Inputs become voltages by the full scale of their converter, or by the largest of them where
    there is none, so that no cell sees more than the read voltage. While the chip multiplies, the
    product by the conductances last read is worked out here, whose gradient is taken. Maps that
    are not one product for every place (grouped and transposed convolutions, padding by other than
    zeros) are computed here from one read of the array.

    Args:
        chip: that multiplies.
        region: of the weight.
        gain: weights per siemens.
        outputs: first and last + 1 of the region's outputs that are asked for; all where None.
    """

    chip: Chip
    region: Region
    gain: float
    outputs: tuple[int, int] | None = None

    def product(
        self, linear: LinearMap, inputs: Tensor, weight: Tensor, *, key: int, levels: Levels | None
    ) -> Tensor:
        """`linear(inputs, weight)` as the chip computes it, differentiable in both.

        Args:
            linear: the layer's map.
            inputs: of the layer.
            weight: as last read.
            key: of the noise.
            levels: of the inputs, where a converter made them.
        """
        given = inputs.detach().float()
        full = _full_scale(given, levels)
        # A tensor of its own, which nobody changes while it travels.
        volts = given * (self.chip.technology.read_voltage / full)
        window = linear.window() if isinstance(linear, Slides) else None
        if linear is F.linear:
            flat = volts.reshape(-1, volts.shape[-1])
            finish = self.chip.begin_multiply(self.region, flat, key=key)
        elif window is not None:
            unbatched = volts.dim() == len(window.kernel) + 1
            maps = volts.unsqueeze(0) if unbatched else volts
            finish = self.chip.begin_convolve(self.region, maps, window, key=key)
        else:
            return linear(inputs, _measured(weight, self._read(key).to(weight.dtype)))
        digital = linear(inputs, weight)
        currents = finish()
        axis = 1 if window is not None else -1
        if self.outputs is not None:
            first, last = self.outputs
            currents = currents.narrow(axis, first, last - first)
        scale = self.gain * full / self.chip.technology.read_voltage
        found = (currents * scale).to(device=digital.device, dtype=digital.dtype)
        return _measured(digital, found.reshape(digital.shape))

    def _read(self, key: int) -> Tensor:
        cells = self.chip.read(self.region, key=key)
        return (cells[..., 0] - cells[..., 1]).mul_(self.gain)[slice(*(self.outputs or (None,)))]


class _Measured(torch.autograd.Function):
    """What was measured forward, the gradient of what was computed backward."""

    @staticmethod
    def forward(ctx: Any, computed: Tensor, measured: Tensor) -> Tensor:
        # In the memory layout that was computed: what follows is compiled for it.
        return torch.empty_like(computed).copy_(measured)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        return gradients[0], None


def _measured(computed: Tensor, measured: Tensor) -> Tensor:
    result: Tensor = _Measured.apply(computed, measured)  # type: ignore[no-untyped-call,unused-ignore]
    return result


def _full_scale(inputs: Tensor, levels: Levels | None) -> float:
    if levels is not None:
        highest = 2 ** (levels.bits - 1) - 1 if levels.signed else 2**levels.bits - 1
        full = levels.step * highest
    else:
        full = float(inputs.abs().amax()) if inputs.numel() else 0.0
    return full or 1.0
