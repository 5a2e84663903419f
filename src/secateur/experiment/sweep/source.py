"""Where a sweep's orders come from, and what becomes of their outcomes."""

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path

from secateur.experiment.arms import ARMS
from secateur.experiment.sweep.plan import Configuration, Plan
from secateur.experiment.sweep.work import Order, Outcome
from secateur.files import write_atomically

Ended = Iterator[tuple[Configuration, int, Outcome]]


class Source(ABC):
    """Orders until all has ended. An order may be asked for again; an ending counts once.

    Args:
        plan: of the sweep.
        out: its directory.
    """

    eager: bool

    def __init__(self, plan: Plan, out: Path) -> None:
        self._plan, self._out = plan, out

    @property
    @abstractmethod
    def work(self) -> Callable[[Order], Outcome]:
        """What a worker does with an order."""

    @property
    @abstractmethod
    def epochs(self) -> int:
        """Of all trials together, where none is abandoned."""

    @abstractmethod
    def resume(self, *, retry_failed: bool) -> Ended:
        """Takes up an earlier session: what has ended in it."""

    @abstractmethod
    def begun(self) -> list[Order]:
        """Orders that a worker has begun and not ended."""

    @abstractmethod
    def fresh(self) -> Iterator[Order]:
        """Orders that no worker has begun, made as they are taken."""

    @abstractmethod
    def note(self, outcome: Outcome) -> Ended:
        """Takes an outcome: the trials that have ended by it, each once."""

    def _place(self, configuration: Configuration, chip: int) -> Path:
        return configuration.folder(self._out) / "trials" / configuration.trial(chip).name

    def _begin(self, configuration: Configuration) -> None:
        """Makes the run directory: as of `secateur run`, which can go on with it."""
        folder = configuration.folder(self._out)
        if not (folder / "recipe.toml").exists():
            toml = self._plan.recipe_of(configuration).toml()
            command = f"secateur run --recipe {folder / 'recipe.toml'}"
            write_atomically(folder / "run.json", json.dumps({"command": command}).encode())
            write_atomically(folder / "recipe.toml", toml.encode())

    def _epochs_of(self, configuration: Configuration) -> int:
        arm = configuration.arm
        own = self._plan.recipe_of(configuration).for_arm(arm)
        return (own.training.epochs if ARMS[arm].trains else 1) * own.run.chips
