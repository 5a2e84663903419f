"""A programming command as a thing that can be written down, sent, compared and carried out."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol, get_args, runtime_checkable

import torch
from torch import Tensor

from secateur.chip.chip import Chip, WriteReport
from secateur.chip.forming import Forming
from secateur.chip.ledger import Ledger
from secateur.chip.placement import Region
from secateur.chip.wellformed import check_command
from secateur.errors import ChipError, nearest

Kind = Literal["place", "form", "ramp", "set", "reset", "switch", "write_verify"]
KINDS: tuple[str, ...] = get_args(Kind)
# Pulse kinds, in the order in which counts are given.
PULSES = ("form", "set", "reset")
# What a command's pulses are counted as where every cell named gets exactly one.
_ONE = {"form": 0, "set": 1, "reset": 2}


def _no_cells() -> Tensor:
    return torch.zeros(0, dtype=torch.int64)


@dataclass(frozen=True, eq=False)
class Command:
    """What is asked of a chip.

    Args:
        kind: the method of `Chip` of that name.
        cells: int64 (n,), on the CPU; none for `place`.
        values: of each cell: boolean `up` of `switch`, siemens (float32) of `write_verify`;
            otherwise None.
        parameters: the method's other arguments, in plain JSON.

    Raises:
        ChipError: for values and parameters that are not the kind's.
    """

    kind: Kind
    cells: Tensor = field(default_factory=_no_cells)
    values: Tensor | None = None
    parameters: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_command(self.kind, self.cells, self.values, self.parameters)

    def digest(self) -> bytes:
        """16 bytes that are equal for equal commands, in every process."""
        words = json.dumps([self.kind, self.parameters], sort_keys=True).encode()
        found = hashlib.blake2b(words, digest_size=16)
        found.update(raw(self.cells))
        found.update(b"" if self.values is None else raw(self.values))
        return found.digest()

    def each_once(self) -> Tensor | None:
        """Pulses int32 (3, n) that each cell gets, in the order of PULSES.

        None where only the chip can tell.
        """
        counts = torch.zeros((len(PULSES), len(self.cells)), dtype=torch.int32)
        if self.kind == "switch":
            assert self.values is not None
            counts[1], counts[2] = self.values, ~self.values
        elif self.kind in _ONE:
            counts[_ONE[self.kind]] = 1
        else:
            return None
        return counts


@dataclass(frozen=True, eq=False)
class Outcome:
    """What has become of a command.

    Args:
        how: "done": carried out; "refused": by the chip, without a pulse; "not given": it never
            reached the cells; "read back": found out afterwards from the cells themselves.
        cells: int64 (n,) that pulses may have reached: the command's own, or those of a new region.
        counts: int32 (3, n), form, SET and RESET pulses that each certainly got.
        possible: int32 (3, n), pulses beyond these that it may have got; None for none.
        missed: int64, cells that `write_verify` could not bring to their targets.
    """

    how: Literal["done", "refused", "not given", "read back"]
    cells: Tensor
    counts: Tensor
    possible: Tensor | None = None
    missed: Tensor | None = None

    @classmethod
    def without(cls, command: Command, how: Literal["refused", "not given"]) -> "Outcome":
        """No pulse was given."""
        return cls(how, command.cells, torch.zeros((3, len(command.cells)), dtype=torch.int32))

    def parts(self) -> tuple[dict[str, Any], list[Tensor]]:
        """As it travels: plain values, and arrays."""
        extras = {"possible": self.possible, "missed": self.missed}
        given = {name: tensor for name, tensor in extras.items() if tensor is not None}
        return {"how": self.how, "with": list(given)}, [self.cells, self.counts, *given.values()]

    @classmethod
    def of_parts(cls, about: Mapping[str, Any], arrays: Sequence[Tensor]) -> "Outcome":
        """What `parts` has given."""
        cells, counts, *more = arrays
        return cls(about["how"], cells, counts, **dict(zip(about["with"], more, strict=True)))

    def report(self) -> WriteReport:
        """As `write_verify` gives it."""
        missed = _no_cells() if self.missed is None else self.missed
        return WriteReport(int(self.counts.sum()), missed)

    def add_to(self, ledger: Ledger) -> None:
        """Counts the certain pulses."""
        for name, counts in zip(PULSES, self.counts, strict=True):
            column: Tensor = getattr(ledger, name)
            column.index_add_(0, self.cells.to(column.device), counts.to(column.device))


class UnansweredError(ChipError):
    """The chip cannot be asked: what has become of the commands under way is not known."""


class Answer(Protocol):
    """What will have become of a command that was sent, once it is known."""

    def done(self) -> bool:
        """Whether it is known already."""
        ...

    def result(self) -> Outcome:
        """Waits until it is.

        Raises:
            UnansweredError: where the chip does not say, so that the command stays in doubt.
            ChipError: where the chip has refused the command.
        """
        ...


@runtime_checkable
class RemembersCommands(Protocol):
    """A chip that remembers the ids of the commands it was given, so that none is given twice."""

    def issue(self, identity: str, command: Command) -> Answer:
        """Carries a command out unless one with this id was; `place` included.

        Raises:
            ChipError: where the id was used for another command.
        """
        ...

    def outcome_of(self, identity: str) -> Outcome | None:
        """What has become of a command; None where the chip has not seen it.

        One that was read back may have missed some cells: what is then issued under the id with a
        + behind it is the rest.
        """
        ...


@runtime_checkable
class FormedApart(Protocol):
    """A chip whose weights get their cells without a pulse, and are formed by separate commands.

    So that a crash between two forming pulses leaves these in doubt, and not where weights lie; and
    so that a new process can allot the cells of the old one again.
    """

    forming: Forming

    def allot(self, name: str, shape: tuple[int, ...], *, inputs_first: bool = False) -> Region:
        """Gives a weight its cells, and leaves them as they are.

        Raises:
            ChipError: where there is no room.
        """
        ...


def carry_out(chip: Chip, command: Command) -> Outcome:
    """Gives a command to a chip by its method, and counts by its ledger.

    A `place` on a chip that is formed apart allots the cells; forming them is left to the caller.

    Raises:
        ChipError: where the chip refuses it.
        SettingError: for a placement that is none.
    """
    cells, asked = command.cells, command.parameters
    before = None if command.each_once() is not None else counts_of(chip.ledger, cells)
    missed = None
    if command.kind == "place":
        place = chip.allot if isinstance(chip, FormedApart) else chip.place
        region = place(asked["name"], tuple(asked["shape"]), inputs_first=asked["inputs_first"])
        cells = torch.arange(region.cells.start, region.cells.stop)
        before = torch.zeros((3, len(cells)), dtype=torch.int32)
    elif command.kind == "switch":
        assert command.values is not None
        chip.switch(cells, command.values)
    elif command.kind == "write_verify":
        assert command.values is not None
        missed = chip.write_verify(cells, command.values, **asked).missed.cpu()
    else:
        getattr(chip, command.kind)(cells, **asked)
    counts = command.each_once() if before is None else counts_of(chip.ledger, cells) - before
    assert counts is not None
    return Outcome("done", cells, counts, missed=missed)


def parted(command: Command, most: int | None) -> list[Command]:
    """A command as several that name at most so many cells each, pairs kept together.

    Args:
        command: whose pulses are independent from pair to pair; a `place` names no cells.
        most: cells, 2 or more; None for any number.
    """
    if most is None or len(command.cells) <= most:
        return [command]
    cells = torch.split(command.cells, most - most % 2)
    if command.values is None:
        return [replace(command, cells=some) for some in cells]
    values = torch.split(command.values, most - most % 2)
    return [replace(command, cells=c, values=v) for c, v in zip(cells, values, strict=True)]


def given_so_far(chip: Chip) -> tuple[int, ...]:
    """Cells in use and pulses of each kind by a chip's ledger: unchanged where none was sent."""
    ledger = chip.ledger
    return (chip.placement.cells, *(int(getattr(ledger, name).sum()) for name in PULSES))


def region_of(chip: Chip, outcome: Outcome) -> Region:
    """The region that a `place` with this outcome has made.

    Raises:
        ChipError: where the chip does not have it.
    """
    first = int(outcome.cells[0]) if len(outcome.cells) else -1
    for region in chip.placement.regions:
        if region.first_cell == first and 2 * region.weights == len(outcome.cells):
            return region
    raise ChipError(
        f"The chip has no region that begins at cell {first}",
        cause="it has been given other weights since, or is another chip",
        remedy="Go on with the chip that the journal was begun with",
    )


def checked_kind(word: str) -> Kind:
    """A kind of command by its name.

    Raises:
        ChipError: for an unknown one.
    """
    for kind in get_args(Kind):
        if kind == word:
            return kind  # type: ignore[no-any-return]
    raise ChipError(f"There is no command {word!r}", remedy=nearest(word, KINDS))


def raw(tensor: Tensor) -> bytes:
    """A tensor's elements as bytes, in order; little-endian wherever PyTorch runs."""
    return tensor.detach().cpu().contiguous().numpy().tobytes()


def counts_of(ledger: Ledger, cells: Tensor) -> Tensor:
    """Pulses that cells have received by a ledger, int32 (3, n), in the order of PULSES."""
    return torch.stack([getattr(ledger, name)[cells].cpu() for name in PULSES])
