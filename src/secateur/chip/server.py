"""Serving a chip to another process: one owner, requests in order, nothing taken on trust."""

import hmac
import logging
import math
import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from secateur.chip import request
from secateur.chip.chip import Chip
from secateur.chip.command import (
    PULSES,
    Command,
    Outcome,
    RemembersCommands,
    UnansweredError,
    checked_kind,
)
from secateur.chip.placement import Region
from secateur.chip.reception import Reception
from secateur.chip.request import Greeting
from secateur.chip.wire import FrameError, Limits, packed, unpacked
from secateur.errors import ChipError, SecateurError

log = logging.getLogger("secateur.server")
# Bytes of one cell's pulses of each kind.
_COUNTS = 4 * len(PULSES)
_Reply = tuple[dict[str, Any], list[Tensor]]


@dataclass
class _Owner:
    greeting: Greeting
    session: bytes
    expected: int
    seen: float
    # Bytes of an array that it accepts.
    most: int


class RefusedError(ChipError):
    """A request that is refused for who asks or when, not for what it asks.

    Args:
        kind: "busy": another owner has the board; "superseded": the same owner has come again
            since; "unknown": the server does not know the session; "order": not the next request.
        what, more: as `SecateurError`.
    """

    def __init__(self, kind: str, what: str, **more: str) -> None:
        super().__init__(what, **more)
        self.kind = kind


class Server:
    """Serves a chip that remembers commands, one request at a time.

    Args:
        chip: gives the chip as it is now.
        memory: carries commands out, each id once; with a `serial` that tells the board from all
            others.
        address: `tcp://127.0.0.1:5757`, port 0 or `*` for any free one; others than loopback need
            keys.
        lease: seconds without a request after which another owner may take the board.
        beat: seconds after which, and from when on, who waits is told that the board is at work.
        keys: folder with `board.secret`, `board.public` and the public key of every client.
        limits: of a message.

    Raises:
        SettingError: for an address that others can reach, without keys.
        ChipError: where the address is taken.
        FileError: for keys that cannot be read.
    """

    def __init__(
        self, chip: Callable[[], Chip], memory: RemembersCommands, *, serial: str,
        address: str = "tcp://127.0.0.1:5757", lease: float = 30.0, beat: float = 1.0,
        keys: Path | None = None, limits: Limits | None = None,
    ) -> None:  # fmt: skip
        self._chip, self._memory, self.serial = chip, memory, serial
        self._lease, self._limits = lease, limits or Limits()
        self._owner: _Owner | None = None
        self._former: set[bytes] = set()
        # Whether commands were carried out whose sender may not know yet what became of them.
        self._carried_out: dict[str, bool] = {}
        self._reception = Reception(address, keys=keys, limits=self._limits, beat=beat)
        self.address = self._reception.address

    def run(self, stop: threading.Event | None = None) -> None:
        """Answers requests until told to stop; once there are no more, looks every 0.1 s."""
        with self._reception.attended():
            while not (stop and stop.is_set()):
                self._serve_one()

    def close(self) -> None:
        """Lets go of the address."""
        self._reception.close()

    # --- Requests ----------------------------------------------------------------------------

    def _serve_one(self) -> None:
        message = self._reception.next(wait=0.1)
        if message is not None:
            sender, parts = message
            with self._reception.at_work(sender):
                answer = self._answered(parts)
            self._reception.send(sender, answer)

    def _answered(self, parts: list[Any]) -> list[Any]:
        """The parts of an answer to those of a request, whatever these are."""
        number: Any = None
        try:
            header, arrays = unpacked([part.buffer for part in parts], self._limits)
            number = header.get("n")
            reply, found = self._answer(header, arrays)
        except SecateurError as error:
            failed = isinstance(error, UnansweredError)
            kind = "failed" if failed else getattr(error, "kind", "refused")
            if isinstance(error, FrameError | RefusedError):
                log.warning("%s", error)
            words = {k: getattr(error, k) for k in ("what", "where", "cause", "remedy")}
            reply, found = {"error": {"kind": kind, **words}}, []
        number = number if type(number) is int else -1
        return packed({**reply, "n": number}, found)

    def _answer(self, header: dict[str, Any], arrays: list[Tensor]) -> _Reply:
        asked, number = header.get("op"), header.get("n")
        if type(number) is not int or not isinstance(asked, str):
            raise FrameError("A message was refused: it asks nothing, or has no number")
        if asked == "hello":
            return self._greet(header)
        self._check_turn(header.get("session"), number)
        action = _ACTIONS.get(asked)
        if action is None:
            raise FrameError(f"A message was refused: nothing is called {asked!r} here")
        try:
            return action(self, header, arrays)
        except SecateurError:
            raise
        except (KeyError, TypeError, ValueError, IndexError) as error:
            # Whatever a request brings about, the board and its owner's session go on.
            raise FrameError(
                f"A message was refused: {asked} with arguments that do not fit it "
                f"({type(error).__name__})"
            ) from error
        except Exception as error:
            log.exception("The board failed at %s", asked)
            raise ChipError(
                f"The board failed at {asked}: {error}",
                cause="its driver or its instrument",
                remedy="See the log of the board's server",
            ) from error
        finally:
            # A lease is silence of the owner, not the time that the board takes.
            if self._owner is not None:
                self._owner.seen = time.monotonic()

    def _greet(self, header: dict[str, Any]) -> _Reply:
        greeting, now, owner = Greeting.of(header), time.monotonic(), self._owner
        if owner is not None:
            if not hmac.compare_digest(owner.greeting.token, greeting.token):
                left = owner.seen + self._lease - now
                if left > 0:
                    raise RefusedError(
                        "busy", f"The board is in use by {owner.greeting.name!r}, for {left:.0f} s "
                        "after its last request",
                        cause="another run, or one that was killed a moment ago",
                        remedy="Wait for it to end, or for its lease to run out",
                    )  # fmt: skip
            elif owner.greeting.link == greeting.link and greeting.line < owner.greeting.line:
                raise RefusedError("superseded", "A greeting came late: its sender has come again")
            self._former.add(owner.session)
        most = min(greeting.most, self._limits.array)
        self._owner = _Owner(greeting, os.urandom(16), 1, now, most)
        log.info("The board is lent to %r", greeting.name)
        chip = self._chip()
        geometry, limits = chip.placement.geometry, self._limits
        about = {
            "session": self._owner.session, "serial": self.serial, "regions": _regions(chip),
            "technology": chip.technology.toml(), "seed": chip.seed,
            "geometry": [geometry.rows, geometry.columns], "macros": chip.placement.limit,
            "ask": greeting.ask,
            "limits": [limits.header, limits.array, limits.arrays],
        }  # fmt: skip
        return about, []

    def _check_turn(self, session: Any, number: int) -> None:
        owner = self._owner
        if owner is None or session != owner.session:
            # A list or a map would have no place in a set.
            if isinstance(session, bytes) and session in self._former:
                raise RefusedError(
                    "superseded", "The board has been lent again since",
                    cause="another process of the same run, or a lease that had run out",
                    remedy="Stop one of the two",
                )  # fmt: skip
            raise RefusedError("unknown", "The board does not know this session")
        if number != owner.expected:
            raise RefusedError(
                "order", f"Request {number} came where {owner.expected} was expected",
                cause="a message that was repeated, or one that was lost before it",
            )  # fmt: skip
        owner.expected += 1
        owner.seen = time.monotonic()

    # --- What can be asked -------------------------------------------------------------------

    def _issue(self, header: dict[str, Any], arrays: list[Tensor]) -> _Reply:
        identity = header["id"]
        if not isinstance(identity, str) or not 0 < len(identity) <= 200:
            raise FrameError("A message was refused: a command without an id")
        untold = header.get("untold", [])
        if not isinstance(untold, list) or not all(isinstance(one, str) for one in untold):
            raise FrameError("A message was refused: what nobody was told of is no list of ids")
        before = [one for one in untold if one != identity]
        known = {one: done for one, done in self._carried_out.items() if one in before}
        self._carried_out = {**known, identity: False}
        cells, values = request.cells(arrays[0]), arrays[1] if arrays[1:] else None
        command = Command(checked_kind(header["kind"]), cells, values, dict(header["parameters"]))
        reached, whose = len(command.cells), ""
        if command.kind == "place":
            reached = 2 * math.prod(command.parameters["shape"])
            whose = " of one weight"
        # Before a pulse: what is done and cannot be told would stay in doubt.
        self._check_answer(f"the counts of {reached} cells{whose}", _COUNTS * reached)
        self._hold_back(before)
        answer = self._memory.issue(identity, command)
        outcome = answer.result()
        self._carried_out[identity] = True
        about, found = outcome.parts()
        return {**about, "again": bool(getattr(answer, "again", False))}, found

    def _hold_back(self, untold: list[str]) -> None:
        """Refuses a command whose sender could not know that one before it has failed.

        Carried out, it would be finished before that one, which is given again later.
        """
        for identity in untold:
            if identity not in self._carried_out:
                # Sent to a server that was there before this one.
                found = self._memory.outcome_of(identity)
                self._carried_out[identity] = found is not None and _complete(found)
            if not self._carried_out[identity]:
                raise UnansweredError(
                    "This command was not given: one that was sent before it has failed",
                    remedy="See to that one, and resume",
                )

    def _outcome_of(self, header: dict[str, Any], arrays: list[Tensor]) -> _Reply:
        outcome = self._memory.outcome_of(str(header["id"]))
        about, found = ({"how": None}, []) if outcome is None else outcome.parts()
        # Who asks this of a `place` does not know the weight.
        return {**about, "regions": _regions(self._chip())}, found

    def _read(self, header: dict[str, Any], arrays: list[Tensor]) -> _Reply:
        region = self._region(header)
        self._check_answer(f"a read of {region.weights} pairs", 8 * region.weights)
        return {}, [self._chip().read(region, key=request.count(header["key"]))]

    def _read_back(self, header: dict[str, Any], arrays: list[Tensor]) -> _Reply:
        return {}, [self._chip().read_back(request.cells(arrays[0]))]

    def _conducting(self, header: dict[str, Any], arrays: list[Tensor]) -> _Reply:
        return {}, [self._chip().conducting(request.cells(arrays[0]))]

    def _status(self, header: dict[str, Any], arrays: list[Tensor]) -> _Reply:
        region = self._region(header)
        self._check_answer(f"the states of {region.weights} pairs", 2 * region.weights)
        return {}, [self._chip().status(region)]

    def _multiply(self, header: dict[str, Any], arrays: list[Tensor]) -> _Reply:
        voltages, region = request.volts(arrays[0], dimensions=2), self._region(header)
        self._check_currents(len(voltages), region)
        return {}, [self._chip().multiply(region, voltages, key=request.count(header["key"]))]

    def _convolve(self, header: dict[str, Any], arrays: list[Tensor]) -> _Reply:
        region = self._region(header)
        window = request.window(header["window"])
        maps = request.volts(arrays[0], dimensions=2 + len(window.kernel))
        places = window.places(tuple(maps.shape[2:]))
        if min(places) < 1:
            raise FrameError("A message was refused: a window that is larger than the maps")
        self._check_currents(len(maps) * math.prod(places), region)
        finish = self._chip().begin_convolve(region, maps, window, key=request.count(header["key"]))
        return {}, [finish().contiguous()]

    def _ledger(self, header: dict[str, Any], arrays: list[Tensor]) -> _Reply:
        first, count = request.count(header["first"]), request.count(header["count"])
        self._check_answer(f"the counts of {count} cells", _COUNTS * count)
        ledger, part = self._chip().ledger, slice(first, first + count)
        return {}, [torch.stack([getattr(ledger, name)[part] for name in PULSES])]

    def _bye(self, header: dict[str, Any], arrays: list[Tensor]) -> _Reply:
        if self._owner is not None:
            log.info("The board is given back by %r", self._owner.greeting.name)
            self._former.add(self._owner.session)
        self._owner = None
        return {}, []

    def _check_currents(self, rows: int, region: Region) -> None:
        outputs = region.matrix[1]
        self._check_answer(f"{rows} x {outputs} currents", 4 * rows * outputs)

    def _check_answer(self, what: str, size: int) -> None:
        """Refuses what would not fit the answer, before the chip has done anything."""
        assert self._owner is not None
        if size > self._owner.most:
            raise ChipError(
                f"The answer would be {what}, {size} bytes, and {self._owner.most} are allowed",
                where=self.address, cause="more cells or inputs in one request than it holds",
                remedy="Give fewer at a time, as by a smaller batch; or give larger `Limits` to "
                "the board's `Server` and to `RemoteChip`",
            )  # fmt: skip

    def _region(self, header: dict[str, Any]) -> Region:
        first, shape = header["region"]
        for region in self._chip().placement.regions:
            if region.first_cell == first and list(region.shape) == shape:
                return region
        raise ChipError(
            f"There is no region at cell {first!r} of this chip",
            cause="it was placed on another chip",
            remedy="Use the region that this chip's `place` has returned",
        )


_ACTIONS: Mapping[str, Callable[[Server, dict[str, Any], list[Tensor]], _Reply]] = {
    "issue": Server._issue, "outcome_of": Server._outcome_of, "read": Server._read,
    "read_back": Server._read_back, "conducting": Server._conducting, "status": Server._status,
    "multiply": Server._multiply, "convolve": Server._convolve, "ledger": Server._ledger,
    "bye": Server._bye,
}  # fmt: skip


def _complete(outcome: Outcome) -> bool:
    """Whether nothing of a command is left to be given."""
    missed = 0 if outcome.missed is None else len(outcome.missed)
    return outcome.how == "done" or (outcome.how == "read back" and not missed)


def _regions(chip: Chip) -> list[list[Any]]:
    """Of each weight: name, shape, and whether its inputs come first."""
    return [[r.name, list(r.shape), r.inputs_first] for r in chip.placement.regions]
