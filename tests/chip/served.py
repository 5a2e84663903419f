"""A board and its server on a thread, for tests."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from secateur.chip import FixedVoltage, SimulatedChip
from secateur.chip.board import Board
from secateur.chip.server import Server


@contextmanager
def serving(state: Path, *, seed: int = 3, fraction: float = 0.5, **options) -> Iterator[Server]:
    """A half-formed chip behind a wire, at any free port of the loopback."""
    board = Board(
        lambda: SimulatedChip("taox-40nm", seed=seed, forming=FixedVoltage(fraction)), state
    )
    options = {"address": "tcp://127.0.0.1:*", "serial": board.serial, **options}
    server = Server(lambda: board.chip, board, **options)
    server.board = board
    stop = threading.Event()
    thread = threading.Thread(target=server.run, args=(stop,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        stop.set()
        thread.join()
        server.close()
        board.close()
