"""scikit-learn's handwritten digits: small, embedded, needs no download."""

from pathlib import Path

from torch import Tensor, nn

from secateur.tasks.data import Data, Split
from secateur.tasks.digits_data import load_digits
from secateur.tasks.locate import check_folder
from secateur.tasks.sizes import check_count
from secateur.tasks.task import Task


class DigitsNetwork(nn.Module):
    """The Fashion-MNIST network in small: one convolution and two linear layers.

    Args:
        channels: of the convolution.
        hidden: units of the hidden layer.

    Raises:
        SettingError: for sizes that make no network.
    """

    def __init__(self, *, channels: int = 16, hidden: int = 64) -> None:
        super().__init__()
        check_count("channels", channels)
        check_count("hidden", hidden)
        self.conv = nn.Conv2d(1, channels, 3, bias=False)
        self.norm1 = nn.BatchNorm2d(channels, affine=False)
        self.pool = nn.MaxPool2d(2)
        self.fc1 = nn.Linear(9 * channels, hidden, bias=False)
        self.norm2 = nn.BatchNorm1d(hidden, affine=False)
        self.fc2 = nn.Linear(hidden, 10, bias=False)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, 10) of images (N, 1, 8, 8)."""
        x = self.pool(self.norm1(self.conv(images)).relu())
        x = self.norm2(self.fc1(x.flatten(1))).relu()
        logits: Tensor = self.fc2(x)
        return logits


def _load(data: Path | None) -> Data[Split]:
    # They come with scikit-learn; a wrong path is an error all the same.
    if data is not None:
        check_folder(data)
    return load_digits()


TASK = Task(
    name="digits",
    title="Handwritten digits, 8 x 8",
    classes=tuple("0123456789"),
    loader=_load,
    network=DigitsNetwork,
    readout="fc2",
    input_shape=(1, 8, 8),
)
