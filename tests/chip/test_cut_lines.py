"""Lines that are refused, cut or given up: whoever waits is told, and nobody waits for ever."""

import gc
import multiprocessing
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from functools import partial

import pytest
import torch
import zmq
from served import serving, wait_until_free

from secateur.chip import Journal, JournaledChip
from secateur.chip.command import UnansweredError
from secateur.chip.keys import make_keys
from secateur.chip.line import line
from secateur.chip.link import Link
from secateur.chip.remote import RemoteChip
from secateur.chip.server import Server


def within(seconds: float, call):
    """What a call gives or raises; fails where it has not returned in a time."""
    end: Future = Future()

    def to_the_end() -> None:
        try:
            end.set_result(call())
        except Exception as error:
            end.set_exception(error)

    threading.Thread(target=to_the_end, daemon=True).start()
    return end.result(timeout=seconds)


def wait_until_it_takes_nothing(link: Link) -> None:
    while link._socket.poll(0, zmq.POLLOUT):
        time.sleep(0.01)


# --- Refused -------------------------------------------------------------------------------------


def test_a_line_that_was_refused_before_anything_was_said_is_told_of(tmp_path, monkeypatch):
    """On a busy machine the refusal can be there first; such a line takes no message any more."""
    make_keys(tmp_path / "lab")
    make_keys(tmp_path / "other")
    (tmp_path / "other/board.public").write_bytes((tmp_path / "lab/board.public").read_bytes())
    connect = Link._connect

    def connect_and_be_refused(link):
        connect(link)
        assert link._monitor.poll(10_000)
        wait_until_it_takes_nothing(link)

    monkeypatch.setattr(Link, "_connect", connect_and_be_refused)
    with serving(tmp_path / "b", keys=tmp_path / "lab") as server:
        come = partial(RemoteChip, server.address, keys=tmp_path / "other")
        with pytest.raises(UnansweredError, match="does not let this client in"):
            within(30.0, come)


def test_a_client_that_is_locked_out_while_it_works_is_told_so(tmp_path):
    make_keys(tmp_path / "lab")
    shutil.copytree(tmp_path / "lab", tmp_path / "mine")
    with serving(tmp_path / "a", keys=tmp_path / "lab") as server:
        address = server.address
        chip = RemoteChip(address, keys=tmp_path / "mine")
        region = chip.place("w", (3, 4))
        assert chip.read(region, key=1).shape == (3, 4, 2)
    (tmp_path / "lab/client.public").unlink()
    wait_until_free(address)
    with serving(tmp_path / "a", keys=tmp_path / "lab", address=address):
        wait_until_it_takes_nothing(chip._link)
        with pytest.raises(UnansweredError, match="does not let this client in"):
            within(30.0, partial(chip.read, region, key=2))
        with pytest.raises(UnansweredError, match="does not let this client in"):
            within(30.0, chip.close)


# --- Cut -----------------------------------------------------------------------------------------

_CUT = """
import os, socket, threading, zmq
from secateur.chip.line import close, line

door = socket.create_server(("127.0.0.1", 0))
hang_ups = threading.Semaphore(0)

def hang_up():
    while True:
        door.accept()[0].close()
        hang_ups.release()

threading.Thread(target=hang_up, daemon=True).start()
end, monitor = line(zmq.Context.instance())
end.setsockopt(zmq.RECONNECT_IVL, 1)
end.connect("tcp://127.0.0.1:%d" % door.getsockname()[1])
for _ in range(2500):
    assert hang_ups.acquire(timeout=20), "ZeroMQ's own thread stands still"
close(os.getpid(), end, monitor)
print("closed")
"""


def test_a_line_that_is_cut_thousands_of_times_while_nobody_looks_is_closed():
    """With a limit to the events that wait, closing it would stop the whole process."""
    done = subprocess.run([sys.executable, "-c", _CUT], capture_output=True, text=True, timeout=120,
                          check=False)  # fmt: skip
    assert done.stdout == "closed\n", done.stderr


@pytest.mark.parametrize(("where", "when"), [
    ("secateur.chip.link.line", 1), ("secateur.chip.link.Link._heard", 1),
    ("secateur.chip.link.Link._put", 1), ("secateur.chip.link.Link._put", 3),
])  # fmt: skip
def test_all_that_waits_is_answered_though_asking_again_was_interrupted(
    tmp_path, monkeypatch, where, when
):
    """Ctrl-C before there is a line, before the greeting and its answer, between two requests."""
    with serving(tmp_path / "a") as server:
        chip = RemoteChip(server.address, patience=0.5)
        region = chip.place("w", (3, 4))
        at = [region.first_cell, [3, 4]]
        requests = [chip._link.ask("read", region=at, key=key) for key in range(3)]
        thing = line if where.endswith("line") else getattr(Link, where.rpartition(".")[2])
        calls = []

        def interrupted(*args):
            calls.append(args)
            if len(calls) == when:
                raise KeyboardInterrupt
            return thing(*args)

        with monkeypatch.context() as patch:
            patch.setattr(where, interrupted)
            with pytest.raises(KeyboardInterrupt):
                chip._link._greet()
        found = [within(60.0, request.result)[1][0] for request in requests]
        for key, array in enumerate(found):
            assert array.equal(chip.read(region, key=key))
        chip.close()


def test_who_only_looks_is_answered_though_the_request_was_lost_with_its_line(
    tmp_path, monkeypatch
):
    monkeypatch.setattr("secateur.chip.link._TRY", 0.2)
    with serving(tmp_path / "a") as server:
        chip = RemoteChip(server.address)
        region = chip.place("w", (3, 4))
        with monkeypatch.context() as patch:
            patch.setattr(Link, "_put", lambda link, parts: None)
            request = chip._link.ask("read", region=[region.first_cell, [3, 4]], key=1)
    chip._link._patience = 0.3
    until = time.monotonic() + 1.0
    while time.monotonic() < until:
        assert not request.done()
    wait_until_free(server.address)
    with serving(tmp_path / "a", address=server.address):
        until = time.monotonic() + 60.0
        while not request.done():
            assert time.monotonic() < until
            time.sleep(0.01)
        assert request.result()[1][0].equal(chip.read(region, key=1))
        chip.close()


def test_a_chip_that_nobody_has_any_more_lets_go_of_its_line(tmp_path):
    with serving(tmp_path / "a") as server:
        chip = RemoteChip(server.address)
        socket, monitor = chip._link._socket, chip._link._monitor
        del chip
        gc.collect()
        assert socket.closed
        assert monitor.closed


# --- Given up ------------------------------------------------------------------------------------


def hasten(chip: RemoteChip, *, patience: float = 0.2, timeout: float = 0.5) -> None:
    chip._link._patience, chip._link._timeout = patience, timeout


def test_who_has_given_up_may_ask_again_once_the_board_is_back(tmp_path):
    with serving(tmp_path / "a") as server:
        address = server.address
        chip = RemoteChip(address)
        region = chip.place("w", (3, 4))
        before = chip.read(region, key=1)
    hasten(chip)
    for _ in range(2):
        with pytest.raises(UnansweredError, match=r"has not answered for 0\.5 s"):
            chip.read(region, key=1)
    hasten(chip, patience=10.0, timeout=60.0)
    wait_until_free(address)
    with serving(tmp_path / "a", address=address):
        assert chip.read(region, key=1).equal(before)
        chip.close()


@contextmanager
def standing_still(server: Server) -> Iterator[None]:
    """The board does not even say that it is at work."""
    back, read = threading.Event(), server.board.chip.read

    def still(*args, **how):
        with server._reception._lock:
            back.wait(60.0)
        return read(*args, **how)

    server.board.chip.read = still
    try:
        yield
    finally:
        server.board.chip.read = read
        back.set()


def test_who_has_given_up_goes_on_with_the_same_board_once_it_answers(tmp_path):
    """It hears all greetings at once then, also those on lines that were given up, in any order."""
    with serving(tmp_path / "a") as server:
        chip = RemoteChip(server.address)
        region = chip.place("w", (3, 4))
        before, pulses = chip.read(region, key=1), chip.ledger.totals()
        hasten(chip)
        with standing_still(server):
            with pytest.raises(UnansweredError, match="has not answered"):
                chip.read(region, key=1)
            # Nor does one who asks nothing new: it waits for what was asked before.
            with pytest.raises(UnansweredError, match="has not answered"):
                _ = chip.ledger
        hasten(chip, patience=10.0, timeout=60.0)
        assert chip.ledger.totals() == pulses
        assert chip.read(region, key=1).equal(before)
        chip.close()


def test_a_chip_that_was_given_back_says_so_and_can_be_given_back_again(tmp_path):
    with serving(tmp_path / "a") as server:
        chip = RemoteChip(server.address)
        region = chip.place("w", (3, 4))
        chip.close()
        with pytest.raises(UnansweredError, match="was given back"):
            chip.read(region, key=1)
        chip.close()


def test_what_is_under_way_when_a_chip_is_given_back_stays_in_doubt(tmp_path):
    """It may have been carried out, so it is not written down as refused."""
    with serving(tmp_path / "a") as server, Journal(tmp_path / "j") as book:
        chip = RemoteChip(server.address)
        board = JournaledChip(chip, book)
        region = board.place("w", (3, 4))
        with standing_still(server):
            chip._ask("read", region, key=1)
            board.set(torch.arange(9))
            hasten(chip)
            with pytest.raises(UnansweredError, match="has not answered"):
                chip.close()
            with pytest.raises(UnansweredError, match="was given back"):
                board.flush()
        assert [entry.command.kind for entry in book.in_doubt()] == ["set"]


def test_a_chip_is_given_back_though_board_and_keys_are_gone(tmp_path):
    make_keys(tmp_path / "lab")
    with serving(tmp_path / "a", keys=tmp_path / "lab") as server:
        chip = RemoteChip(server.address, keys=tmp_path / "lab")
    shutil.rmtree(tmp_path / "lab")
    hasten(chip)
    chip.close()
    assert chip._link._socket is None


def _refusal_in_a_fork(chip, region, said) -> None:
    chip.close()
    try:
        chip.read(region, key=1)
    except UnansweredError as error:
        said.send(str(error))


def test_a_forked_process_is_told_to_make_its_own_connection(tmp_path):
    """And that it gives the board back is nothing to the process that has it."""
    with serving(tmp_path / "a") as server:
        chip = RemoteChip(server.address)
        region = chip.place("w", (3, 4))
        heard, said = multiprocessing.Pipe(duplex=False)
        fork = multiprocessing.get_context("fork")
        child = fork.Process(target=_refusal_in_a_fork, args=(chip, region, said))
        child.start()
        try:
            assert heard.poll(30)
            assert "forked" in heard.recv()
        finally:
            child.kill()
            child.join()
        assert chip.read(region, key=1).shape == (3, 4, 2)
        chip.close()
