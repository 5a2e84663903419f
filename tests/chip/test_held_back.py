"""A server that was started again holds back what its predecessor would have held back."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest
import torch
from boards import FalteringBoard, ForgetfulBoard
from served import serving, serving_driven, wait_until_free

from secateur.chip import Command, Journal, JournaledChip
from secateur.chip.command import Answer, UnansweredError
from secateur.chip.remote import RemoteChip
from secateur.chip.wire import Limits
from secateur.errors import ChipError, FileError

CELLS = torch.arange(60)


class Bench:
    """A board behind a server that can be started again, and the board's user."""

    def __init__(self, serve, stack: ExitStack) -> None:
        self._serve, self._stack = serve, stack
        self._server = ExitStack()
        self.server = self._server.enter_context(serve("tcp://127.0.0.1:*"))
        self.chip = RemoteChip(self.server.address, patience=0.5, timeout=20.0)
        stack.callback(self._server.close)
        self.chip.place("weight", (5, 6))

    def restart(self) -> None:
        address = self.server.address
        self._server.close()
        wait_until_free(address)
        self.server = self._server.enter_context(self._serve(address))


@contextmanager
def bench(serve) -> Iterator[Bench]:
    with ExitStack() as stack:
        yield Bench(serve, stack)


def answered(answer: Answer) -> Answer:
    """Its answer is there, and nobody has looked at it."""
    until = time.monotonic() + 20.0
    while not answer.done():
        assert time.monotonic() < until
    return answer


def test_what_was_sent_before_a_failure_was_known_stays_held_back(tmp_path):
    """Failed on the one server, sent to the next; and so what was sent behind that."""
    board = FalteringBoard(seed=1)

    def serve(address: str):
        return serving_driven(board, tmp_path / "s", address=address)

    with bench(serve) as found:
        # What was not reached is then read as missed.
        found.chip.issue("0", Command("reset", CELLS)).result()
        failed = answered(found.chip.issue("a", Command("set", CELLS)))
        found.restart()
        before = board.true.ledger.totals()
        for identity in ("b", "c"):
            held = answered(found.chip.issue(identity, Command("reset", CELLS)))
            found.restart()
        with pytest.raises(UnansweredError, match="sent before it has failed"):
            held.result()
        assert board.true.ledger.totals() == before
        with pytest.raises(ChipError, match="does not answer"):
            failed.result()
        # Who knows is served.
        assert found.chip.issue("d", Command("reset", CELLS)).result().how == "done"
        assert board.true.ledger.totals()["reset"] == 120


@pytest.mark.parametrize("restarted", [False, True])
def test_so_it_is_with_what_was_refused(tmp_path, restarted):
    def serve(address: str):
        return serving(tmp_path / "b", address=address)

    with bench(serve) as found:
        refused = answered(found.chip.issue("a", Command("set", CELLS + 1000)))
        if restarted:
            found.restart()
        with pytest.raises(UnansweredError, match="sent before it has failed"):
            found.chip.issue("b", Command("reset", CELLS)).result()
        with pytest.raises(ChipError, match="1059"):
            refused.result()
        assert found.server.board.chip.ledger.totals()["reset"] == 0


def test_so_it_is_with_what_was_too_large(tmp_path):
    def serve(address: str):
        return serving(tmp_path / "b", address=address, limits=Limits(array=1024))

    with bench(serve) as found:
        refused = answered(found.chip.issue("a", Command("set", torch.arange(90))))
        with pytest.raises(UnansweredError, match="sent before it has failed"):
            found.chip.issue("b", Command("reset", CELLS[:9])).result()
        with pytest.raises(ChipError, match="The answer would be"):
            refused.result()


@pytest.mark.parametrize("driven", [False, True])
def test_what_was_done_before_holds_nothing_back(tmp_path, driven):
    board = ForgetfulBoard(seed=1)

    def serve(address: str):
        if driven:
            return serving_driven(board, tmp_path / "s", address=address)
        return serving(tmp_path / "b", address=address)

    with bench(serve) as found:
        first = answered(found.chip.issue("a", Command("set", CELLS)))
        found.restart()
        assert found.chip.issue("b", Command("reset", CELLS)).result().how == "done"
        assert first.result().how == "done"


def test_the_rest_comes_before_what_was_held_back(tmp_path):
    """With a journal: the failed command is finished by the next process, in its turn."""
    board = FalteringBoard(seed=1)

    def serve(address: str):
        return serving_driven(board, tmp_path / "s", address=address)

    def program(chip: JournaledChip, between) -> None:
        chip.place("more", (2, 2))
        chip.reset(CELLS)
        chip.flush()
        chip.set(CELLS)
        between(chip)
        chip.reset(CELLS[::4])
        chip.flush()

    with bench(serve) as found:
        first = JournaledChip(found.chip, Journal(tmp_path / "j"))

        def failing(chip: JournaledChip) -> None:
            ((identity, answer),) = chip._under_way._sent
            answered(answer)
            # As one who sends before looking: the answer is there, and nobody has been told.
            chip._under_way._sent.clear()
            found.restart()
            held = found.chip.issue(identity[:-1] + "3", Command("reset", CELLS[::4]))
            with pytest.raises(UnansweredError):
                held.result()
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            program(first, failing)
        first._journal.close()
        second = JournaledChip(found.chip, Journal(tmp_path / "j"))
        program(second, lambda chip: None)
        low = board.true.status(board.placement.regions[0]).view(-1) == board.LOW
        assert set(CELLS[::4].tolist()) == set(low.nonzero().view(-1).tolist())
        second.close()


def test_what_was_read_back_and_is_complete_holds_nothing_back(tmp_path):
    """All its pulses were given, and the server ended before it could write so."""
    board = ForgetfulBoard(seed=1)

    def serve(address: str):
        return serving_driven(board, tmp_path / "s", address=address)

    with bench(serve) as found:
        found.chip.issue("a", Command("reset", CELLS)).result()
        book = found.server.memory.journal
        end = book.end

        def unwritten(identity, outcome, **how):
            raise FileError("The disk is full")

        book.end = unwritten
        first = answered(found.chip.issue("b", Command("set", CELLS)))
        book.end = end
        found.restart()
        assert found.chip.issue("c", Command("reset", CELLS[:9])).result().how == "done"
        with pytest.raises(UnansweredError, match="could not be written"):
            first.result()
