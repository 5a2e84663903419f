"""One layer class for every linear layer: linear, and convolutions of any dimension."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from secateur.network.reading import WeightSource

_CONVOLVE: dict[tuple[bool, int], Callable[..., Tensor]] = {
    (False, 1): F.conv1d, (False, 2): F.conv2d, (False, 3): F.conv3d,
    (True, 1): F.conv_transpose1d, (True, 2): F.conv_transpose2d, (True, 3): F.conv_transpose3d,
}  # fmt: skip


@dataclass(frozen=True)
class Convolution:
    """The linear map of a convolution: bilinear in inputs and weight."""

    dimensions: int
    stride: tuple[int, ...]
    padding: str | tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int
    padding_mode: str = "zeros"
    reversed_padding: tuple[int, ...] = ()
    transposed: bool = False

    @classmethod
    def of(cls, layer: "nn.modules.conv._ConvNd") -> "Convolution":
        """The map of a plain convolution layer."""
        padding = layer.padding if isinstance(layer.padding, str) else tuple(layer.padding)
        return cls(
            len(layer.kernel_size), tuple(layer.stride), padding, tuple(layer.dilation),
            layer.groups, layer.padding_mode, tuple(layer._reversed_padding_repeated_twice),
            layer.transposed,
        )  # fmt: skip

    def __call__(
        self, inputs: Tensor, weight: Tensor, output_padding: tuple[int, ...] | None = None
    ) -> Tensor:
        """Outputs without bias."""
        convolve = _CONVOLVE[self.transposed, self.dimensions]
        if self.transposed:
            extra = output_padding or 0
            return convolve(
                inputs, weight, None, self.stride, self.padding, extra, self.groups, self.dilation
            )
        padding = self.padding
        if self.padding_mode != "zeros":
            inputs = F.pad(inputs, self.reversed_padding, mode=self.padding_mode)
            padding = (0,) * self.dimensions
        return convolve(inputs, weight, None, self.stride, padding, self.dilation, self.groups)


class ChipLayer(nn.Module):
    """A linear or convolutional layer whose weight comes from a `WeightSource`.

    Attributes keep PyTorch's names: `weight` (the source; calling it reads it), `bias` (digital,
    trainable). `original` is the plain layer without its parameters, for shapes and `detach_`.
    """

    def __init__(
        self, original: nn.Module, weight: WeightSource, *, converter: nn.Module | None
    ) -> None:
        super().__init__()
        self.weight = weight
        self.bias = original.bias
        self.converter = converter
        # Kept out of the module tree: it holds settings, no weights.
        self._original = (original,)
        convolution = isinstance(original, nn.modules.conv._ConvNd)
        self.linear = Convolution.of(original) if convolution else F.linear
        self.training = original.training

    def forward(self, inputs: Tensor, output_size: list[int] | None = None) -> Tensor:
        """Outputs of the layer; `output_size` as transposed convolutions know it."""
        if self.converter is not None:
            inputs = self.converter(inputs)
        reading = self.weight()
        if output_size is None and not self._pads_output():
            outputs = reading.product(self.linear, inputs)
        else:
            extra = self._output_padding(inputs, output_size)
            outputs = reading.product(lambda x, w: self.linear(x, w, extra), inputs)
        if self.bias is None:
            return outputs
        if self.linear is F.linear:
            return outputs + self.bias
        return outputs + self.bias.view(-1, *(1,) * self.linear.dimensions)

    def plain(self) -> nn.Module:
        """The layer it was, with the weight as last read and the bias it has now."""
        (layer,) = self._original
        layer.weight = nn.Parameter(self.weight.plain())
        layer.bias = self.bias
        return layer.train(self.training)

    def _pads_output(self) -> bool:
        return any(getattr(self._original[0], "output_padding", ()))

    def _output_padding(self, inputs: Tensor, output_size: list[int] | None) -> tuple[int, ...]:
        layer = self._original[0]
        if not isinstance(layer, nn.modules.conv._ConvTransposeNd):
            raise TypeError("output_size is for transposed convolutions")
        extra = layer._output_padding(
            inputs, output_size, layer.stride, layer.padding, layer.kernel_size,
            len(layer.kernel_size), layer.dilation,
        )  # fmt: skip
        return tuple(extra)

    def extra_repr(self) -> str:
        """The settings of the layer it was."""
        return f"{type(self._original[0]).__name__}({self._original[0].extra_repr()})"


def fan_in(weight: Tensor, *, outputs: int) -> int:
    """Inputs that add up to one output, from the weight's size."""
    return max(weight.numel() // outputs, 1)


