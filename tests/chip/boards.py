"""Boards for the tests: the cells are simulated, the controller around them may lose its power."""

from collections.abc import Callable
from typing import Any

import torch

from secateur.chip import Chip, Command, Outcome, SimulatedChip
from secateur.chip.command import carry_out
from secateur.errors import ChipError


class PowerCutError(BaseException):
    """The controller is dead, and nothing it runs goes on; the cells are as the last pulse left
    them."""


class Board(Chip):
    """A simulated chip that, as far as code can tell, is a real one.

    Args:
        fatal: number of the programming command at which the power goes, once; None for never.
        when: the pulses of that command are "before" given, "half" or "after".
    """

    def __init__(self, *, seed: int, fatal: int | None = None, when: str = "after", **more) -> None:
        self.true = SimulatedChip("taox-40nm", seed=seed, **more)
        self.technology, self.placement = self.true.technology, self.true.placement
        self.ledger, self.seed = self.true.ledger, seed
        self.fatal, self.when, self.number = fatal, when, 0
        for name in ("read", "read_back", "multiply", "status", "conducting"):
            setattr(self, name, getattr(self.true, name))

    def identity(self) -> dict[str, Any]:
        return {**super().identity(), "seed": self.seed}

    def to(self, device) -> None:
        pass

    def place(self, name, shape, *, inputs_first=False):
        return self._pulse(lambda: self.true.place(name, shape, inputs_first=inputs_first))

    def form(self, cells, **how) -> None:
        self._pulse(lambda: self.true.form(cells, **how))

    def ramp(self, cells, **how) -> None:
        self._pulse(lambda: self.true.ramp(cells, **how))

    def set(self, cells) -> None:
        self._pulse(lambda: self.true.set(cells), lambda: self.true.set(cells[::2]))

    def reset(self, cells) -> None:
        self._pulse(lambda: self.true.reset(cells), lambda: self.true.reset(cells[::2]))

    def switch(self, cells, up) -> None:
        self._pulse(
            lambda: self.true.switch(cells, up), lambda: self.true.switch(cells[::2], up[::2])
        )

    def write_verify(self, cells, targets, **how):
        return self._pulse(lambda: self.true.write_verify(cells, targets, **how))

    def _pulse(self, whole, half=None):
        self.number += 1
        if self.fatal is not None and self.number > self.fatal:
            self.fatal = None
            if self.when == "after":
                whole()
            if self.when == "half" and half is not None:
                half()
            raise PowerCutError
        return whole()


for _name in ("read", "read_back", "multiply", "status", "conducting"):
    # Given to each board by its cells.
    Board.__abstractmethods__ = Board.__abstractmethods__ - {_name}


class ForgetfulBoard(Board):
    """Notes nothing about the commands it was given."""


class Known:
    """An answer that is there."""

    def __init__(self, outcome: Outcome) -> None:
        self.outcome = outcome

    def done(self) -> bool:
        return True

    def result(self) -> Outcome:
        return self.outcome


class RememberingBoard(Board):
    """Notes what it has done in the same instant as it does it."""

    def __init__(self, **how) -> None:
        super().__init__(**how)
        self.known: dict[str, Outcome] = {}

    def issue(self, identity: str, command: Command) -> Known:
        if identity not in self.known:
            fatal = self.fatal is not None and self.number >= self.fatal
            self.number += 1
            if fatal:
                self.fatal = None
            if not fatal or self.when == "after":
                self.known[identity] = carry_out(self.true, command)
            if fatal:
                raise PowerCutError
        return Known(self.known[identity])

    def outcome_of(self, identity: str) -> Outcome | None:
        return self.known.get(identity)


class RefusingBoard(RememberingBoard):
    """Says of a write, once it is asked for the answer, that it will not have it."""

    closed = False

    def issue(self, identity: str, command: Command) -> Known:
        known = super().issue(identity, command)
        return Refused(known.outcome) if command.kind == "write_verify" else known

    def close(self) -> None:
        self.closed = True


class Refused(Known):
    def result(self) -> Outcome:
        raise ChipError("This chip cannot be written to values")


def same_counts(one: Chip, other: Chip) -> bool:
    return all(
        torch.equal(getattr(one.ledger, kind), getattr(other.ledger, kind))
        for kind in ("form", "set", "reset")
    )


class FalteringBoard(ForgetfulBoard):
    """Sends a SET in three parts, and fails once, in the second: by its driver, or underneath."""

    faltering = True
    error: type[Exception] = ChipError

    def set(self, cells) -> None:
        for number, part in enumerate(torch.tensor_split(cells, 3)):
            if number == 1 and self.faltering:
                self.faltering = False
                raise self.error("The instrument does not answer")
            self.true.set(part)


class FaultyBoard(ForgetfulBoard):
    """Fails at its SETs and switches as told: after no, half or all of the pulses of each."""

    def __init__(self, *faults: str | None) -> None:
        super().__init__(seed=1)
        self.faults = list(faults)
        self.error: BaseException = ChipError(
            "The instrument does not answer", where="bench", cause="it is off", remedy="Turn it on"
        )

    def set(self, cells) -> None:
        self._fail(self.true.set, cells)

    def switch(self, cells, up) -> None:
        self._fail(self.true.switch, cells, up)

    def _fail(self, give: Callable[..., None], *what: torch.Tensor) -> None:
        fault = self.faults.pop(0) if self.faults else None
        given = {"refused": 0, "half": len(what[0]) // 2}.get(fault or "", len(what[0]))
        if given:
            give(*(part[:given] for part in what))
        if fault == "power":
            raise PowerCutError
        if fault is not None:
            raise self.error
