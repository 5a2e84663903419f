"""The orders of a grid or of draws: all known from the beginning."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from secateur.experiment.sweep.plan import Configuration, Plan
from secateur.experiment.sweep.source import Source
from secateur.experiment.sweep.work import (
    Order,
    Outcome,
    begun_in,
    carry_out,
    forget_tries,
    outcome_in,
)


class Grid(Source):
    """Every configuration on every chip.

    Args:
        plan: of the sweep.
        out: its directory.
        order: makes an order of a configuration and a chip.
    """

    eager = True

    def __init__(self, plan: Plan, out: Path, order: Callable[[Configuration, int], Order]) -> None:
        super().__init__(plan, out)
        self._order = order
        self._configurations = {c.name: c for c in plan.configurations()}
        self._ended: set[tuple[str, int]] = set()

    @property
    def work(self) -> Callable[[Order], Outcome]:
        """See `Source.work`."""
        return carry_out

    @property
    def epochs(self) -> int:
        """See `Source.epochs`."""
        return sum(self._epochs_of(c) for c in self._configurations.values())

    def resume(self, *, retry_failed: bool) -> Iterator[tuple[Configuration, int, Outcome]]:
        """See `Source.resume`."""
        for configuration, chip, place in self._trials():
            forget_tries(place, failures=retry_failed)
            if (ended := outcome_in(place)) is not None:
                self._ended.add((configuration.name, chip))
                yield configuration, chip, ended

    def begun(self) -> list[Order]:
        """See `Source.begun`."""
        return [self._order(c, chip) for c, chip, place in self._open() if begun_in(place)]

    def fresh(self) -> Iterator[Order]:
        """See `Source.fresh`."""
        for configuration, chip, place in self._open():
            if not begun_in(place):
                self._begin(configuration)
                yield self._order(configuration, chip)

    def note(self, outcome: Outcome) -> Iterator[tuple[Configuration, int, Outcome]]:
        """See `Source.note`."""
        key: tuple[str, Any] = (outcome["run"], outcome["chip"])
        if key not in self._ended:
            self._ended.add(key)
            yield self._configurations[key[0]], key[1], outcome

    def _trials(self) -> Iterator[tuple[Configuration, int, Path]]:
        for configuration in self._configurations.values():
            for chip in range(self._plan.recipe.run.chips):
                yield configuration, chip, self._place(configuration, chip)

    def _open(self) -> Iterator[tuple[Configuration, int, Path]]:
        for configuration, chip, place in list(self._trials()):
            if (configuration.name, chip) not in self._ended:
                yield configuration, chip, place
