"""Fashion-MNIST with the paper's network: 62 272 weights, images pooled to 14 x 14; or larger."""

from pathlib import Path

from torch import Tensor, nn

from secateur.errors import SettingError
from secateur.tasks.data import Data, Split
from secateur.tasks.download import download_bar
from secateur.tasks.fashion_mnist_data import CLASSES, load_fashion_mnist
from secateur.tasks.sizes import check_count, check_factor
from secateur.tasks.task import Task


class FashionNetwork(nn.Module):
    """Two convolutions and two linear layers without biases.

    Args:
        width: multiplies the channels of the convolutions and the hidden units.
        hidden_width: multiplies the hidden units once more.
        depth: convolutions; those beyond the paper's two keep channels and sides, and stand
            between them.
        side: of the images in pixels: 14, or 28 as they are published.
        hidden_norm: adds a norm after the hidden linear layer, which the paper does not have.
        affine: norms have gains and biases to learn, which stay digital; the paper's have none.

    Raises:
        SettingError: for settings that make no network.
    """

    def __init__(
        self, *, width: float = 1.0, hidden_width: float = 1.0, depth: int = 2, side: int = 14,
        hidden_norm: bool = False, affine: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        check_factor("width", width)
        check_factor("hidden_width", hidden_width)
        check_count("depth", depth, least=2)
        if side < 6:
            raise SettingError(
                f"network.side is {side}",
                remedy="Give 14, or 28 for images as they are published",
            )
        self.side = side
        sizes = (64, 16, 128 * hidden_width)
        first, second, hidden = (max(round(width * n), 1) for n in sizes)
        self.conv1 = nn.Conv2d(1, first, 3, bias=False)
        self.norm1 = nn.BatchNorm2d(first, affine=affine)
        self.between = nn.Sequential(*(_Layer(first, affine=affine) for _ in range(depth - 2)))
        self.conv2 = nn.Conv2d(first, second, 3, bias=False)
        self.norm2 = nn.BatchNorm2d(second, affine=affine)
        self.pool = nn.MaxPool2d(2)
        self.fc1 = nn.Linear(((side - 4) // 2) ** 2 * second, hidden, bias=False)
        self.norm3 = nn.BatchNorm1d(hidden, affine=affine) if hidden_norm else nn.Identity()
        self.fc2 = nn.Linear(hidden, 10, bias=False)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, 10) of images (N, 1, side, side).

        Raises:
            SettingError: for images of another side.
        """
        if images.shape[-1] != self.side:
            raise SettingError(
                f"The network is for images of {self.side} pixels, these have {images.shape[-1]}",
                remedy="Set network.side to 14 with task.pooled = true, to 28 with false",
            )
        x = self.between(self.norm1(self.conv1(images)).relu())
        x = self.pool(self.norm2(self.conv2(x)).relu())
        x = self.norm3(self.fc1(x.flatten(1))).relu()
        logits: Tensor = self.fc2(x)
        return logits


class _Layer(nn.Sequential):
    """A convolution that keeps channels and sides."""

    def __init__(self, channels: int, *, affine: bool) -> None:
        super().__init__(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels, affine=affine),
            nn.ReLU(),
        )


def _load(data: Path | None, *, pooled: bool = True) -> Data[Split]:
    with download_bar() as bar:
        return load_fashion_mnist(data, pooled=pooled, on_bytes=bar)


TASK = Task(
    name="fashion-mnist",
    title="Fashion-MNIST, pooled to 14 x 14",
    classes=tuple(CLASSES),
    loader=_load,
    network=FashionNetwork,
    readout="fc2",
    input_shape=(1, 14, 14),
)
