"""A sweep: every trial once, whatever is killed, and each the same as a run of its own."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tiny import plan

from secateur.errors import FileError, SecateurError
from secateur.experiment.recipe import Recipe
from secateur.experiment.runner import run_experiment
from secateur.experiment.sweep import run_sweep
from secateur.experiment.sweep.pools import LocalPool, Pool
from secateur.experiment.sweep.work import TRIES, begun_in, in_words

OVER = ("search.keep_fraction=0.3,0.7", "training.learning_rate=0.1,1e9")


class HerePool(Pool):
    """Work in this process: what a sweep makes of outcomes needs no other one."""

    workers = 1

    def outcomes(self, work, orders, *, eager, alone):
        yield from map(work, orders)

    def close(self):
        pass


def rows(out: Path) -> list[dict]:
    with (out / "trials.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def state(out: Path) -> dict[str, float]:
    return {str(path): path.stat().st_mtime_ns for path in out.rglob("result.json")}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A sweep of which half of the trials fail, and its directory."""
    out = tmp_path_factory.mktemp("sweeps") / "half"
    return run_sweep(plan(*OVER, settings={"run.chips": 2}), out, pool=HerePool()), out


def test_every_trial_is_a_row_once_and_a_failing_one_stops_no_other(finished):
    results, out = finished
    assert results["states"] == {"finished": 4, "failed": 4, "abandoned": 0}
    found = rows(out)
    assert len(found) == len({(row["run"], row["chip"]) for row in found}) == 8
    for row in found:
        diverges = float(row["training.learning_rate"]) > 1
        assert row["state"] == ("failed" if diverges else "finished")
        assert ("diverged" in row["error"] or "loss became" in row["error"]) == diverges
        assert bool(row["accuracy"]) != diverges


def test_the_table_is_there_as_parquet_with_the_same_figures(finished):
    parquet = pytest.importorskip("pyarrow.parquet")
    results, out = finished
    table = parquet.read_table(out / "trials.parquet").to_pylist()
    assert [row["accuracy"] for row in table] == [row["accuracy"] for row in results["rows"]]
    assert [row["error"] for row in table] == [row["error"] for row in results["rows"]]


def test_a_configuration_is_a_run_directory_like_any_other(finished, tmp_path, monkeypatch):
    """Run by `secateur run`, its recipe gives the figures of the table to the bit."""
    monkeypatch.setattr(os, "cpu_count", lambda: 1)  # In this process: it starts faster.
    results, out = finished
    best = results["best"]["pruned"]
    folder = out / "runs" / best["run"]
    record = json.loads((folder / "record.json").read_text())
    again = run_experiment(Recipe.read(folder / "recipe.toml"), tmp_path / "again")
    for one in (record, again):
        accuracies = [t["validation"]["accuracy"] for t in one["results"][0]["trials"]]
        known = [row["accuracy"] for row in results["rows"] if row["run"] == best["run"]]
        assert accuracies == known


def test_the_best_recipe_can_be_run_and_holds_the_best_settings(finished):
    results, out = finished
    best = Recipe.read(out / "best.toml")
    assert best.run.split == "test"
    own = best.for_arm("pruned")
    finished_rows = [row for row in results["rows"] if row["state"] == "finished"]
    means = {}
    for row in finished_rows:
        means.setdefault(row["search.keep_fraction"], []).append(row["accuracy"])
    assert own.search.keep_fraction == max(means, key=lambda keep: sum(means[keep]))
    assert own.training.learning_rate == 0.1


def test_resumed_nothing_that_has_ended_is_run_again(finished):
    results, out = finished
    before = state(out)
    again = run_sweep(plan(*OVER, settings={"run.chips": 2}), out, pool=HerePool(), resume=True)
    assert state(out) == before
    assert again["rows"] == results["rows"]


def test_failures_are_run_again_where_that_is_asked_for(finished):
    _, out = finished
    errors = {path: path.stat().st_mtime_ns for path in out.rglob("error.json")}
    whole = plan(*OVER, settings={"run.chips": 2})
    run_sweep(whole, out, pool=HerePool(), resume=True, retry_failed=True)
    assert len(errors) == 4
    assert all(path.stat().st_mtime_ns > then for path, then in errors.items())


def test_an_earlier_sweep_is_never_overwritten(finished):
    _, out = finished
    with pytest.raises(FileError, match="--resume"):
        run_sweep(plan(*OVER), out, pool=HerePool())


def test_two_processes_are_never_at_one_sweep(finished):
    import fcntl

    _, out = finished
    with (out / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(FileError, match="Another process"):
            run_sweep(plan(*OVER), out, pool=HerePool(), resume=True)


def test_a_sweep_is_not_launched_many_times(tmp_path, monkeypatch):
    """Each process of a launcher would send orders for the same trials."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(SecateurError, match="without a launcher"):
        run_sweep(plan(*OVER), tmp_path / "sweep", pool=HerePool())
    assert not (tmp_path / "sweep").exists()


def test_a_worker_that_sees_another_directory_or_has_other_versions_is_refused(tmp_path):
    class Elsewhere(HerePool):
        def __init__(self, **change):
            self.change = change

        def outcomes(self, work, orders, *, eager, alone):
            return map(work, ({**order, **self.change} for order in orders))

    pool = Elsewhere(versions={"torch": "0.4", "python": "2.7"})
    with pytest.raises(SecateurError, match=r"torch 0\.4 here and .*environment that runs"):
        run_sweep(plan(*OVER), tmp_path / "a", pool=pool)
    pool = Elsewhere(out=str(tmp_path / "nowhere"))
    with pytest.raises(SecateurError, match="does not see the sweep's directory"):
        run_sweep(plan(*OVER), tmp_path / "b", pool=pool)


def test_a_lost_order_is_sent_again_and_an_answer_that_comes_twice_counts_once(tmp_path):
    class Forgetful(HerePool):
        rounds = 0

        def outcomes(self, work, orders, *, eager, alone):
            self.rounds += 1
            for number, outcome in enumerate(map(work, orders)):
                if self.rounds == 1 and number % 2:
                    continue
                yield outcome
                yield outcome

    pool = Forgetful()
    results = run_sweep(plan(*OVER), tmp_path / "sweep", pool=pool)
    assert pool.rounds == 2
    assert results["states"] == {"finished": 2, "failed": 2, "abandoned": 0}
    assert len(rows(tmp_path / "sweep")) == 4


def test_a_pool_that_gets_nothing_done_is_given_up(tmp_path):
    class Dead(HerePool):
        def outcomes(self, work, orders, *, eager, alone):
            for _ in orders:
                pass
            return iter(())

    with pytest.raises(SecateurError, match="got nothing done"):
        run_sweep(plan(*OVER), tmp_path / "sweep", pool=Dead())


def test_running_out_of_memory_is_told_in_words():
    allocator = RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")
    for error in (MemoryError(), allocator):
        assert "ran out of memory" in in_words(error)
        assert "batch_size" in in_words(error)
    assert in_words(KeyError("x")) == "KeyError: 'x'"


def test_a_trial_over_which_workers_die_without_getting_on_is_given_up(tmp_path):
    """The mark that a worker leaves when it begins stays if it dies; that many are too many."""
    out = tmp_path / "sweep"
    whole = plan("search.keep_fraction=0.3,0.7")

    class Deadly(HerePool):
        """The first configuration's worker dies at once, every time."""

        def outcomes(self, work, orders, *, eager, alone):
            from secateur.experiment.sweep import work as at_work

            for order in orders:
                if order["run"] == "0000-pruned":
                    place = out / "runs" / order["run"] / "trials" / "pruned-chip0-validation"
                    try:
                        at_work._count_try(place, place)
                    except SecateurError:
                        yield work(order)
                    continue
                yield work(order)

    results = run_sweep(whole, out, pool=Deadly())
    assert results["states"] == {"finished": 1, "failed": 1, "abandoned": 0}
    (failed,) = [row for row in results["rows"] if row["state"] == "failed"]
    assert f"{TRIES} workers died over this trial" in failed["error"]
    assert begun_in(out / "runs/0000-pruned/trials/pruned-chip0-validation")


START = (
    "import sys; from secateur.cli.main import run_command_line; sys.argv[0] = 'secateur'; "
    "run_command_line()"
)


def start(*words: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", START, *words], env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip


def test_killed_and_resumed_the_table_is_that_of_an_uninterrupted_sweep(tmp_path):
    over = ("search.keep_fraction=0.3,0.5,0.7", "training.learning_rate=0.05,0.1")
    settings = {"training.epochs": 4}
    whole = run_sweep(plan(*over, settings=settings), tmp_path / "whole", pool=HerePool())
    out = tmp_path / "cut"
    words = ["sweep", "--recipe", str(tmp_path / "whole/recipe.toml"), "--out", str(out)]
    words += [word for text in over for word in ("--over", text)]
    sweep = start(*words, "--jobs", "1")
    deadline = time.monotonic() + 120
    while len(state(out)) < 2 and sweep.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.killpg(sweep.pid, signal.SIGKILL)
    sweep.wait()
    sweep.stderr.close()
    before = state(out)
    assert 2 <= len(before) < 6
    again = run_sweep(plan(*over, settings=settings), out, pool=LocalPool(1), resume=True)
    assert {path: time for path, time in state(out).items() if path in before} == before
    figures = [
        [(row["run"], row["accuracy"], row["loss"], row["set_pulses"]) for row in one["rows"]]
        for one in (whole, again)
    ]
    assert figures[0] == figures[1]
    assert len(figures[0]) == 6
