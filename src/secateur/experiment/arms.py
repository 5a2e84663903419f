"""The arms: what a pruned chip is compared with, each on the same data, network and epochs."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from torch import nn

from secateur.chip import Chip, FixedVoltage, Forming, RecordedChip, SimulatedChip, VoltageRamp
from secateur.circuit import Circuit, Converters, Ideal, ReadPerProduct, ReadPerStep, Wired
from secateur.device import Technology
from secateur.device.recording import Recording
from secateur.errors import SettingError, nearest
from secateur.experiment.recipe import ARM_NAMES, ChipSettings, Recipe
from secateur.keyed import key_of
from secateur.network import (
    PRUNABLE,
    PairsPerWeight,
    Where,
    check_shares,
    program_,
    prune_,
    pruned_weights,
    quantise_,
)
from secateur.tasks import Task
from secateur.topology import Annealed, FlipBudget, TopK


def technology_of(settings: ChipSettings) -> Technology:
    """The technology a recipe asks for, its replaced values included, or that was recorded."""
    for path in settings.recordings:
        return Recording.open(path).technology
    return Technology.load(settings.technology).with_values(**settings.values)


# Gives the chip that settings ask for, with that seed where it is simulated or recorded.
MakeChip = Callable[[ChipSettings, int], Chip]


def chip_from(settings: ChipSettings, seed: int) -> Chip:
    """The chip a recipe asks for: the recorded one, or technology, replaced values and forming."""
    for path in settings.recordings:
        return RecordedChip(path, seed=seed)
    return SimulatedChip(
        technology_of(settings), seed=seed, forming=_forming(settings), macros=settings.macros
    )


def start_seed(recipe: Recipe, seed: int) -> int:
    """Of all that is random in a search but the chip: `search.seed` 0 is the chip's own."""
    other = recipe.search.seed
    return key_of(seed, "start", other) % 2**31 if other else seed


def circuit_from(recipe: Recipe) -> Circuit:
    """The level of fidelity a recipe asks for: reading, wires around it, converters around all."""
    level: Circuit = {
        "read-per-step": ReadPerStep(), "read-per-product": ReadPerProduct(), "ideal": Ideal(),
    }[recipe.chip.circuit]  # fmt: skip
    wires, ends = recipe.wires, recipe.converters
    resistances = (
        wires.input_line_resistance, wires.output_line_resistance, wires.source_resistance,
        wires.sense_resistance,
    )  # fmt: skip
    if any(resistances):
        level = Wired(level, **wires.model_dump())
    if ends.output_bits is None and not ends.bit_serial:
        return level
    return Converters(
        level, output_bits=ends.output_bits, bit_serial=ends.bit_serial,
        columns_per_converter=ends.columns_per_converter, gain_spread=ends.gain_spread,
        offset_spread=ends.offset_spread, headroom=ends.output_headroom,
    )  # fmt: skip


def forming_from(
    word: str, *, width: float | None = None, compliance: float | None = None
) -> Forming:
    """A forming procedure by its word in a recipe.

    Args:
        word: of the recipe.
        width: of its pulses in seconds; the technology's where None.
        compliance: amperes that stop them; likewise.

    Raises:
        SettingError: for an unknown one.
    """
    known: dict[str, Forming] = {
        "full": FixedVoltage(width=width, compliance=compliance),
        "half": FixedVoltage(0.5, width=width, compliance=compliance),
        "ramp": VoltageRamp(width=width, compliance=compliance),
    }
    if word not in known:
        raise SettingError(f"There is no forming {word!r}", remedy=nearest(word, known))
    return known[word]


def _forming(settings: ChipSettings) -> Forming:
    width, compliance = settings.forming_width, settings.forming_compliance
    if settings.forming_voltage is not None:
        return FixedVoltage(voltage=settings.forming_voltage, width=width, compliance=compliance)
    return forming_from(settings.forming, width=width, compliance=compliance)


@dataclass(frozen=True)
class Arm(ABC):
    """One way to a classifier.

    Args:
        name: the command-line word.
        summary: one line for the command line and the report.
    """

    name: str
    summary: str

    @property
    def trains(self) -> bool:
        """False where a single pass for the norm statistics is all."""
        return True

    @property
    def on_board(self) -> bool:
        """Whether it pulses the chip that the recipe names, where that is a board."""
        return False

    @abstractmethod
    def heeds(self, path: str) -> bool:
        """Whether a setting, by its dotted path, can make a difference to this arm."""

    def training(self, recipe: Recipe, *, seed: int) -> dict[str, Any] | None:
        """All that the trained model follows from, data apart, in plain JSON.

        Trials that agree in it train the same model to the bit, and need to do so once. None for
        an arm whose training has a chip in it.
        """
        return None

    def check(self, network: nn.Module, recipe: Recipe, *, task: Task) -> None:
        """Refuses settings with which the task's fresh network could not be attached.

        Raises:
            SettingError: naming the first such setting.
        """
        return

    @abstractmethod
    def attach(
        self, network: nn.Module, recipe: Recipe, *, task: Task, steps: int, seed: int,
        make_chip: MakeChip = chip_from,
    ) -> nn.Module:  # fmt: skip
        """The model to train, made of the task's fresh network; `steps` is those of an epoch."""

    def finish(
        self, model: nn.Module, recipe: Recipe, *, seed: int, make_chip: MakeChip = chip_from
    ) -> bool:
        """What is done after training; True where the norm statistics must be taken anew."""
        return False


@dataclass(frozen=True)
class Digital(Arm):
    """Weights trained in digital memory, and left there."""

    quantised: bool = False

    def heeds(self, path: str) -> bool:
        """See `Arm.heeds`."""
        if path.startswith("converters."):
            return self.quantised and path.endswith((".input_bits", ".headroom"))
        return not path.startswith(("chip.", "search.", "wires.", "stress."))

    def training(self, recipe: Recipe, *, seed: int) -> dict[str, Any]:
        """See `Arm.training`."""
        return _digital_training(recipe, quantised=self.quantised, noise=0.0, seed=seed)

    def attach(
        self, network: nn.Module, recipe: Recipe, *, task: Task, steps: int, seed: int,
        make_chip: MakeChip = chip_from,
    ) -> nn.Module:  # fmt: skip
        """The network, with converters where activations are quantised."""
        if not self.quantised:
            return network
        return quantise_(
            network, input_bits=recipe.converters.input_bits,
            headroom=recipe.converters.headroom, seed=seed,
        )  # fmt: skip


def _digital_training(
    recipe: Recipe, *, quantised: bool, noise: float, seed: int
) -> dict[str, Any]:
    ends = recipe.converters
    return {
        "task": recipe.task.model_dump(mode="json"),
        "network": recipe.network,
        "training": recipe.training.model_dump(mode="json"),
        "threads": recipe.run.threads,
        "converters": [ends.input_bits, ends.headroom] if quantised else None,
        "noise": noise,
        "seed": seed,
    }


@dataclass(frozen=True)
class Programmed(Arm):
    """Digitally trained weights, written to the chip at the end."""

    aware: bool = False

    @property
    def on_board(self) -> bool:
        """See `Arm.on_board`."""
        return True

    def heeds(self, path: str) -> bool:
        """See `Arm.heeds`: weights are written on a fully formed chip, whatever `forming` says."""
        return not path.startswith(("search.", "chip.forming"))

    def training(self, recipe: Recipe, *, seed: int) -> dict[str, Any]:
        """See `Arm.training`: without noise it is that of `digital-quantised`."""
        return _digital_training(recipe, quantised=True, noise=self._noise(recipe), seed=seed)

    def attach(
        self, network: nn.Module, recipe: Recipe, *, task: Task, steps: int, seed: int,
        make_chip: MakeChip = chip_from,
    ) -> nn.Module:  # fmt: skip
        """The quantised network, trained with the chip's programming error where aware of it."""
        return quantise_(
            network, input_bits=recipe.converters.input_bits,
            headroom=recipe.converters.headroom, weight_noise=self._noise(recipe), seed=seed,
        )  # fmt: skip

    def _noise(self, recipe: Recipe) -> float:
        # The two cells of a pair err independently.
        return technology_of(recipe.chip).programming_error * 2.0**0.5 if self.aware else 0.0

    def finish(
        self, model: nn.Module, recipe: Recipe, *, seed: int, make_chip: MakeChip = chip_from
    ) -> bool:
        """Writes and verifies every weight on a fully formed chip."""
        usual: dict[str, Any] = {
            "forming": "full", "forming_voltage": None, "forming_width": None,
            "forming_compliance": None,
        }  # fmt: skip
        settings = recipe.chip.model_copy(update=usual)
        chip = make_chip(settings, seed)
        program_(model, chip, circuit=circuit_from(recipe), seed=seed)
        return True


@dataclass(frozen=True)
class Pruned(Arm):
    """A random chip, of which some edges are kept.

    Args:
        technology: that replaces the recipe's, or None.
        keep_all: nothing is pruned.
        learns: "scores", "readout" (only the last layer, digital), or "norms".
    """

    technology: str | None = None
    keep_all: bool = False
    learns: Literal["scores", "readout", "norms"] = "scores"

    @property
    def trains(self) -> bool:
        """See `Arm.trains`."""
        return self.learns != "norms"

    @property
    def on_board(self) -> bool:
        """See `Arm.on_board`: ideal cells are simulated anyway."""
        return self.technology is None

    def heeds(self, path: str) -> bool:
        """See `Arm.heeds`: nothing is written to a value here."""
        if self.technology and path == "chip.recording":
            return False
        return path != "chip.values.programming_error"

    def check(self, network: nn.Module, recipe: Recipe, *, task: Task) -> None:
        """See `Arm.check`."""
        try:
            check_shares(network, **self._edges(recipe, task))
        except SettingError as error:
            error.locate("search")
            raise

    def _edges(self, recipe: Recipe, task: Task) -> dict[str, Any]:
        """What an edge is and how many are kept, as `prune_` and `check_shares` take it."""
        search = recipe.search
        return {
            "keep_fraction": 1.0 if self.keep_all else search.keep_fraction,
            "grain": search.grain,
            "pairs_per_weight": self._pairs(recipe, task),
            # Where nothing is pruned or no score is learned, no sign chooses a cell.
            "score_per": "edge" if self.keep_all or self.learns != "scores" else search.score_per,
            "where": _all_but(task.readout) if self.learns == "readout" else None,
        }

    def _pairs(self, recipe: Recipe, task: Task) -> PairsPerWeight:
        pairs = recipe.search.pairs_per_weight
        if isinstance(pairs, int) or self.learns != "readout":
            return pairs
        # The layer that is trained digitally has none.
        digital = (task.readout, f"{task.readout}.weight")
        return {pattern: count for pattern, count in pairs.items() if pattern not in digital}

    def attach(
        self, network: nn.Module, recipe: Recipe, *, task: Task, steps: int, seed: int,
        make_chip: MakeChip = chip_from,
    ) -> nn.Module:  # fmt: skip
        """The network on a freshly formed chip."""
        chip = recipe.chip
        if self.technology:
            other: dict[str, Any] = {
                "technology": self.technology, "values": {}, "address": None, "recording": (),
            }  # fmt: skip
            chip = chip.model_copy(update=other)
        made = make_chip(chip, seed)
        return self.on(made, network, recipe, task=task, steps=steps, seed=seed)

    def on(
        self, chip: Chip, network: nn.Module, recipe: Recipe, *, task: Task, steps: int, seed: int
    ) -> nn.Module:
        """The network on that chip, without a weight as yet; arguments as `attach`."""
        search = recipe.search
        updates = steps / search.interval  # of the masks, in an epoch
        narrowing = round(search.narrowing * recipe.training.epochs * updates)
        rule = TopK(scope=search.scope, dead_band=search.dead_band, narrowing=narrowing)
        budget = search.flip_budget
        model = prune_(
            network,
            chip,
            **self._edges(recipe, task),
            rule=rule if budget is None else FlipBudget(rule, budget),
            schedule=Annealed(round(search.anneal_epochs * updates)),
            interval=search.interval,
            score_start=search.score_start,
            circuit=circuit_from(recipe),
            input_bits=recipe.converters.input_bits,
            headroom=recipe.converters.headroom,
            seed=start_seed(recipe, seed),
        )
        for weight in pruned_weights(model).values():
            weight.scores.data.mul_(search.score_scale)
        if self.learns != "scores":
            model.requires_grad_(False)
        if self.learns == "readout":
            model.get_submodule(task.readout).requires_grad_(True)
        return model


def _all_but(readout: str) -> Where:
    def chosen(name: str, module: nn.Module) -> bool:
        return isinstance(module, PRUNABLE) and name != readout

    return chosen


ARMS: dict[str, Arm] = {
    arm.name: arm
    for arm in (
        Digital("digital", "trained float weights and activations: the reference"),
        Digital("digital-quantised", "trained weights, activations at the converters' bits", True),
        Programmed("programmed", "those weights written to the chip, with its programming error"),
        Programmed("programmed-aware", "the same after training with that error injected", True),
        Pruned("random", "the chip as formed; only norm statistics are taken", None, True, "norms"),
        Pruned("random-mask", "a random share of the edges kept, likewise", learns="norms"),
        Pruned(
            "readout", "random chip features, last layer trained digitally", None, True, "readout"
        ),
        Pruned("pruned-ideal", "the search on ideal random cells", "ideal"),
        Pruned("pruned", "the search on the chip, an edge being a pair: the paper's method"),
        Pruned("pruned-cells", "the search on the chip, an edge being a single cell"),
        Pruned("pruned-summed", "cells again, some or all weights being sums of pairs"),
    )
}


def arm_named(name: str) -> Arm:
    """The arm of that name.

    Raises:
        SettingError: for an unknown name.
    """
    if name not in ARMS:
        raise SettingError(f"There is no arm {name!r}", remedy=nearest(name, ARM_NAMES))
    return ARMS[name]
