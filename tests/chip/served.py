"""A board and its server on a thread, for tests."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from secateur.chip import Chip, FixedVoltage, Journal, SimulatedChip
from secateur.chip.board import Board
from secateur.chip.command import RemembersCommands
from secateur.chip.remembering import Remembering
from secateur.chip.server import Server


@contextmanager
def serving(state: Path, *, seed: int = 3, fraction: float = 0.5, **options) -> Iterator[Server]:
    """A half-formed chip behind a wire, at any free port of the loopback."""
    board = Board(
        lambda: SimulatedChip("taox-40nm", seed=seed, forming=FixedVoltage(fraction)), state
    )
    with _running(lambda: board.chip, board, serial=board.serial, **options) as server:
        server.board = board
        yield server
    board.close()


@contextmanager
def serving_driven(chip: Chip, journal: Path, **options) -> Iterator[Server]:
    """A chip that forgets commands, with a memory at its side."""
    with Journal(journal, synchronous="normal") as book:
        memory = Remembering(chip, book)
        with _running(lambda: chip, memory, serial="bench", **options) as server:
            server.memory = memory
            yield server


def wait_until_free(address: str) -> None:
    """ZeroMQ lets go of an address some time after it was told to."""
    while True:
        try:
            socket.create_server(("127.0.0.1", int(address.rpartition(":")[2]))).close()
            return
        except OSError:
            time.sleep(0.01)


@contextmanager
def _running(chip: Callable[[], Chip], memory: RemembersCommands, **options) -> Iterator[Server]:
    server = Server(chip, memory, **{"address": "tcp://127.0.0.1:*", **options})
    stop = threading.Event()
    thread = threading.Thread(target=server.run, args=(stop,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        stop.set()
        thread.join(timeout=60.0)
        assert not thread.is_alive(), "the server hangs"
        server.close()
