"""A hundred classes of ImageNet with a residual network of 50 layers: 23.7 M weights."""

from pathlib import Path

from torch import nn

from secateur.tasks.data import Data, batches
from secateur.tasks.image_folder import Photographs
from secateur.tasks.imagenet_100_data import load_imagenet_100
from secateur.tasks.measures import Measured, classified
from secateur.tasks.residual import resnet_50
from secateur.tasks.task import Task


def _load(
    data: Path | None,
    *,
    classes: str | list[str] = "",
    side: int = 224,
    validation_per_class: int = 50,
    workers: int = 2,
    skip_corrupt: bool = False,
) -> Data[Photographs]:
    return load_imagenet_100(
        data, classes=classes, side=side, validation_per_class=validation_per_class,
        workers=workers, skip_corrupt=skip_corrupt,
    )  # fmt: skip


def _measured(model: nn.Module, part: Photographs) -> Measured:
    """In batches of 100: the first floor's maps of a thousand pictures take gigabytes."""
    return classified(model, batches(part, 100))


TASK = Task(
    name="imagenet-100",
    title="ImageNet, a hundred classes",
    # The data name them: which hundred is a setting.
    classes=tuple(f"class {n}" for n in range(1, 101)),
    loader=_load,
    network=resnet_50,
    readout="fc",
    input_shape=(3, 224, 224),
    measure=_measured,
    paths=("classes",),
)
