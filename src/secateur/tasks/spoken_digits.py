"""Spoken digits with the paper's recurrent network: 68 480 weights, maps of 23 x 20."""

from pathlib import Path

from torch import Tensor, nn

from secateur.tasks.data import Data, Split
from secateur.tasks.sizes import check_factor
from secateur.tasks.spoken_digits_data import load_spoken_digits
from secateur.tasks.task import Task


class SpokenNetwork(nn.Module):
    """Two convolutions, a ReLU recurrence over the four steps they leave, two linear layers.

    Args:
        width: multiplies the channels of the convolutions and the units.
        hidden_norm: adds a norm after the hidden linear layer, which the paper does not have.
        affine: norms have gains and biases to learn, which stay digital; the paper's have none.

    Raises:
        SettingError: for a width that makes no network.
    """

    def __init__(
        self, *, width: float = 1.0, hidden_norm: bool = False, affine: bool = False
    ) -> None:
        super().__init__()
        check_factor("width", width)
        first, second, units, hidden = (max(round(width * n), 1) for n in (64, 32, 128, 256))
        self.conv1 = nn.Conv2d(1, first, (3, 2), stride=(2, 1), bias=False)
        self.norm1 = nn.BatchNorm2d(first, affine=affine)
        self.conv2 = nn.Conv2d(first, second, (3, 2), stride=(2, 1), bias=False)
        self.norm2 = nn.BatchNorm2d(second, affine=affine)
        self.pool = nn.MaxPool2d(2)
        self.rnn = nn.RNN(second, units, nonlinearity="relu", bias=False, batch_first=True)
        self.fc1 = nn.Linear(units, hidden, bias=False)
        self.norm3 = nn.BatchNorm1d(hidden, affine=affine) if hidden_norm else nn.Identity()
        self.fc2 = nn.Linear(hidden, 10, bias=False)

    def forward(self, maps: Tensor) -> Tensor:
        """Logits (N, 10) of maps (N, 1, 23, 20), time along the last axis."""
        x = self.pool(self.norm1(self.conv1(maps)).relu())
        x = self.pool(self.norm2(self.conv2(x)).relu())
        # Height is down to one row: what is left is a sequence of four steps.
        states, _ = self.rnn(x.squeeze(2).transpose(1, 2))
        x = self.norm3(self.fc1(states.mean(dim=1))).relu()
        logits: Tensor = self.fc2(x)
        return logits


def _load(data: Path | None, *, source: str = "fsdd", speaker: str = "theo") -> Data[Split]:
    return load_spoken_digits(data, source=source, speaker=speaker)


TASK = Task(
    name="spoken-digits",
    title="Spoken digits, maps of 23 x 20",
    classes=tuple("0123456789"),
    loader=_load,
    network=SpokenNetwork,
    readout="fc2",
    input_shape=(1, 23, 20),
)
