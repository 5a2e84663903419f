"""The plan of a sweep: which configurations it runs, each a run directory with a trial a chip."""

import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from secateur.errors import FileError, SettingError, nearest
from secateur.experiment.arms import ARMS
from secateur.experiment.checks import check_settings
from secateur.experiment.directory import check_free
from secateur.experiment.paths import absolute_value, with_absolute_paths
from secateur.experiment.recipe import Recipe
from secateur.experiment.setting import Part, Trial
from secateur.experiment.sweep.space import Point, Range, Space, Value
from secateur.files import write_atomically
from secateur.tasks import task_named

SCHEMA, VERSION = "secateur.sweep", 1
PART: Part = "validation"
# Trials from which on somebody should have looked at the number, and beyond which nobody waits.
ASK_ABOVE, REFUSE_ABOVE = 200, 100_000

Kind = Literal["grid", "random", "optimise"]


@dataclass(frozen=True)
class Configuration:
    """An arm with its settings, on every chip of the sweep.

    Args:
        number: in the sweep, from 0.
        arm: its name.
        settings: the swept ones that the arm heeds, by their paths.
    """

    number: int
    arm: str
    settings: Point

    @property
    def name(self) -> str:
        """Its run directory's name."""
        return f"{self.number:04d}-{self.arm}"

    @property
    def words(self) -> str:
        """Its settings in a line."""
        return ", ".join(f"{path}={value}" for path, value in self.settings.items())

    def trial(self, chip: int) -> Trial:
        """Its trial on one chip, in its run directory."""
        return Trial(self.arm, "", {}, chip, PART)

    def folder(self, out: Path) -> Path:
        """Its run directory, in that of the sweep."""
        return out / "runs" / self.name


@dataclass(frozen=True)
class Plan:
    """What a sweep runs.

    Args:
        recipe: of all trials, but for the swept settings; made by `Plan.of`.
        space: what is swept.
        random: how many points are drawn, instead of a grid of all.
        metric: what decides; a task's metric, or `loss`.
        trials: points of each arm that a search for the best tries; None without a search.
    """

    recipe: Recipe
    space: Space
    random: int | None
    metric: str
    trials: int | None

    @classmethod
    def of(
        cls, recipe: Recipe, space: Space, *, random: int | None = None,
        optimise: str | None = None, trials: int = 50, ask: Callable[[int], None] | None = None,
    ) -> "Plan":  # fmt: skip
        """A plan whose every setting is known to be possible.

        Args:
            recipe: to start from; measured is the validation part whatever it says.
            space: what is swept.
            random: draw so many points.
            optimise: search for the best of this figure.
            trials: that such a search has, for each arm.
            ask: told how many trials that makes, before so many are looked at one by one; what
                it raises ends the matter.

        Raises:
            SettingError: for a plan that cannot be carried out.
        """
        if random is not None and optimise is not None:
            raise SettingError(
                "--random and --optimise exclude each other", remedy="Leave one of them out"
            )
        if recipe.run.vary:
            raise SettingError(
                "The recipe varies settings of its own", where="run.vary",
                remedy="Sweep them with --over, and leave run.vary out",
            )  # fmt: skip
        _refuse_boards(recipe)
        if trials < 1:
            raise SettingError(f"--trials {trials} tries nothing", remedy="Give at least 1")
        task = task_named(recipe.task.name)
        known = [metric.name for metric in task.metrics] + ["loss"]
        if optimise is not None and optimise not in known:
            raise SettingError(
                f"{task.name} is not measured by {optimise!r}", where="--optimise",
                remedy=nearest(optimise, known),
            )  # fmt: skip
        # Workers may stand in other folders than this process.
        settled = with_absolute_paths(recipe.with_settings({"run.split": PART}))
        space = space.mapped(partial(absolute_value, task=task))
        metric = optimise or task.metrics[0].name
        plan = cls(settled, space, random, metric, None if optimise is None else trials)
        if plan.kind == "grid":
            space.grid()  # Refuses ranges.
        number = counted(plan)
        if ask is not None:
            ask(number)
        plan._check()
        return plan

    @property
    def kind(self) -> Kind:
        """How points are taken from the space."""
        if self.trials is not None:
            return "optimise"
        return "grid" if self.random is None else "random"

    @property
    def maximise(self) -> bool:
        """Whether more of the metric is better."""
        return self.metric != "loss"

    @property
    def arms(self) -> list[str]:
        """The arms, in the order of the report."""
        return sorted(dict.fromkeys(self.recipe.run.arms), key=list(ARMS).index)

    def space_of(self, arm: str) -> Space | None:
        """The part of the space that an arm heeds."""
        return self.space.heeded(ARMS[arm].heeds)

    def configurations(self) -> Iterator[Configuration]:
        """All of a grid or of draws; arms that do not heed a setting run once for its values."""
        drawn, number = None, itertools.count()
        if self.random is not None:
            drawn = list(self.space.draws(self.random, seed=self.recipe.run.seed))
        for arm in self.arms:
            for settings in _points(self.space_of(arm), drawn):
                yield Configuration(next(number), arm, settings)

    def recipe_of(self, configuration: Configuration) -> Recipe:
        """The complete recipe of one run directory."""
        own = self.recipe.with_settings(configuration.settings, where="--over")
        return own.with_settings({"run.arms": [configuration.arm]})

    def table(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {
            "schema": SCHEMA, "version": VERSION, "task": self.recipe.task.name,
            "kind": self.kind, "space": self.space.table(), "random": self.random,
            "metric": self.metric, "trials": self.trials, "recipe": self.recipe.table(),
        }  # fmt: skip

    def write(self, out: Path, *, command: str) -> None:
        """Begins the directory of a sweep.

        Raises:
            FileError: where it has other content.
        """
        check_free(out)
        write_atomically(out / "recipe.toml", self.recipe.toml().encode())
        content = {**self.table(), "command": command}
        write_atomically(out / "sweep.json", json.dumps(content, indent=1).encode())

    @classmethod
    def read(cls, out: Path) -> tuple["Plan", str]:
        """The plan of a begun sweep, and the command that began it.

        Raises:
            FileError: where there is none.
        """
        path = out / "sweep.json"
        if not path.is_file():
            raise FileError(
                "There is no sweep to resume", where=str(out),
                remedy="Give the directory of a sweep that has begun, or leave --resume out",
            )  # fmt: skip
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            recipe = Recipe.parse(content["recipe"], where=str(path))
            space, optimising = Space.parse(content["space"]), content["kind"] == "optimise"
            return cls.of(
                recipe, space, random=content["random"],
                optimise=content["metric"] if optimising else None,
                trials=content["trials"] or 1,
            ), str(content["command"])  # fmt: skip
        except (OSError, KeyError, ValueError) as error:
            raise FileError(
                f"The plan of this sweep cannot be read: {error}", where=str(path),
                cause="another version of secateur, or another program, wrote it",
                remedy="Start a new sweep with another --out",
            ) from error  # fmt: skip

    def _check(self) -> None:
        """Every configuration is possible before the first one starts."""
        for configuration in self._tried():
            arm = configuration.arm
            own = self.recipe_of(configuration).for_arm(arm)
            check_settings(own, ARMS[arm], chips=own.run.chips)
        for own in self.recipes_differing_in("network"):
            task_named(own.task.name).build(own.network)

    def recipes_differing_in(self, *sections: str) -> Iterator[Recipe]:
        """Recipes as arms see them, one for each different content of some sections.

        A search has those that lie at the ends of its ranges, and at each of its values.

        Args:
            sections: by their names, as `network`.
        """
        swept: set[tuple[str, str]] = set()
        found: set[str] = set()
        for configuration in self._tried():
            own = {p: v for p, v in configuration.settings.items() if p.split(".")[0] in sections}
            # Making a recipe takes a millisecond, and there may be many that differ elsewhere.
            if (key := (configuration.arm, json.dumps(own))) in swept:
                continue
            swept.add(key)
            recipe = self.recipe_of(configuration).for_arm(configuration.arm)
            content = recipe.model_dump_json(include=set(sections))
            if content not in found:
                found.add(content)
                yield recipe

    def _tried(self) -> Iterator[Configuration]:
        """All configurations; of a search, those with one setting at another end than its first."""
        if self.trials is None:
            yield from self.configurations()
            return
        for arm in self.arms:
            space = self.space_of(arm)
            ends = {} if space is None else {p: _ends(v) for p, v in space.settings.items()}
            first = {path: values[0] for path, values in ends.items()}
            yield Configuration(0, arm, first)
            for path, values in ends.items():
                yield from (Configuration(0, arm, {**first, path: end}) for end in values[1:])


def counted(plan: Plan) -> int:
    """How many trials a plan has: at most, where arms do not heed all of what is drawn.

    Raises:
        SettingError: for more than anybody waits for.
    """
    total = 0
    for arm in plan.arms:
        space = plan.space_of(arm)
        size = 1 if space is None else space.size
        asked = plan.trials if plan.random is None else plan.random
        points = [number for number in (size, asked) if number is not None]
        if space is not None and plan.trials is not None:
            points = [plan.trials]
        total += min(points, default=1) * plan.recipe.run.chips
    # Draws are all made, also where an arm heeds little of them.
    if (most := max(total, plan.random or 0)) > REFUSE_ABOVE:
        raise SettingError(
            f"This sweep has {_grouped(most)} trials, more than {_grouped(REFUSE_ABOVE)}",
            cause="values multiply from setting to setting",
            remedy="Name fewer values, or draw from them with --random N or --optimise METRIC",
        )
    return total


def _ends(values: tuple[Value, ...] | Range) -> tuple[Value, ...]:
    return (values.low, values.high) if isinstance(values, Range) else values


def _points(space: Space | None, drawn: Sequence[Point] | None) -> Iterator[Point]:
    """Those of the part of a space that an arm heeds: all where none were drawn, each once."""
    if space is None:
        yield {}
    elif drawn is None:
        yield from space.grid()
    else:
        heeded = ({path: point[path] for path in space.settings} for point in drawn)
        yield from {json.dumps(point): point for point in heeded}.values()


def _refuse_boards(recipe: Recipe) -> None:
    for own in (recipe, *map(recipe.for_arm, recipe.run.arms)):
        if own.chip.address is not None:
            raise SettingError(
                "A sweep cannot use a board", where=own.chip.address,
                cause="several workers would pulse it at once, and each trial needs a fresh chip",
                remedy="Leave chip.address out, which simulates chips, or use `secateur run` with "
                "one arm",
            )  # fmt: skip


def _grouped(number: int) -> str:
    return f"{number:,}".replace(",", " ")
