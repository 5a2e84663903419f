"""Commands in doubt: begun, and nobody has written what became of them.

A chip that remembers ids is asked. One that does not is read: a cell that was on the other side
before has certainly got its pulse where it now is where the command wanted it. All else counts as
possibly given, and only what is not as it was asked for is given again.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from secateur.chip.chip import Chip
from secateur.chip.command import PULSES, Command, FormedApart, Outcome, RemembersCommands
from secateur.chip.journal import Entry, Journal
from secateur.device import Technology

_UNKNOWN, _LOW, _HIGH = -1, 0, 1


def is_high(technology: Technology, read: Tensor) -> Tensor:
    """Which reads are of the high state: above the geometric mean of the two states' medians."""
    middle: float = (technology.low_conductance * technology.high_conductance) ** 0.5
    return read > middle


def resolve(chip: Chip, journal: Journal, *, gone: bool = False) -> list[str]:
    """Writes what has become of a journal's commands in doubt; a sentence about each.

    Args:
        chip: is asked where it remembers commands, and read where it does not.
        journal: of it.
        gone: whether the cells were in memory, so that what they were given has died with them.
    """
    notes = []
    for entry in journal.in_doubt():
        command = entry.command
        if isinstance(chip, RemembersCommands):
            outcome = chip.outcome_of(entry.identity)
        elif gone:
            outcome = None
        else:
            earlier = [e for e in journal.entries() if e.identity != entry.identity]
            before = sides(earlier, command.cells, stuck=journal.stuck())
            outcome = read_back(chip, command, before, placed=_placed_by(earlier))
        outcome = outcome or Outcome.without(command, "not given")
        notes.append(in_words(command, outcome))
        journal.end(entry.identity, outcome)
    return notes


def read_back(chip: Chip, command: Command, before: Tensor, *, placed: int = 0) -> Outcome:
    """What reading the cells tells of a command in doubt.

    Args:
        chip: that does not remember ids.
        command: in doubt.
        before: int8 (n,), the side each cell was last brought to: 0 low, 1 high, -1 unknown.
        placed: cells of weights that are known to have been placed before.

    Returns:
        The outcome, with the cells that are not as asked for as `missed`.
    """
    cells, counts = command.cells, torch.zeros((len(PULSES), len(command.cells)), dtype=torch.int32)
    once = command.each_once()
    if command.kind in ("set", "reset", "switch"):
        assert once is not None
        up = once[1].bool()
        reached = is_high(chip.technology, chip.read_back(cells)).cpu() == up
        certain = reached & (before != _UNKNOWN) & (before != up.to(torch.int8))
        return Outcome(
            "read back", cells, once * certain, once * ~certain, missed=cells[~reached]
        )  # fmt: skip
    if command.kind == "form":
        assert once is not None
        return Outcome("read back", cells, counts, once, missed=cells[~_conducting(chip, cells)])
    if command.kind == "ramp":
        counts[0] = len(command.parameters["voltages"])
        pairs = ~_conducting(chip, cells).view(-1, 2).any(dim=1).repeat_interleave(2)
        return Outcome("read back", cells, counts * 0, counts, missed=cells[pairs])
    if command.kind == "write_verify":
        assert command.values is not None
        off = (chip.read_back(cells).cpu() - command.values).abs()
        wrong = off > command.parameters["tolerance"] * chip.technology.high_conductance
        counts[1:] = command.parameters["attempts"]
        return Outcome("read back", cells, counts * 0, counts, missed=cells[wrong])
    return _placed(chip, command, placed)


def rest_of(command: Command, outcome: Outcome) -> Command | None:
    """What of a command is still to be given after it was read back; None for nothing."""
    if outcome.missed is None or not len(outcome.missed):
        return None
    left = torch.isin(command.cells, outcome.missed)
    values = None if command.values is None else command.values[left]
    return replace(command, cells=command.cells[left], values=values)


def joined(outcomes: Sequence[Outcome]) -> Outcome:
    """What has become of a command that was given in parts: all its pulses, and how it ended.

    Args:
        outcomes: of the command itself, and of the rest of each before it.
    """
    first, last = outcomes[0], outcomes[-1]
    order = first.cells.argsort()
    counts, possible = first.counts.clone(), torch.zeros_like(first.counts)
    for outcome in outcomes:
        places = order[torch.searchsorted(first.cells[order], outcome.cells)]
        if outcome is not first:
            counts.index_add_(1, places, outcome.counts)
        if outcome.possible is not None:
            possible.index_add_(1, places, outcome.possible)
    uncertain = any(outcome.possible is not None for outcome in outcomes)
    return Outcome(
        last.how, first.cells, counts, possible if uncertain else None, missed=last.missed
    )


def sides(entries: Sequence[Entry], cells: Tensor, *, stuck: Tensor | None = None) -> Tensor:
    """The side each cell was last brought to by commands that are done: int8, as `read_back`.

    Nobody knows it of a cell that was given the same pulse twice: it has not followed the first, or
    has, and need not have followed any.

    Args:
        entries: of the journal, in their order.
        cells: that are asked about, int64.
        stuck: cells that are known not to follow; none where None.
    """
    size = 1 + max((int(e.command.cells.max()) for e in entries if len(e.command.cells)), default=0)
    size = max(size, 1 + int(cells.max()) if len(cells) else 0)
    found = torch.full((size,), _UNKNOWN, dtype=torch.int8)
    last = found.clone()
    for entry in entries:
        command, once = entry.command, entry.command.each_once()
        if entry.outcome is None or command.kind == "form":
            continue
        if once is None:
            found[command.cells] = last[command.cells] = _UNKNOWN
            continue
        given = entry.outcome.counts[1:].sum(dim=0) > 0
        pulsed, up = command.cells[given], once[1][given].to(torch.int8)
        found[pulsed] = torch.where(last[pulsed] == up, _UNKNOWN, up)
        last[pulsed] = up
    if stuck is not None:
        found[stuck[stuck < size]] = _UNKNOWN
    return found[cells]


def in_words(command: Command, outcome: Outcome) -> str:
    """One sentence about a doubt that was resolved."""
    what = f"A {command.kind} of {len(command.cells)} cells"
    if outcome.how == "not given":
        return f"{what} was in doubt after a crash: it had not been given."
    certain = int((outcome.counts.sum(dim=0) > 0).sum())
    if outcome.possible is None or not int(outcome.possible.sum()):
        return f"{what} was in doubt after a crash: it had been given."
    possible = int((outcome.possible.sum(dim=0) > 0).sum())
    return (
        f"{what} was in doubt after a crash, and this chip does not remember commands: by reading "
        f"the cells, {certain} got their pulses and {possible} possibly did."
    )


def _conducting(chip: Chip, cells: Tensor) -> Tensor:
    return chip.conducting(cells).cpu()


def _placed_by(entries: Sequence[Entry]) -> int:
    places = (e.outcome for e in entries if e.command.kind == "place" and e.outcome is not None)
    return max((1 + int(o.cells[-1]) for o in places if len(o.cells)), default=0)


def _placed(chip: Chip, command: Command, placed: int) -> Outcome:
    asked = command.parameters
    last = [region for region in chip.placement.regions[-1:] if region.first_cell >= placed]
    for region in last:
        if (region.name, list(region.shape)) == (asked["name"], list(asked["shape"])):
            cells = torch.arange(region.cells.start, region.cells.stop)
            counts = torch.zeros((len(PULSES), len(cells)), dtype=torch.int32)
            if isinstance(chip, FormedApart):
                # Forming is a command of its own.
                return Outcome("read back", cells, counts)
            possible = counts.clone()
            possible[0] = 1
            return Outcome("read back", cells, counts, possible)
    return Outcome.without(command, "not given")
