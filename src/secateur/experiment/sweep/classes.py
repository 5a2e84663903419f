"""The classes of a sweep's data, which may name them themselves."""

import json
from pathlib import Path

from secateur.experiment.recipe import Recipe
from secateur.tasks import task_named


class Classes:
    """Names of classes in the order of the labels, from data loaded once for each `[task]`.

    Args:
        data: where data sets are looked for first.
    """

    def __init__(self, data: Path | None) -> None:
        self._data = data
        self._known: dict[str, tuple[str, ...]] = {}

    def of(self, own: Recipe) -> tuple[str, ...]:
        """Those that an arm is trained on.

        Args:
            own: the recipe as the arm sees it.

        Raises:
            FileError: for data that are missing or damaged.
        """
        words = json.dumps(own.task.model_dump(mode="json"), sort_keys=True)
        if words not in self._known:
            task = task_named(own.task.name)
            loaded = task.load(self._data, own.task.settings)
            self._known[words] = loaded.classes or task.classes
        return self._known[words]
