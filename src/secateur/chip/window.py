"""The window of a convolution: which inputs meet the cells together."""

import math
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Window:
    """How a kernel slides over maps of any number of dimensions; zeros around them.

    Args:
        kernel: size along each dimension.
        stride: steps from patch to patch.
        padding: zeros on either side.
        dilation: steps from tap to tap.
    """

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]

    def places(self, size: tuple[int, ...]) -> tuple[int, ...]:
        """Patches along each dimension of maps of that size."""
        each = zip(size, self.kernel, self.stride, self.padding, self.dilation, strict=True)
        return tuple((n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in each)

    def patches(self, maps: Tensor) -> Tensor:
        """Rows (N x places, channels x taps) of maps (N, channels, *size): one multiplication each.

        In the order of a weight of shape (outputs, channels, *kernel).
        """
        around = [p for p in reversed(self.padding) for _ in range(2)]
        padded = F.pad(maps, around).contiguous()
        size = self.places(tuple(maps.shape[2:]))
        n, c, *steps = padded.stride()
        strides = [s * by for s, by in zip(steps, self.stride, strict=True)]
        taps = [s * by for s, by in zip(steps, self.dilation, strict=True)]
        shape = (maps.shape[0], *size, maps.shape[1], *self.kernel)
        seen = padded.as_strided(shape, (n, *strides, c, *taps))
        return seen.reshape(maps.shape[0] * math.prod(size), -1)

    def laid_out(self, currents: Tensor, maps: Tensor) -> Tensor:
        """Currents (N x places, outputs) of such rows as maps (N, outputs, *places)."""
        size = self.places(tuple(maps.shape[2:]))
        return currents.view(maps.shape[0], *size, -1).movedim(-1, 1)
