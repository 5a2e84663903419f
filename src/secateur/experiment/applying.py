"""Applying a pruning plan: the right chip, pulses by the journal, accuracy before and after."""

import hashlib
import json
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from secateur.chip import (
    Chip,
    ChipState,
    Journal,
    JournaledChip,
    RecordedChip,
    chip_named,
    first_difference,
)
from secateur.errors import ChipError, SettingError
from secateur.experiment.arms import chip_from
from secateur.experiment.boards import board_at
from secateur.experiment.finished import Finished, finished_trial
from secateur.experiment.plan import columns_of, threshold
from secateur.experiment.plan_file import Command, Plan
from secateur.network import read_tensors, save
from secateur.network.saving import header_of

FORMED = "formed"
# The journal's word of the application that is under way.
_APPLICATION = "application"
Say = Callable[[str], None]


@dataclass
class Applied:
    """What has become of a plan.

    Args:
        before: the task's figures on the chip as it was.
        after: likewise, with the plan carried out.
        reported: what the search itself has measured at its end.
        pulses: given now, by kind.
        spared: cells of the plan that were in the asked-for state already.
        astray: cells that were pulsed and did not follow.
        notes: what else is to be known, a sentence each.
    """

    before: dict[str, float]
    after: dict[str, float]
    reported: dict[str, float]
    pulses: dict[str, int]
    spared: int
    astray: list[int]
    notes: list[str] = field(default_factory=list)

    def table(self) -> dict[str, Any]:
        """In plain JSON."""
        return dict(vars(self))


def apply_plan(
    plan: Plan, chip: str, *, run: Path | None = None, data: Path | None = None,
    journal: Path, out: Path | None = None, force: bool = False, say: Say = lambda words: None,
) -> Applied:  # fmt: skip
    """Brings a chip to what a plan asks for, and measures the network on it before and after.

    Cells that are in the asked-for state get no pulse. On a chip that cannot be brought back, an
    application that has not come to its end is gone through again by its journal, without a pulse
    that was given; after one that has, the chip is looked at anew.

    Args:
        plan: to carry out.
        chip: "formed" for the run's own simulated chip as formed; a file that `secateur.save` or a
            run has written, whose simulated chip is taken as it stands; a recording (.h5); the
            address of a board (tcp://...); or module:name of a driver.
        run: directory of the run, where it was moved since.
        data: where the task's data are looked for first.
        journal: file of the pulses' journal.
        out: where the model is saved afterwards, with its chip where that is simulated; nowhere
            where None.
        force: apply it to another chip than it was made for.
        say: told what is going on.

    Raises:
        ChipError: for another chip, before it is touched.
        SettingError, FileError: for a plan, run, chip or journal that cannot be used.
    """
    done = finished_trial(run or Path(plan.run), arm=plan.arm, chip=plan.chip, variant=plan.variant)
    held, state = _chip(plan, done, chip)
    with closing(held):
        notes = _refuse_another(plan, held, force=force)
        with Journal(journal) as book:
            writing = JournaledChip(held, book)
            writing.reason = f"plan of {done.folder.name}"
            standing = _begin(plan, writing, book)
            model = done.standing_on(writing) if standing else done.model_on(writing)
            _refuse_other_places(plan, held)
            if state is not None:
                held.restore(state)
            result = _carry_out(plan, done, writing, model, data=data, say=say)
            result.notes = [*notes, *writing.notes, *result.notes]
            if out is not None:
                save(model, out)
            writing.flush()
            _note(book, None)
    return result


def _begin(plan: Plan, chip: JournaledChip, book: Journal) -> bool:
    """Goes to where the application begins in the journal; whether the weights stood there then."""
    standing = bool(chip.placement.regions)
    asked = hashlib.blake2b(plan.model_dump_json().encode(), digest_size=16).hexdigest()
    begun = json.loads(book.note(_APPLICATION) or "null")
    if begun is not None and begun["plan"] == asked and not chip.saves:
        chip.go_on_at(begun["first"])
        return bool(begun["standing"])
    if standing:
        _refuse_other_places(plan, chip)
    if chip.saves:
        # A chip in memory begins anew with every process, and so do its commands; not before it is
        # known that the journal is of this chip.
        book.rewind(0)
        return standing
    chip.go_on_at(book.position())
    _note(book, {"plan": asked, "first": chip.position, "standing": standing})
    return standing


def _note(book: Journal, application: dict[str, Any] | None) -> None:
    """Writes which application is under way, None once it has come to its end."""
    book.set_note(_APPLICATION, json.dumps(application))


def _carry_out(
    plan: Plan, done: Finished, chip: JournaledChip, model: nn.Module, *, data: Path | None,
    say: Say,
) -> Applied:  # fmt: skip
    test = done.task.load(data, done.recipe.task.settings).test
    before = dict(done.task.measure(model, test).figures)
    counted = chip.ledger.totals()
    spared, astray = 0, list[int]()
    commands: tuple[Command, ...] = ("RESET", "SET")
    for command in commands:
        columns = columns_of(plan, command)
        if not columns:
            continue
        todo = _not_there(chip, torch.cat(columns), command)
        spared += int((~todo).sum())
        say(f"{command} of {int(todo.sum())} cells on {len(columns)} lines")
        # A line is one command: its cells in their order.
        for own, left in zip(
            columns, todo.split_with_sizes([len(c) for c in columns]), strict=True
        ):
            if bool(left.any()):
                up = torch.full((int(left.sum()),), command == "SET")
                astray += chip.switch_verify(own[left], up).tolist()
    after = dict(done.task.measure(model, test).figures)
    pulses = {kind: n - counted[kind] for kind, n in chip.ledger.totals().items()}
    given = Applied(before, after, done.figures, pulses, spared, astray)
    given.notes += _checked(plan, chip)
    return given


# --- Which chip -------------------------------------------------------------------------------


def _chip(plan: Plan, done: Finished, spec: str) -> tuple[Chip, ChipState | None]:
    """The chip that is asked for, nothing placed on it, and the state it is to be brought to."""
    if spec == FORMED:
        return chip_from(done.recipe.chip, plan.seed), None
    if "://" in spec:
        return board_at(done.recipe.chip, address=spec), None
    if Path(spec).suffix.lower() in (".h5", ".hdf5"):
        return RecordedChip(spec, seed=plan.seed), None
    if Path(spec).suffix == ".safetensors":
        tensors, metadata = _saved(Path(spec))
        identity = header_of(metadata)["settings"]["chips"][0]
        made = chip_from(done.recipe.chip, int(identity.get("seed", plan.seed)))
        own = {n.removeprefix("chip/0/"): t for n, t in tensors.items() if n.startswith("chip/0/")}
        if not made.saves or not own:
            raise SettingError("This file has no simulated chip", where=spec)
        return made, ChipState(own, identity)
    return chip_named(spec), None


def _saved(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and header of a saved model; a checkpoint has them one floor down."""
    tensors, metadata = read_tensors(path)
    if "secateur.checkpoint" in metadata:
        tensors = {n.removeprefix("model/"): t for n, t in tensors.items() if n[:6] == "model/"}
        metadata = json.loads(metadata["secateur.checkpoint"])["model"]
    return tensors, metadata


def _refuse_another(plan: Plan, chip: Chip, *, force: bool) -> list[str]:
    """Compares all but where weights are, which is known once they are placed."""
    here = {k: v for k, v in chip.identity().items() if k != "regions"}
    asked = {k: v for k, v in plan.identity.items() if k != "regions"}
    found = first_difference(here, asked)
    if found is None:
        return []
    found = found.replace(" saved", " in the plan")
    if not force:
        raise ChipError(
            f"This is another chip than the plan was made for: {found}",
            cause="every chip's random weights are its own: the topology that was found on one is "
            "no better than a random one on another",
            remedy="Search on this chip, or give --force to apply it all the same",
        )
    return [f"Applied by force to another chip: {found}. Its random weights differ."]


def _refuse_other_places(plan: Plan, chip: Chip) -> None:
    own, asked = chip.identity()["regions"], plan.identity["regions"]
    if found := first_difference({"regions": own}, {"regions": asked}):
        raise ChipError(
            f"The network's weights came to lie elsewhere than in the plan: {found}",
            cause="other weights are on this chip already",
            remedy="Give the chip without weights, or one whose driver begins without any",
        )


# --- What the cells are -----------------------------------------------------------------------


def _not_there(chip: Chip, cells: Tensor, command: Command) -> Tensor:
    """Mask of the cells that are not in the state that a command leads to."""
    wanted = Chip.HIGH if command == "SET" else Chip.LOW
    status = torch.cat([chip.status(region).view(-1) for region in chip.placement.regions])
    return status.cpu()[cells] != wanted


def _checked(plan: Plan, chip: JournaledChip) -> list[str]:
    """The plan's checks of currents: every cell that was named, against the threshold."""
    limit = threshold(chip.technology)
    notes = []
    commands: tuple[tuple[Command, str], ...] = (("RESET", "above"), ("SET", "below"))
    for command, words in commands:
        columns = columns_of(plan, command)
        if not columns:
            continue
        named = torch.cat(columns)
        read = chip.read_back(named.to(chip.ledger.form.device)).cpu()
        wrong = named[(read > limit) == (command == "RESET")]
        if len(wrong):
            notes.append(
                f"{len(wrong)} of {len(named)} cells that were to be {command} conduct {words} the "
                f"threshold of {1e6 * limit:.3g} µS, the first of them cell {int(wrong[0])}."
            )
    return notes
