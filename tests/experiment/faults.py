"""A run against a served board, both in processes that are killed, with a wire that is cut.

A victim dies at a point (before or after a call of a function that matters) the n-th time it gets
there, by SIGKILL to itself: no clock decides, so that a slow machine tests the same. One that does
not get there dies at a message.
"""

import multiprocessing
import os
import random
import select
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

from secateur.chip import FixedVoltage, SimulatedChip
from secateur.chip import board as board_module
from secateur.chip.board import Board
from secateur.chip.journal import Journal
from secateur.chip.link import Link
from secateur.chip.remote import RemoteChip
from secateur.chip.server import Server
from secateur.experiment import checkpoint
from secateur.experiment.recipe import Recipe
from secateur.experiment.runner import trials_of
from secateur.experiment.training import Trainer
from secateur.experiment.trial import run_trial

_FORK = multiprocessing.get_context("fork")

CLIENT_POINTS = [
    (Journal, "begin"), (Journal, "end"), (Journal, "_write_ends"), (Link, "_send"),
    (Link, "_received"), (Link, "_greet"), (RemoteChip, "issue"), (Trainer, "_step"),
    (checkpoint, "write_tensors"), (checkpoint, "pack"),
]  # fmt: skip
SERVER_POINTS = [
    (Board, "_keep"), (Board, "issue"), (Board, "_loaded"), (Board, "_snapshot"),
    (board_module, "carry_out"), (Server, "_answer"), (Server, "_greet"), (Server, "_serve_one"),
]  # fmt: skip


@dataclass(frozen=True)
class Death:
    """Where a process dies: before or after the n-th call of a function."""

    owner: Any
    name: str
    after: bool
    number: int

    @classmethod
    def drawn(
        cls, points: list[tuple[Any, str]], message: tuple[Any, str], source: random.Random
    ) -> "list[Death]":
        owner, name = source.choice(points)
        return [
            cls(owner, name, source.random() < 0.5, int(2 ** source.uniform(0.0, 5.0))),
            cls(*message, source.random() < 0.5, source.randint(20, 60)),
        ]

    def arrange(self) -> None:
        """In the process that is to die."""
        original: Callable[..., Any] = getattr(self.owner, self.name)
        calls = 0

        def deadly(*args: Any, **more: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == self.number and not self.after:
                os.kill(os.getpid(), signal.SIGKILL)
            result = original(*args, **more)
            if calls == self.number and self.after:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        setattr(self.owner, self.name, deadly)


@dataclass
class Counts:
    """What has happened to a run."""

    client: int = 0
    server: int = 0
    cuts: int = 0
    points: set[str] = field(default_factory=set)

    @property
    def all(self) -> int:
        return self.client + self.server + self.cuts


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def make_chip() -> SimulatedChip:
    return SimulatedChip("taox-40nm", seed=5, forming=FixedVoltage())


def serve(state: Path, port: int, deaths: list[Death]) -> None:
    for death in deaths:
        death.arrange()
    board_module._COMPACT = 13
    board = Board(make_chip, state)
    address = f"tcp://127.0.0.1:{port}"
    Server(lambda: board.chip, board, serial=board.serial, address=address).run()


def take_part(recipe: Recipe, folder: Path, deaths: list[Death]) -> None:
    for death in deaths:
        death.arrange()
    (trial,) = trials_of(recipe)
    run_trial(trial, recipe, folder, data=None, report=lambda line: None)


def carry(port: int, behind: int, cuts: Any, budgets: list[int]) -> None:
    """A wire that is cut, in the middle of a message as like as not, after so many bytes each."""
    listener = socket.create_server(("127.0.0.1", port), backlog=16)
    left, holds = None, False
    while True:
        near, _ = listener.accept()
        try:
            far = socket.create_connection(("127.0.0.1", behind), timeout=5)
        except OSError:
            near.close()
            continue
        # What follows a cut holds, so that the run gets on; a cut forestalled is left over.
        if left is None and budgets and not holds:
            left = budgets.pop()
        ends = {near: far, far: near}
        while ends:
            for end in select.select(list(ends), [], [])[0]:
                try:
                    data = end.recv(1 << 16)
                    if left is not None:
                        data = data[: max(left, 0)]
                        left -= len(data)
                    if data:
                        ends[end].sendall(data)
                except OSError:
                    data = b""
                if not data or left == 0:
                    holds = left == 0
                    if holds:
                        cuts.value, left = cuts.value + 1, None
                    ends = {}
                    break
        near.close()
        far.close()


def endure(
    recipe: Recipe, folder: Path, state: Path, *, events: int, seed: int, seconds: float
) -> Counts:
    """Carries a run through to its end, however often it is killed or cut on the way.

    Fails where the run has not ended in so many seconds.
    """
    end = time.monotonic() + seconds
    source, counts = random.Random(seed), Counts()
    port, behind = free_port(), free_port()
    recipe = recipe.with_settings({"chip.address": f"tcp://127.0.0.1:{port}"})
    cuts = _FORK.Value("i", 0)
    budgets = [int(2 ** source.uniform(8.0, 17.0)) for _ in range(events // 3)]
    wire = _FORK.Process(target=carry, args=(port, behind, cuts, budgets), daemon=True)

    def server() -> Any:
        deaths = Death.drawn(SERVER_POINTS, (Server, "_serve_one"), source)
        return started(serve, (state, behind), deaths if counts.server < events // 3 else [])

    def client() -> Any:
        deaths = Death.drawn(CLIENT_POINTS, (Link, "_send"), source)
        return started(take_part, (recipe, folder), deaths if counts.client < events // 3 else [])

    def started(target: Callable[..., None], args: tuple[Any, ...], deaths: list[Death]) -> Any:
        for death in deaths[:1]:
            counts.points.add(f"{death.name}, {'after' if death.after else 'before'}")
        process = _FORK.Process(target=target, args=(*args, deaths), daemon=True)
        process.start()
        return process

    wire.start()
    board, user = server(), client()
    try:
        while True:
            wait([board.sentinel, user.sentinel, wire.sentinel], max(end - time.monotonic(), 0.0))
            assert time.monotonic() < end, f"no end in {seconds} s, after {counts}"
            assert wire.is_alive(), "the wire itself is broken"
            if not user.is_alive():
                user.join()
                if user.exitcode == 0:
                    counts.cuts = cuts.value
                    return counts
                assert user.exitcode == -signal.SIGKILL, f"the client failed: {user.exitcode}"
                counts.client += 1
                user = client()
            if not board.is_alive():
                board.join()
                assert board.exitcode == -signal.SIGKILL, f"the server failed: {board.exitcode}"
                counts.server += 1
                board = server()
    finally:
        for process in (user, board, wire):
            process.kill()
            process.join()
