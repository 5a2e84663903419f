"""Real workers, killed at random: no trial is lost, and none is counted twice.

The cluster is one of processes on loopback, with Dask's own nannies that start dead workers again.
"""

import os
import random
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import tiny
from test_sweep_run import HerePool
from tiny import plan

from secateur.errors import SettingError
from secateur.experiment.sweep import run_sweep
from secateur.experiment.sweep.grid import Grid
from secateur.experiment.sweep.pools import DaskPool, LocalPool, RayPool, pool_of
from secateur.experiment.sweep.versions import COMPARED, versions_here
from secateur.experiment.sweep.work import TRIES

distributed = pytest.importorskip("distributed")
OVER = ("search.keep_fraction=0.3,0.7", "training.learning_rate=0.05,0.1")
LONGER = ("search.keep_fraction=0.2,0.3,0.5,0.7", "training.learning_rate=0.02,0.05,0.1,0.2")


@contextmanager
def cluster(**settings) -> Iterator["distributed.LocalCluster"]:
    usual = {
        "n_workers": 2, "threads_per_worker": 1, "processes": True, "protocol": "tcp",
        "host": "127.0.0.1", "dashboard_address": None, "silence_logs": 50,
    }  # fmt: skip
    with distributed.LocalCluster(**{**usual, **settings}) as made:
        yield made


@contextmanager
def killing(find: Callable[[], list[int]], out: Path, after: range) -> Iterator[list[int]]:
    """Ends one worker at random whenever a sweep has gone through so many epochs.

    By the sweep's own progress, not by the clock: a fast machine has no less to survive, and on a
    slow one no trial is killed again and again before its first epoch ends.
    """
    over, killed, chance = threading.Event(), [], random.Random(0)
    told = out / "metrics.jsonl"

    def kill() -> None:
        for epochs in after:
            while not told.exists() or told.read_bytes().count(b"\n") < epochs:
                if over.wait(0.01):
                    return
            while not (found := [pid for pid in find() if pid not in killed]):
                if over.wait(0.01):
                    return
            victim = chance.choice(found)
            os.kill(victim, signal.SIGKILL)
            killed.append(victim)

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        yield killed
    finally:
        over.set()
        thread.join()


def local_workers() -> list[int]:
    """The pool's processes among the children of this one."""
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    lines = {int(pid): Path(f"/proc/{pid}/cmdline").read_bytes() for pid in children}
    return [pid for pid, line in lines.items() if b"popen_loky_posix" in line]


def check(results: dict, out: Path, number: int) -> None:
    """Every trial ended, is there once, and its figures are those of its own result."""
    rows = results["rows"]
    assert results["states"] == {"finished": number, "failed": 0, "abandoned": 0}
    assert len(rows) == len({(row["run"], row["chip"]) for row in rows}) == number
    assert len(list(out.rglob("result.json"))) == len(list(out.rglob("record.json"))) == number


def figures(results: dict) -> list[tuple]:
    # A trial that has failed has none of its own.
    names = ("run", "chip", "accuracy", "loss", "set_pulses")
    return [tuple(row.get(name) for name in names) for row in results["rows"]]


@pytest.fixture(scope="module")
def calm(tmp_path_factory) -> dict:
    """What comes out where nobody is killed."""
    return run_sweep(plan(*OVER), tmp_path_factory.mktemp("calm") / "sweep", pool=HerePool())


def test_dask_workers_killed_at_random_lose_no_trial_and_count_none_twice(tmp_path, calm):
    with cluster() as made:
        pool = DaskPool(made.scheduler_address, versions=versions_here(COMPARED))

        def workers() -> list[int]:
            return [worker.pid for worker in made.workers.values() if worker.pid]

        with killing(workers, tmp_path / "sweep", range(1, 5, 3)) as killed:
            results = run_sweep(plan(*OVER), tmp_path / "sweep", pool=pool)
        pool.close()
    assert len(killed) == 2
    check(results, tmp_path / "sweep", 4)
    assert figures(results) == figures(calm)


@pytest.mark.slow
def test_dask_workers_killed_all_the_time_lose_no_trial_and_count_none_twice(tmp_path):
    whole = plan(*LONGER, settings={"run.chips": 2, "training.epochs": 8})
    quiet = run_sweep(whole, tmp_path / "quiet", pool=LocalPool(2))
    with cluster() as made:
        pool = DaskPool(made.scheduler_address, versions=versions_here(COMPARED))

        def workers() -> list[int]:
            return [worker.pid for worker in made.workers.values() if worker.pid]

        with killing(workers, tmp_path / "sweep", range(20, 221, 20)) as killed:
            results = run_sweep(whole, tmp_path / "sweep", pool=pool)
        pool.close()
    assert len(killed) == 11
    assert results["states"] == {"finished": 32, "failed": 0, "abandoned": 0}
    assert figures(results) == figures(quiet)


@pytest.mark.slow
def test_local_workers_killed_at_random_lose_no_trial_and_count_none_twice(tmp_path, calm):
    with killing(local_workers, tmp_path / "sweep", range(1, 5, 3)) as killed:
        results = run_sweep(plan(*OVER), tmp_path / "sweep", pool=LocalPool(2))
    assert len(killed) == 2
    check(results, tmp_path / "sweep", 4)
    assert figures(results) == figures(calm)


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["local", "dask"])
def test_a_trial_that_ends_every_worker_is_recorded_and_takes_no_other_with_it(
    tmp_path, monkeypatch, calm, backend
):
    monkeypatch.setattr(Grid, "work", property(lambda self: tiny.deadly))
    with cluster() as made:
        versions = versions_here(COMPARED)
        pool = pool_of(
            backend, scheduler=made.scheduler_address if backend == "dask" else None,
            processes=2, versions=versions,
        )  # fmt: skip
        results = run_sweep(plan(*OVER), tmp_path / "sweep", pool=pool)
        pool.close()
    assert results["states"] == {"finished": 3, "failed": 1, "abandoned": 0}
    (failed,) = [row for row in results["rows"] if row["state"] == "failed"]
    assert failed["run"] == tiny.DEADLY
    assert f"{TRIES} workers died" in failed["error"]
    assert "memory" in failed["error"]
    kept = [one for one in figures(calm) if one[0] != tiny.DEADLY]
    assert [one for one in figures(results) if one[0] != tiny.DEADLY] == kept


def test_an_unreachable_scheduler_is_refused_in_a_moment():
    with pytest.raises(SettingError, match=r"No Dask scheduler answers at tcp://127.0.0.1:9"):
        DaskPool("tcp://127.0.0.1:9", versions={}, timeout=0.5)
    with pytest.raises(SettingError, match="No Dask scheduler answers"):
        DaskPool("nonsense://127.0.0.1:9", versions={}, timeout=0.5)


def test_a_cluster_that_cannot_take_part_is_refused(monkeypatch):
    versions = versions_here(COMPARED)
    with (
        cluster(n_workers=0, processes=False) as made,
        pytest.raises(SettingError, match=r"has no worker after 0\.3 s"),
    ):
        DaskPool(made.scheduler_address, versions=versions, timeout=0.3)
    with (
        cluster(n_workers=1, threads_per_worker=3, processes=False) as made,
        pytest.raises(SettingError, match=r"has 3 threads.*--nthreads 1"),
    ):
        DaskPool(made.scheduler_address, versions=versions)
    with cluster(n_workers=1, processes=False) as made:
        told = distributed.Client.get_versions

        def other(client, *arguments, **settings):
            """As if the worker had been started before an upgrade."""
            found = told(client, *arguments, **settings)
            for worker in found["workers"].values():
                worker["packages"] = {**worker["packages"], "numpy": "1.0.0"}
            return found

        monkeypatch.setattr(distributed.Client, "get_versions", other)
        with pytest.raises(SettingError, match=r"numpy \S+ here and 1\.0\.0 there"):
            DaskPool(made.scheduler_address, versions=versions)


@pytest.mark.parametrize(
    ("backend", "scheduler", "message"),
    [
        ("dask", None, "does not say where the cluster is"),
        ("local", "tcp://127.0.0.1:8786", "no cluster is asked for"),
        ("slurm", None, "Give local, dask or ray"),
    ],
)
def test_a_back_end_that_cannot_be_is_refused(backend, scheduler, message):
    with pytest.raises(SettingError, match=message):
        pool_of(backend, scheduler=scheduler, processes=1, versions={})
    with pytest.raises(SettingError, match="runs nothing"):
        pool_of("local", scheduler=None, processes=0, versions={})


def test_without_ray_its_back_end_says_so(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(SettingError, match=r"Ray is not installed.*pip install ray"):
        RayPool(None)


@pytest.mark.slow
def test_ray_runs_a_sweep_where_it_is_installed(tmp_path, calm):
    pytest.importorskip("ray", reason="ray is not installed")
    pool = pool_of("ray", scheduler=None, processes=1, versions={})
    results = run_sweep(plan(*OVER), tmp_path / "sweep", pool=pool)
    pool.close()
    check(results, tmp_path / "sweep", 4)
    assert figures(results) == figures(calm)
