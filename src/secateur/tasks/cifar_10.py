"""CIFAR-10 with a residual network of 18 layers: 11.2 M weights, the middle size."""

from pathlib import Path

from torch import nn

from secateur.tasks.cifar_10_data import CLASSES, load_cifar_10
from secateur.tasks.crops import Crops
from secateur.tasks.data import Data, batches
from secateur.tasks.download import download_bar
from secateur.tasks.measures import Measured, classified
from secateur.tasks.residual import ResidualNetwork, resnet_18
from secateur.tasks.task import Task


def _load(data: Path | None, *, augmented: bool = True) -> Data[Crops]:
    with download_bar() as bar:
        return load_cifar_10(data, augmented=augmented, on_bytes=bar)


def _network(*, width: float = 1.0, affine: bool = True) -> ResidualNetwork:
    return resnet_18(width=width, affine=affine)


def _measured(model: nn.Module, part: Crops) -> Measured:
    """In batches of 250: the first floor's maps of a thousand pictures take gigabytes."""
    return classified(model, batches(part, 250))


TASK = Task(
    name="cifar-10",
    title="CIFAR-10",
    classes=CLASSES,
    loader=_load,
    network=_network,
    readout="fc",
    input_shape=(3, 32, 32),
    measure=_measured,
)
