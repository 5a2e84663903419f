"""Workers end with the process that has sent them their work."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from joblib import Parallel, delayed

from secateur.experiment.deaths import tied


def tell_and_wait(place: str) -> None:
    """Leaves its process's number, and works for as long as anybody lets it."""
    (Path(place) / str(os.getpid())).touch()
    time.sleep(600)


def answer(number: int) -> int:
    return number + 1


def is_running(process: int) -> bool:
    # What has ended and was not asked for by its new parent is still listed.
    status = Path(f"/proc/{process}/stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z"


def test_the_workers_of_a_process_that_was_killed_end_too(tmp_path: Path) -> None:
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]);"
        "from joblib import Parallel, delayed;"
        "from secateur.experiment.deaths import tied;"
        "from test_deaths import tell_and_wait;"
        "Parallel(n_jobs=2)(delayed(tied(tell_and_wait))(sys.argv[2]) for _ in range(2))"
    )
    folder = str(Path(__file__).parent)
    sender = subprocess.Popen(
        [sys.executable, "-c", script, folder, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": folder},
    )
    workers: list[int] = []
    while len(workers) < 2:
        assert sender.poll() is None
        time.sleep(0.1)
        workers = [int(file.name) for file in tmp_path.iterdir()]
    assert all(is_running(worker) for worker in workers)
    os.kill(sender.pid, signal.SIGKILL)
    sender.wait()
    # Their sleep is ten minutes.
    for _ in range(1200):
        if not any(is_running(worker) for worker in workers):
            return
        time.sleep(0.1)
    raise AssertionError("a worker has outlived its run")


def test_tied_work_finds_what_it_found_here_and_in_a_worker() -> None:
    assert tied(answer)(3) == 4
    assert Parallel(n_jobs=2)(delayed(tied(answer))(n) for n in range(3)) == [1, 2, 3]
