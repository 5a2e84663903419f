"""One layer class for every linear layer: linear, and convolutions of any dimension."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from secateur.chip import Window
from secateur.circuit import LinearMap
from secateur.network.foreign import inputs_first_product, is_inputs_first
from secateur.network.reading import PlainValue, Reading, WeightSource

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
    kernel: tuple[int, ...] = ()

    @classmethod
    def of(cls, layer: "nn.modules.conv._ConvNd") -> "Convolution":
        """The map of a plain convolution layer."""
        padding = layer.padding if isinstance(layer.padding, str) else tuple(layer.padding)
        return cls(
            len(layer.kernel_size), tuple(layer.stride), padding, tuple(layer.dilation),
            layer.groups, layer.padding_mode, tuple(layer._reversed_padding_repeated_twice),
            layer.transposed, tuple(layer.kernel_size),
        )  # fmt: skip

    def window(self) -> Window | None:
        """How patches are cut where each is one multiplication by the whole weight, else None."""
        if self.transposed or self.groups > 1 or self.padding_mode != "zeros":
            return None
        size = tuple(self.kernel)
        padding = self.padding
        if isinstance(padding, str):
            reach = [d * (k - 1) for d, k in zip(self.dilation, size, strict=True)]
            if padding == "same" and any(n % 2 for n in reach):
                return None
            padding = tuple(n // 2 if padding == "same" else 0 for n in reach)
        return Window(size, self.stride, padding, self.dilation)

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
    trainable), and the settings of the plain layer (`in_features`, `kernel_size`, ...).
    """

    weight: WeightSource
    bias: nn.Parameter | None

    def __init__(
        self, original: nn.Module, weight: WeightSource, *, converter: nn.Module | None
    ) -> None:
        super().__init__()
        vars(self).update(settings_of(original))
        self.weight = weight
        self.register_parameter("bias", original._parameters["bias"])
        self.converter = converter
        # Kept out of the module tree: it holds settings for `detach_`, no weights.
        self._original = (original,)
        self._words = f"{type(original).__name__}({original.extra_repr()})"
        self._linear: LinearMap = inputs_first_product if is_inputs_first(original) else F.linear
        self.convolution = (
            Convolution.of(original) if isinstance(original, nn.modules.conv._ConvNd) else None
        )

    def forward(self, inputs: Tensor, output_size: list[int] | None = None) -> Tensor:
        """Outputs of the layer; `output_size` as transposed convolutions know it."""
        if self.converter is not None:
            inputs = self.converter(inputs)
        outputs = self._product(self.weight(), inputs, output_size)
        if self.bias is None:
            return outputs
        # Under autocast the product has another dtype than the bias.
        bias = self.bias.to(outputs.dtype)
        if self.convolution is None:
            return outputs + bias
        return outputs + bias.view(-1, *(1,) * self.convolution.dimensions)

    def plain(self, value: PlainValue) -> nn.Module:
        """The layer it was, with `value` of its weight and the bias it has now."""
        layer: Any = self._original[0]
        layer.weight = value(self.weight)
        layer.bias = self.bias
        layer.train(self.training)
        return self._original[0]

    def _product(self, reading: Reading, inputs: Tensor, output_size: list[int] | None) -> Tensor:
        convolve = self.convolution
        if convolve is None:
            return reading.product(self._linear, inputs, self.converter)
        if output_size is None and not any(getattr(self, "output_padding", ())):
            return reading.product(convolve, inputs, self.converter)
        layer: Any = self._original[0]
        if not convolve.transposed:
            raise TypeError("output_size is for transposed convolutions")
        extra = layer._output_padding(
            inputs, output_size, layer.stride, layer.padding, layer.kernel_size,
            convolve.dimensions, layer.dilation,
        )  # fmt: skip
        return reading.product(lambda x, w: convolve(x, w, tuple(extra)), inputs, self.converter)

    def extra_repr(self) -> str:
        """The settings of the layer it was."""
        return self._words


def settings_of(original: nn.Module) -> dict[str, Any]:
    """The settings of a plain layer that networks look up, such as `hidden_size`."""
    kinds = (bool, int, float, str, tuple, type(None))
    found = {n: s for n, s in vars(original).items() if isinstance(s, kinds)}
    return {n: s for n, s in found.items() if not n.startswith("_") and n != "training"}
