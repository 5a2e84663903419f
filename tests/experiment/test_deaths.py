"""Workers end with the process that has sent them their work."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from joblib import Parallel, delayed

from secateur.experiment.deaths import tied

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/stat").exists(), reason="processes are looked up in /proc"
)
FOLDER = Path(__file__).parent
SCRIPT = """
import sys
sys.path.insert(0, sys.argv[1])
from joblib import Parallel, delayed
from secateur.experiment.deaths import tied
from test_deaths import Slow
work = Slow(float(sys.argv[3]))
Parallel(n_jobs=2)(delayed(tied(work))(sys.argv[2]) for _ in range(2))
"""


class Slow:
    """Work for as long as anybody lets it, that takes its time to be unpacked."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def __setstate__(self, state: dict) -> None:
        (Path(sys.argv[2] if len(sys.argv) > 2 else os.environ["TOLD"]) / f"{os.getpid()}").touch()
        vars(self).update(state)
        time.sleep(self.seconds)

    def __call__(self, place: str) -> None:
        """Sleeps."""
        (Path(place) / f"{os.getpid()}").touch()
        time.sleep(600)


def answer(number: int) -> int:
    return number + 1


def is_running(process: int) -> bool:
    # What has ended and was not asked for by its new parent is still listed.
    status = Path(f"/proc/{process}/stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z"


def children_of(process: int) -> set[int]:
    found = set()
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if int(status.read_text().rpartition(")")[2].split()[1]) == process:
                found.add(int(status.parent.name))
    return found


def wait_until(holds: Callable[[], bool], *, seconds: float = 120.0) -> bool:
    end = time.monotonic() + seconds
    while not holds() and time.monotonic() < end:
        time.sleep(0.1)
    return holds()


def assert_they_end_with(sender: subprocess.Popen, workers: Iterable[int]) -> None:
    """Kills the sender alone; its workers have ten minutes of work left."""
    held = list(workers)
    try:
        assert held
        assert all(is_running(worker) for worker in held)
        os.kill(sender.pid, signal.SIGKILL)
        sender.wait()
        assert wait_until(lambda: not any(map(is_running, held))), "a worker has outlived its run"
    finally:
        for worker in filter(is_running, held):
            os.kill(worker, signal.SIGKILL)


@pytest.mark.parametrize("starting", [0.0, 5.0])
def test_the_workers_of_a_process_that_was_killed_end_too(tmp_path: Path, starting: float) -> None:
    """Also where it was killed while they were still starting."""
    sender = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(FOLDER), str(tmp_path), str(starting)],
        env={**os.environ, "PYTHONPATH": str(FOLDER), "TOLD": str(tmp_path)},
    )

    def workers() -> list[int]:
        return [int(file.name) for file in tmp_path.iterdir()]

    assert wait_until(lambda: len(workers()) == 2 or sender.poll() is not None)
    assert_they_end_with(sender, workers())


def test_so_do_those_of_a_run(tmp_path: Path) -> None:
    command = ["run", "digits", "--arm", "pruned", "--chips", "2", "--epochs", "100000"]
    sender = subprocess.Popen(
        [sys.executable, "-m", "secateur", *command, "--out", str(tmp_path / "run")],
        env={**os.environ, "OMP_NUM_THREADS": "1"}, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    told = tmp_path / "run/metrics.jsonl"
    assert wait_until(lambda: told.exists() and len(told.read_text().splitlines()) > 4)
    # Of joblib's own helpers one tracks what is to be cleaned up, which takes it a little longer.
    workers = [n for n in children_of(sender.pid) if "popen_loky" in _command(n)]
    assert_they_end_with(sender, workers)


def _command(process: int) -> str:
    return Path(f"/proc/{process}/cmdline").read_text().replace("\0", " ")


def test_tied_work_finds_what_it_found_here_and_in_a_worker() -> None:
    assert tied(answer)(3) == 4
    assert Parallel(n_jobs=2)(delayed(tied(answer))(n) for n in range(3)) == [1, 2, 3]
