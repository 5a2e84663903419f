"""A board that takes its time says so: it is waited for, and asked once; a dead one is given up."""

import threading
import time

import pytest
import torch
from served import serving

from secateur.chip import Journal, JournaledChip
from secateur.chip.keys import make_keys
from secateur.chip.remote import RemoteChip
from secateur.errors import ChipError

# Of a user that is far less patient than the board is slow.
HASTE = {"patience": 0.4, "timeout": 0.6}
SLOW = 1.2


def slowed(server, monkeypatch, name: str) -> list[float]:
    """Makes a method of the board's chip slow; when it was called."""
    calls, quick = [], getattr(server.board.chip, name)

    def slow(*args, **how):
        calls.append(time.monotonic())
        time.sleep(SLOW)
        return quick(*args, **how)

    monkeypatch.setattr(server.board.chip, name, slow)
    return calls


def test_a_slow_command_is_waited_for_and_asked_once(tmp_path, monkeypatch):
    with serving(tmp_path / "b", beat=0.05) as server:
        remote = RemoteChip(server.address, owner="run", **HASTE)
        chip = JournaledChip(remote, Journal(tmp_path / "j.sqlite"))
        region = chip.place("w", (4, 5))
        session = remote._link._session
        calls = slowed(server, monkeypatch, "reset")
        reads = slowed(server, monkeypatch, "read")
        chip.reset(torch.arange(9))
        assert chip.read(region, key=1).shape == (4, 5, 2)
        assert (len(calls), len(reads)) == (1, 1)
        assert remote._link._session == session
        assert chip.ledger.totals()["reset"] == 9
        chip.close()


@pytest.mark.parametrize("with_keys", [False, True])
def test_who_comes_while_the_board_is_at_work_is_let_in_and_waits(tmp_path, monkeypatch, with_keys):
    """As the same run does when it has been killed and is started again."""
    keys = tmp_path / "keys" if with_keys else None
    if keys:
        make_keys(keys)
    with serving(tmp_path / "b", beat=0.05, keys=keys) as server:
        who = {"token": "of this run and no other", "keys": keys}
        first = RemoteChip(server.address, **who, patience=1.0, timeout=2.0)
        region = first.place("w", (4, 5))
        calls = slowed(server, monkeypatch, "read")
        first._ask("read", region, key=1)
        while not calls:
            time.sleep(0.01)
        second = RemoteChip(server.address, **who, **HASTE)
        assert time.monotonic() - calls[0] > 0.8 * SLOW
        assert second.placement.cells == 40
        second.close()


@pytest.mark.parametrize("last_words", [0.0, 1.0])
def test_a_board_that_dies_at_work_is_given_up_in_time(tmp_path, monkeypatch, last_words):
    """Its process stands still: what it has said before is no reason to wait for ever."""
    with serving(tmp_path / "b", beat=0.05) as server:
        chip = RemoteChip(server.address, owner="run", **HASTE)
        region = chip.place("w", (4, 5))
        died, given_up = [], threading.Event()

        def deadly(*args, **how):
            time.sleep(last_words)
            with server._reception._lock:
                died.append(time.monotonic())
                given_up.wait(20.0)
            raise ChipError("It was never given up")

        monkeypatch.setattr(server.board.chip, "read", deadly)
        with pytest.raises(ChipError, match="has not answered"):
            chip.read(region, key=1)
        assert time.monotonic() - died[0] < 10.0
        given_up.set()
        chip._link._drop()


def test_only_who_waits_is_told(tmp_path, monkeypatch):
    """No word is left over for the next request of one that has had its answer."""
    with serving(tmp_path / "b", beat=0.05) as server:
        chip = RemoteChip(server.address, owner="run")
        region = chip.place("w", (4, 5))
        slowed(server, monkeypatch, "read")
        chip.read(region, key=1)
        time.sleep(0.2)
        assert not chip._link._socket.poll(0)
        chip.close()
