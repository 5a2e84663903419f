"""Parts side by side in forks: their answers in order, their failures here, their memory shared."""

import multiprocessing
import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from secateur.errors import SecateurError, SettingError
from secateur.experiment.forks import can_fork, forked, started

linux = pytest.mark.skipif(sys.platform != "linux", reason="no other system forks safely")


def squared(part: int) -> tuple[int, int]:
    """The later, the sooner."""
    time.sleep(0.02 * (5 - part))
    return part**2, os.getpid()


def refusing(part: int) -> int:
    if part == 2:
        raise SettingError("Two is one too many", remedy="Give one")
    return part


def ended(part: int) -> int:
    """As the system ends a process where memory is short."""
    if part == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(30.0)
    return part


@linux
@pytest.mark.parametrize("at_once", [1, 2, 9])
def test_answers_come_in_the_order_of_the_parts_each_from_a_process_of_its_own(at_once):
    answers = forked(squared, range(5), at_once=at_once, remedy="")
    assert [answer for answer, _ in answers] == [0, 1, 4, 9, 16]
    assert len({process for _, process in answers} | {os.getpid()}) == 6


@linux
def test_no_more_are_there_at_a_time_than_asked_for():
    def times(part: int) -> tuple[float, float]:
        begin = time.monotonic()
        time.sleep(0.05)
        return begin, time.monotonic()

    spans = forked(times, range(6), at_once=2, remedy="")
    assert max(sum(a <= begin < b for a, b in spans) for begin, _ in spans) <= 2


@linux
def test_what_a_part_raises_is_raised_here_with_its_remedy():
    with pytest.raises(SettingError) as refusal:
        forked(refusing, range(3), at_once=2, remedy="")
    assert str(refusal.value) == "Two is one too many. Give one."


@linux
def test_a_fork_that_the_system_ends_is_told_and_the_others_do_not_outlive_it():
    begin, before = time.monotonic(), {*multiprocessing.active_children()}
    with pytest.raises(SecateurError, match=r"ended by the system.*memory.*Give fewer"):
        forked(ended, range(2), at_once=2, remedy="Give fewer")
    assert time.monotonic() - begin < 20.0
    # Those of other tests may have ended meanwhile.
    assert {*multiprocessing.active_children()} <= before


def test_started_workers_say_the_same():
    with pytest.raises(SecateurError, match=r"ended by the system.*memory.*Give fewer"):
        started(ended, range(2), at_once=2, remedy="Give fewer")


@linux
def test_what_has_been_read_is_shared_and_not_copied():
    read = bytearray(os.urandom(1 << 20)) * 200

    def own_pages(part: int) -> tuple[int, int]:
        """What a fork that reads a tenth of it takes for itself, in bytes."""
        seen = sum(read[part :: 1 << 16])
        lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
        private = sum(int(line.split()[1]) for line in lines if line.startswith("Private_"))
        return private * 1024, seen

    for private, seen in forked(own_pages, range(2), at_once=2, remedy=""):
        assert private < len(read) / 4
        assert seen > 0


def test_there_is_no_fork_where_another_thread_may_hold_a_lock_or_openmp_has_some():
    assert not can_fork(threads=2)
    over = threading.Event()
    other = threading.Thread(target=over.wait)
    other.start()
    try:
        assert not can_fork(threads=1)
    finally:
        over.set()
        other.join()


def left_early(part: int) -> int:
    os._exit(3)


@linux
def test_a_fork_that_ends_otherwise_is_not_said_to_lack_memory():
    with pytest.raises(SecateurError, match="exit code 3") as refusal:
        forked(left_early, range(1), at_once=1, remedy="")
    assert "memory" not in str(refusal.value)
