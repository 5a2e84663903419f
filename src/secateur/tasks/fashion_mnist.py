"""Fashion-MNIST with the paper's network: 62 272 weights, images pooled to 14 x 14."""

from pathlib import Path

from torch import Tensor, nn

from secateur.errors import SettingError
from secateur.tasks.data import Data, Split
from secateur.tasks.download import download_bar
from secateur.tasks.fashion_mnist_data import CLASSES, load_fashion_mnist
from secateur.tasks.task import Task


class FashionNetwork(nn.Module):
    """Two convolutions and two linear layers without biases.

    Args:
        width: multiplies the channels of the convolutions and the hidden units.
        hidden_norm: adds a norm after the hidden linear layer, which the paper does not have.
        affine: norms have gains and biases to learn, which stay digital; the paper's have none.
    """

    def __init__(
        self, *, width: float = 1.0, hidden_norm: bool = False, affine: bool = False
    ) -> None:
        super().__init__()
        if not width > 0:
            raise SettingError(f"network.width is {width}", remedy="Give a positive factor")
        first, second, hidden = (max(round(width * n), 1) for n in (64, 16, 128))
        self.conv1 = nn.Conv2d(1, first, 3, bias=False)
        self.norm1 = nn.BatchNorm2d(first, affine=affine)
        self.conv2 = nn.Conv2d(first, second, 3, bias=False)
        self.norm2 = nn.BatchNorm2d(second, affine=affine)
        self.pool = nn.MaxPool2d(2)
        self.fc1 = nn.Linear(25 * second, hidden, bias=False)
        self.norm3 = nn.BatchNorm1d(hidden, affine=affine) if hidden_norm else nn.Identity()
        self.fc2 = nn.Linear(hidden, 10, bias=False)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, 10) of images (N, 1, 14, 14)."""
        x = self.norm1(self.conv1(images)).relu()
        x = self.pool(self.norm2(self.conv2(x)).relu())
        x = self.norm3(self.fc1(x.flatten(1))).relu()
        logits: Tensor = self.fc2(x)
        return logits


def _load(data: Path | None) -> Data[Split]:
    with download_bar() as bar:
        return load_fashion_mnist(data, on_bytes=bar)


TASK = Task(
    name="fashion-mnist",
    title="Fashion-MNIST, pooled to 14 x 14",
    classes=tuple(CLASSES),
    loader=_load,
    network=FashionNetwork,
    readout="fc2",
    input_shape=(1, 14, 14),
)
