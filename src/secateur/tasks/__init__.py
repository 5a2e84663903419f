"""One file a task: data, network, metric, recipe."""

from secateur.errors import SettingError, nearest
from secateur.tasks import digits, fashion_mnist
from secateur.tasks.data import Data, Split
from secateur.tasks.task import Task

TASKS: dict[str, Task] = {module.TASK.name: module.TASK for module in (digits, fashion_mnist)}


def task_named(name: str) -> Task:
    """The task of that name.

    Raises:
        SettingError: for an unknown name.
    """
    if name not in TASKS:
        raise SettingError(f"There is no task {name!r}", remedy=nearest(name, TASKS))
    return TASKS[name]


__all__ = ["TASKS", "Data", "Split", "Task", "task_named"]
