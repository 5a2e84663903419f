"""One file a task: data, network, metric, recipe."""

from secateur.errors import SettingError, nearest
from secateur.tasks import cifar_10, digits, drive, fashion_mnist, imagenet_100, spoken_digits
from secateur.tasks.data import Data, Samples, Split, batches
from secateur.tasks.measures import Measured, Metric, classified
from secateur.tasks.task import Task

_MODULES = (digits, fashion_mnist, spoken_digits, drive, cifar_10, imagenet_100)
TASKS: dict[str, Task] = {module.TASK.name: module.TASK for module in _MODULES}


def task_named(name: str) -> Task:
    """The task of that name.

    Raises:
        SettingError: for an unknown name.
    """
    if name not in TASKS:
        raise SettingError(f"There is no task {name!r}", remedy=nearest(name, TASKS))
    return TASKS[name]


__all__ = [
    "TASKS",
    "Data",
    "Measured",
    "Metric",
    "Samples",
    "Split",
    "Task",
    "batches",
    "classified",
    "task_named",
]
