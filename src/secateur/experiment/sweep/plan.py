"""The plan of a sweep: which configurations it runs, each a run directory with a trial a chip."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from secateur.errors import FileError, SettingError, nearest
from secateur.experiment.arms import ARMS, technology_of
from secateur.experiment.recipe import Recipe
from secateur.experiment.setting import Part, Trial
from secateur.experiment.sweep.space import Point, Range, Space
from secateur.files import write_atomically
from secateur.tasks import Task, task_named

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
        optimise: str | None = None, trials: int = 50,
    ) -> "Plan":  # fmt: skip
        """A plan whose every setting is known to be possible.

        Args:
            recipe: to start from; measured is the validation part whatever it says.
            space: what is swept.
            random: draw so many points.
            optimise: search for the best of this figure.
            trials: that such a search has, for each arm.

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
        settled = recipe.with_settings({"run.split": PART})
        metric = optimise or task.metrics[0].name
        plan = cls(settled, space, random, metric, None if optimise is None else trials)
        plan._check(task)
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
        found: dict[tuple[str, str], Point] = {}
        for arm in self.arms:
            heeds = ARMS[arm].heeds
            for point in self._points():
                heeded = {path: value for path, value in point.items() if heeds(path)}
                found.setdefault((arm, json.dumps(heeded)), heeded)
        for number, ((arm, _), settings) in enumerate(found.items()):
            yield Configuration(number, arm, settings)

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
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise FileError(
                "The output directory is not empty", where=str(out),
                cause="it holds an earlier sweep or run",
                remedy="Go on with a sweep by --resume, or give another --out",
            )  # fmt: skip
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

    def _points(self) -> Iterator[Point]:
        if self.random is None:
            return self.space.grid()
        return self.space.draws(self.random, seed=self.recipe.run.seed)

    def _check(self, task: Task) -> None:
        """Every configuration is possible before the first one starts."""
        counted(self)
        if self.trials is None:
            configurations: list[Configuration] = list(self.configurations())
        else:
            ends = [
                {path: value}
                for path, values in self.space.settings.items()
                for value in (
                    (values.low, values.high) if isinstance(values, Range) else values
                )
            ]  # fmt: skip
            configurations = [Configuration(0, arm, end) for arm in self.arms for end in ends]
        networks = set()
        for configuration in configurations:
            own = self.recipe_of(configuration).for_arm(configuration.arm)
            technology_of(own.chip)
            task.check(own.task.settings)
            if (network := json.dumps(own.network, sort_keys=True)) not in networks:
                networks.add(network)
                task.build(own.network)


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
        # A grid with a range in it has no size; it is refused for that, not for its number.
        total += min(points, default=1) * plan.recipe.run.chips
    if total > REFUSE_ABOVE:
        raise SettingError(
            f"This sweep has {_grouped(total)} trials, more than {_grouped(REFUSE_ABOVE)}",
            cause="values multiply from setting to setting",
            remedy="Name fewer values, or draw from them with --random N or --optimise METRIC",
        )
    return total


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
