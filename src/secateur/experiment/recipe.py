"""The recipe: everything a run depends on, validated, as TOML."""

import copy
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import tomli_w
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from secateur.errors import FileError, SettingError, nearest
from secateur.experiment.accepted import refused

# The order is that of the report: references first, then ours.
ARM_NAMES = (
    "digital", "digital-quantised", "programmed", "programmed-aware", "random", "random-mask",
    "readout", "pruned-ideal", "pruned", "pruned-cells", "pruned-summed",
)  # fmt: skip


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class TaskSettings(_Section):
    """Which task, and what its loader is asked for: `Task.check` knows those settings."""

    model_config = ConfigDict(frozen=True, extra="allow", strict=True)

    name: str

    @property
    def settings(self) -> dict[str, Any]:
        """The loader's settings."""
        return dict(self.model_extra or {})


class Run(_Section):
    """Which trials a run consists of."""

    arms: tuple[str, ...] = ARM_NAMES
    chips: int = Field(1, ge=1, le=10_000, description="chips per arm; each differs in all draws")
    seed: int = Field(0, ge=0)
    threads: int = Field(1, ge=1, description="threads of each process; part of the result's bits")
    split: Literal["test", "validation", "both"] = Field(
        "test",
        description="validation: train without the validation part and measure on it, as for "
        "choosing settings; test: train on both parts, read the test set once; both: one each",
    )
    vary: dict[str, Annotated[tuple[float | int | str | bool, ...], Field(min_length=1)]] = Field(
        default_factory=dict, description="settings to vary one at a time, each with its values"
    )


class Training(_Section):
    """The training loop: stochastic gradient descent with momentum, cosine schedule."""

    epochs: int = Field(20, ge=1)
    batch_size: int = Field(60, ge=1)
    learning_rate: float = Field(0.1, gt=0)
    momentum: float = Field(0.9, ge=0, lt=1)
    weight_decay: float = Field(5e-4, ge=0)
    warm_up: float = Field(0.0, ge=0, description="epochs of linear warm-up")
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    renew_norms: bool = Field(
        False, description="norms' statistics are taken anew over the training data in the end"
    )
    accumulation: int = Field(1, ge=1, description="parts that a step's batch is trained in")
    precision: Literal["float32", "bf16"] = Field(
        "float32",
        description="bf16: products of bfloat16 numbers in training; evaluation, chip "
        "and scores stay float32",
    )


class Converters(_Section):
    """The converters at the input lines and at the output lines."""

    input_bits: int = Field(4, ge=2, le=16)
    headroom: float = Field(4.0, gt=0, description="full scale over the inputs' root mean square")
    output_bits: int | None = Field(None, ge=2, le=16, description="unset: sums stay analog")
    bit_serial: bool = Field(False, description="inputs come as bit-planes")
    columns_per_converter: int = Field(8, ge=1, description="pairs that share one")
    gain_spread: float = Field(0.0, ge=0, lt=1)
    offset_spread: float = Field(0.0, ge=0, lt=1, description="over full scale")
    output_headroom: float = Field(4.0, gt=0, description="full scale over the sums' RMS")


class WireSettings(_Section):
    """Lines that resist, where any of the resistances is above 0."""

    input_line_resistance: float = Field(0.0, ge=0, allow_inf_nan=False, description="ohms")
    output_line_resistance: float = Field(0.0, ge=0, allow_inf_nan=False, description="ohms")
    source_resistance: float = Field(0.0, ge=0, allow_inf_nan=False, description="ohms")
    sense_resistance: float = Field(0.0, ge=0, allow_inf_nan=False, description="ohms")
    double_sided: bool = Field(False, description="input lines are driven from both ends")
    training: Literal["first-order", "exact"] = "first-order"
    evaluation: Literal["exact", "first-order"] = "exact"
    interval: int = Field(1, ge=1, description="reads from look to look at the cells in training")


class ChipSettings(_Section):
    """The chip and how it is formed."""

    technology: str = "taox-40nm"
    forming: Literal["full", "half", "ramp"] = "full"
    forming_voltage: float | None = Field(None, gt=0, description="volts, instead of full or half")
    forming_width: float | None = Field(
        None,
        gt=0,
        allow_inf_nan=False,
        description="seconds of its pulses; unset: the technology's",
    )
    forming_compliance: float | None = Field(
        None,
        gt=0,
        allow_inf_nan=False,
        description="amperes that stop forming and SET; unset: the technology's",
    )
    circuit: Literal["read-per-step", "read-per-product", "ideal"] = "read-per-step"
    macros: int | None = Field(None, ge=1, description="how many it has; unset: as many as needed")
    address: str | None = Field(
        None, description="of a board's server, `tcp://127.0.0.1:5757`; unset: simulated"
    )
    keys: str | None = Field(None, description="folder with the keys for a board that is not here")
    values: dict[str, float] = Field(
        default_factory=dict, description="technology parameters to replace, in SI units"
    )
    recording: str | tuple[str, ...] = Field(
        (), description="recorded chips, a file each: technology and forming are then theirs"
    )

    @property
    def recordings(self) -> tuple[str, ...]:
        """The files of recorded chips; none for simulated ones."""
        return (self.recording,) if isinstance(self.recording, str) else self.recording


# Settings that may be tables by the names of weights.
_BY_WEIGHT = ("keep_fraction", "pairs_per_weight")

Share = Annotated[float, Field(gt=0, le=1)]
Count = Annotated[int, Field(ge=1)]


class SearchSettings(_Section):
    """The search for the topology."""

    grain: Literal["pair", "cell"] = "pair"
    pairs_per_weight: Count | dict[str, Count] = Field(
        1, description="pairs that a weight is the sum of; or by the names of weights"
    )
    keep_fraction: Share | dict[str, Share] = Field(
        0.5, description="of the formed edges, of each weight; or by the names of weights"
    )
    scope: Literal["layer", "global"] = "layer"
    dead_band: float = Field(0.0, ge=0, lt=1)
    narrowing: float = Field(
        0.0, ge=0, le=1, description="share of the training over which the dead band falls to 0"
    )
    interval: int = Field(1, ge=1, description="steps from mask update to mask update")
    flip_budget: int | None = Field(
        None, ge=1, description="flips after which an edge stays as it is"
    )
    anneal_epochs: float = Field(0.0, ge=0, description="epochs from keeping all to keep_fraction")
    seed: int = Field(0, ge=0, description="another one: another start on the same chip")
    score_start: Literal["uniform", "constant", "weight"] = "uniform"
    score_per: Literal["edge", "weight"] = Field(
        "edge", description="weight: one signed score, whose sign chooses the cell of each pair"
    )
    score_scale: float = Field(1.0, gt=0, description="multiplies the initial scores")


class Stress(_Section):
    """What finished models are put through, each on a copy, beside what is reported."""

    ages: tuple[Annotated[float, Field(ge=0)], ...] = Field((), description="seconds")
    failed: tuple[Annotated[float, Field(ge=0, le=1)], ...] = Field(
        (), description="shares of the cells that fail, half of them low and half high"
    )
    remedies: tuple[str, ...] = Field(
        ("norms",), description="tried on the copies beside doing nothing; joined by +, in turn"
    )


class Recipe(_Section):
    """A task's complete settings. `arms` holds what single arms set differently."""

    task: TaskSettings
    run: Run = Run()
    training: Training = Training()
    converters: Converters = Converters()
    chip: ChipSettings = ChipSettings()
    wires: WireSettings = WireSettings()
    search: SearchSettings = SearchSettings()
    stress: Stress = Stress()
    network: dict[str, Any] = Field(default_factory=dict)
    arms: dict[str, dict[str, Any]] = Field(default_factory=dict)

    @classmethod
    def parse(cls, table: Mapping[str, Any], *, where: str) -> "Recipe":
        """A validated recipe from a nested mapping.

        Raises:
            SettingError: for unknown keys, wrong types and impossible values, by their path.
        """
        recipe = _validate(table, where=where)
        for arm in (*recipe.arms, *recipe.run.arms):
            if arm not in ARM_NAMES:
                raise SettingError(
                    f"There is no arm {arm!r}", where=where, remedy=nearest(arm, ARM_NAMES)
                )
        for arm in recipe.arms:
            recipe.for_arm(arm)
        return recipe

    @classmethod
    def read(cls, path: Path) -> "Recipe":
        """The recipe in a TOML file.

        Raises:
            FileError: for a file that cannot be read or is not TOML.
            SettingError: as `parse`.
        """
        try:
            table = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise FileError(
                f"This recipe cannot be read: {error}", where=str(path),
                remedy="Give a TOML file such as the recipe.toml of a run directory",
            ) from error  # fmt: skip
        return cls.parse(table, where=str(path))

    def table(self) -> dict[str, Any]:
        """The complete recipe as a nested mapping without unset values."""
        return self.model_dump(mode="json", exclude_none=True)

    def toml(self) -> str:
        """The complete recipe as TOML: `parse` of it gives an equal recipe."""
        return tomli_w.dumps(self.table())

    def with_settings(self, settings: Mapping[str, Any], *, where: str = "--set") -> "Recipe":
        """The recipe with other values at dotted paths; an arm's own value there gives way."""
        table = self.model_dump(mode="json")
        for path, value in settings.items():
            set_path(table, path, value)
            if not path.startswith("arms."):
                # Anything but a table is refused below.
                for overrides in table["arms"].values() if isinstance(table["arms"], dict) else ():
                    _drop_path(overrides, path)
        return Recipe.parse(_without_none(table), where=where)

    def for_arm(self, arm: str) -> "Recipe":
        """The recipe as one arm sees it: its own settings merged in."""
        table = self.model_dump(mode="json", exclude={"arms"})
        _merge(table, self.arms.get(arm, {}))
        return _validate({**_without_none(table)}, where=f"arms.{arm}")


def for_chip(recipe: Recipe, number: int) -> Recipe:
    """The recipe as one of a run's chips sees it: with the recording that is this chip.

    Raises:
        SettingError: where there are recordings, and fewer than chips.
    """
    files = recipe.chip.recordings
    if not files:
        return recipe
    if number >= len(files):
        raise SettingError(
            f"There are {len(files)} recorded chips, and run.chips asks for {number + 1} or more",
            where="chip.recording", cause="a recording is one chip",
            remedy="Give as many files as chips, or run fewer chips",
        )  # fmt: skip
    own = recipe.chip.model_copy(update={"recording": files[number]})
    return recipe.model_copy(update={"chip": own})


def parse_assignment(text: str) -> tuple[str, Any]:
    """`path=value` to its two parts; the value as TOML, or a plain word.

    Raises:
        SettingError: without an equals sign or a path.
    """
    path, sign, value = text.partition("=")
    if not sign or not path.strip():
        raise SettingError(
            f"{text!r} is not a setting", remedy="Write path=value, as in training.epochs=10"
        )
    return path.strip(), parse_value(value.strip())


def parse_value(text: str) -> Any:
    """A TOML value (number, boolean, array, table), or the text itself."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def set_path(table: dict[str, Any], path: str, value: Any) -> None:
    """Writes a value at a dotted path of a nested mapping, making tables on the way.

    What is new in a table by the names of weights comes first there, since it is the first that
    matches that counts.
    """
    *parents, last = path.split(".")
    for number, parent in enumerate(parents, start=1):
        table = table.setdefault(parent, {})
        if not isinstance(table, dict):
            above = ".".join(parents[:number])
            raise SettingError(
                f"There is no setting {path!r}", cause=f"{above} is a setting, not a section",
                remedy=f"Write {above}=...",
            )  # fmt: skip
    others: dict[str, Any] = {}
    if parents and parents[-1] in _BY_WEIGHT and last not in table:
        others = dict(table)
        table.clear()
    table[last] = value
    table.update(others)


def _drop_path(table: dict[str, Any], path: str) -> None:
    *parents, last = path.split(".")
    for parent in parents:
        table = table.get(parent, {})
        if not isinstance(table, dict):
            return
    table.pop(last, None)


def _merge(table: dict[str, Any], changes: Mapping[str, Any]) -> None:
    for key, value in changes.items():
        both = isinstance(value, Mapping) and isinstance(table.get(key), dict)
        # Of patterns the first that matches counts: those of two tables have no order.
        if both and key not in _BY_WEIGHT:
            _merge(table[key], value)
        else:
            table[key] = copy.deepcopy(value)


def _without_none(table: Any) -> Any:
    if isinstance(table, Mapping):
        return {key: _without_none(value) for key, value in table.items() if value is not None}
    return table


def _validate(table: Mapping[str, Any], *, where: str) -> Recipe:
    try:
        return Recipe.model_validate(_tuples(table))
    except ValidationError as error:
        raise refused(Recipe, table, error.errors(), where=where) from error


def _tuples(table: Mapping[str, Any]) -> dict[str, Any]:
    """Arrays of sections as tuples: strict validation keeps lists and tuples apart.

    A task that is only a name is a task without settings.
    """
    whole = dict(table)
    if isinstance(whole.get("task"), str):
        whole["task"] = {"name": whole["task"]}
    for name in ("stress", "chip"):
        if isinstance(whole.get(name), Mapping):
            whole[name] = {
                kind: tuple(values) if isinstance(values, list) else values
                for kind, values in whole[name].items()
            }
    if isinstance(whole.get("run"), Mapping):
        run = dict(whole["run"])
        if isinstance(run.get("arms"), list):
            run["arms"] = tuple(run["arms"])
        if isinstance(run.get("vary"), Mapping):
            run["vary"] = {
                path: tuple(values) if isinstance(values, list) else values
                for path, values in run["vary"].items()
            }
        whole["run"] = run
    return whole
