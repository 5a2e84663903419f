"""Recorded chips: which chip is recorded, and what a run on a recording cannot be asked for."""

from torch import nn

from secateur.chip import Chip, chip_named
from secateur.errors import SettingError
from secateur.experiment.arms import Arm, Programmed, chip_from
from secateur.experiment.recipe import ChipSettings, Recipe
from secateur.network import prune_
from secateur.tasks import task_named

_PAIRS = 10_000


def chip_to_record(
    *, driver: str | None, technology: str, seed: int, forming: str, task: str | None,
    pairs: int | None,
) -> tuple[Chip, str]:  # fmt: skip
    """A formed chip without a SET or RESET, and what it is in words.

    Args:
        driver: module:name of a chip of the user's own; None for a simulated one.
        technology: of a simulated chip.
        seed: of a simulated chip.
        forming: of a simulated chip, a word of the recipe.
        task: whose network is placed as a run places it; None for pairs in rows of 256.
        pairs: how many, without a task.

    Raises:
        SettingError: for a task and pairs, and what the driver, technology or task refuse.
    """
    if task is not None and pairs is not None:
        raise SettingError(
            f"Both {pairs} pairs and the pairs of {task} were asked for",
            remedy="Give one of --pairs and --task",
        )
    if driver is not None:
        chip, words = chip_named(driver), f"chip of {driver}"
    else:
        settings = ChipSettings.model_validate({"technology": technology, "forming": forming})
        chip = chip_from(settings, seed)
        words = f"simulated {chip.technology.name}, forming {forming}, seed {seed}"
    if task is None:
        _place(chip, pairs or _PAIRS)
        return chip, words
    # All edges are kept, so that no pulse is sent.
    prune_(task_named(task).build({}), chip, keep_fraction=1.0)
    return chip, f"{words}, as {task} is placed"


def refuse_unrecorded(recipe: Recipe, arm: Arm) -> None:
    """Refuses settings that a recorded chip has no reads for; does nothing where none is used.

    Args:
        recipe: as the arm sees it.
        arm: to run.

    Raises:
        SettingError: naming the first such setting.
    """
    if not recipe.chip.recordings or not arm.heeds("chip.recording"):
        return
    if isinstance(arm, Programmed):
        raise SettingError(
            f"The arm {arm.name!r} cannot run on a recorded chip", where="chip.recording",
            cause="it writes values between the two states, of which nothing was recorded",
            remedy="Choose arms, as in `--arm pruned --arm pruned-cells --arm digital`",
        )  # fmt: skip
    chip, wires, ends = recipe.chip, recipe.wires, recipe.converters
    asked = {
        "chip.values": bool(chip.values), "chip.macros": chip.macros is not None,
        "chip.forming_voltage": chip.forming_voltage is not None,
        "chip.forming_width": chip.forming_width is not None,
        "chip.forming_compliance": chip.forming_compliance is not None,
        "chip.circuit": chip.circuit == "ideal", "chip.address": chip.address is not None,
        "converters.output_bits": ends.output_bits is not None,
        "converters.bit_serial": ends.bit_serial,
        "stress": bool(recipe.stress.ages or recipe.stress.failed),
        "wires": any(
            (wires.input_line_resistance, wires.output_line_resistance, wires.source_resistance,
             wires.sense_resistance)
        ),
    }  # fmt: skip
    for path, wanted in asked.items():
        if wanted:
            raise SettingError(
                f"{path} cannot be set for a recorded chip", where="chip.recording",
                cause="its cells and its circuit are as they were when it was read",
                remedy="Leave it out, or simulate the technology that `secateur chip fit` makes "
                "of the recording",
            )  # fmt: skip


def _place(chip: Chip, pairs: int) -> None:
    """Pairs in full rows of 256, and the rest in a row of its own."""
    whole, rest = divmod(pairs, 256)
    for name, rows, width in (("rows", whole, 256), ("rest", 1, rest)):
        if rows and width:
            chip.place(name, nn.Linear(rows, width, bias=False, device="meta").weight.shape)
