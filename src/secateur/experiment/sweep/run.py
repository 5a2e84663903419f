"""Carries a sweep out: orders to workers, outcomes to the table, until all has ended."""

import json
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Any

from secateur.errors import FileError, SecateurError
from secateur.experiment.checks import check_outputs
from secateur.experiment.processes import check_alone
from secateur.experiment.record import machine, versions
from secateur.experiment.runner import Silent, Tail, Watch, write_record
from secateur.experiment.sweep.best import best_of, best_toml, ranked
from secateur.experiment.sweep.classes import Classes
from secateur.experiment.sweep.grid import Grid
from secateur.experiment.sweep.plan import Configuration, Plan
from secateur.experiment.sweep.pools import Pool
from secateur.experiment.sweep.source import Source
from secateur.experiment.sweep.table import Table
from secateur.experiment.sweep.versions import COMPARED, versions_here
from secateur.experiment.sweep.work import (
    ABANDONED,
    FAILED,
    FINISHED,
    REFUSED,
    Order,
    Outcome,
    order_of,
)
from secateur.files import write_atomically
from secateur.tasks import task_named

SCHEMA, VERSION = "secateur.sweep-results", 1
# Rounds in which no worker got anything done, one after the other.
_FRUITLESS = 8


def run_sweep(
    plan: Plan, out: Path, *, pool: Pool, data: Path | None = None, resume: bool = False,
    retry_failed: bool = False, command: str = "", watch: Watch | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Runs what of a plan has not ended yet, and writes the directory of the sweep.

    Args:
        plan: what to run; when resuming, the one that `Plan.read` gives.
        out: the directory, seen by all workers; must be new or empty unless resuming.
        pool: where trials run.
        data: where data sets are looked for first, by every worker.
        resume: go on with what the directory holds; nothing that has ended is run again.
        retry_failed: run trials again that have failed.
        command: for the record.
        watch: told how it gets on.

    Returns:
        What `results.json` holds.

    Raises:
        FileError: for a directory with other content, or at which another process works; for data
            that are missing or damaged.
        SettingError: for a network with other classes than its data, and where a launcher has
            started several processes.
        SecateurError: where workers cannot work, or are lost for good, or with them a cluster's
            scheduler; what has finished is kept.
    """
    check_alone(None, boards=False)
    begin, watch, out = time.perf_counter(), watch or Silent(), out.absolute()
    classes = Classes(data)
    for own in plan.recipes_differing_in("task", "network"):
        check_outputs(own, classes.of(own))
    if not resume:
        plan.write(out, command=command)
    if not (out / "token").exists():
        write_atomically(out / "token", secrets.token_hex(8).encode())
    with _locked(out):
        source = _source(plan, out, data=data, pool=pool)
        table = Table(plan, out)
        keeper = _Keeper(plan, out, table, classes, watch)
        watch.begin(source.epochs)
        pool.speak_to(watch.notice)
        try:
            with Tail(out / "metrics.jsonl", watch):
                if resume:
                    for ended in source.resume(retry_failed=retry_failed):
                        keeper.keep(*ended)
                for outcome in _rounds(source, pool):
                    for ended in source.note(outcome):
                        keeper.keep(*ended)
        finally:
            table.write()
            watch.end()
        return _results(plan, out, table, seconds=time.perf_counter() - begin, pool=pool)


def _rounds(source: Source, pool: Pool) -> Iterator[Outcome]:
    """Outcomes until none is missing: what workers took with them is sent again.

    Where a dead worker breaks the whole pool, who began then are run one at a time: the guilty
    one shows itself, and takes no other with it.
    """
    fruitless, broken = 0, False
    while fruitless < _FRUITLESS:
        begun = source.begun()
        alone = broken and bool(begun) and not pool.certain
        orders: Iterator[Order] = iter(begun) if alone else chain(begun, source.fresh())
        first = next(orders, None)
        if first is None:
            return
        some = False
        eager = source.eager and not alone
        for outcome in pool.outcomes(source.work, chain([first], orders), eager=eager, alone=alone):
            if outcome["state"] == REFUSED:
                raise SecateurError(outcome["error"])
            some = True
            yield outcome
        broken, fruitless = True, 0 if some else fruitless + 1
    raise SecateurError(
        f"Workers died {_FRUITLESS} times in a row and got nothing done",
        cause="not enough memory, or machines that go down",
        remedy="Look into the workers' own messages, then go on with --resume",
    )


class _Keeper:
    """Keeps what has ended: in the table, and as records of whole runs."""

    def __init__(self, plan: Plan, out: Path, table: Table, classes: Classes, watch: Watch) -> None:
        self._plan, self._out, self._table, self._watch = plan, out, table, watch
        self._classes = classes
        self._finished: dict[str, dict[int, dict[str, Any]]] = {}

    def keep(self, configuration: Configuration, chip: int, outcome: Outcome) -> None:
        """Takes one trial's ending."""
        self._table.add(configuration, chip, outcome)
        words = {"variant": configuration.words}
        if outcome["state"] != FINISHED:
            about = {"arm": configuration.arm, "chip": chip, "part": "validation", **words}
            self._watch.trial({**about, **outcome})
            return
        result = outcome["result"]
        self._watch.trial({**result, **words})
        finished = self._finished.setdefault(configuration.name, {})
        finished[chip] = result
        if len(finished) == self._plan.recipe.run.chips:
            results = [finished[chip] for chip in sorted(finished)]
            folder, recipe = configuration.folder(self._out), self._plan.recipe_of(configuration)
            write_record(
                results, results, recipe, folder,
                classes=self._classes.of(recipe.for_arm(configuration.arm)),
                command=json.loads((folder / "run.json").read_text())["command"],
                wall_time=sum(result["wall_time_s"] for result in results), processes=1,
            )  # fmt: skip


def _source(plan: Plan, out: Path, *, data: Path | None, pool: Pool) -> Source:
    token = (out / "token").read_text(encoding="utf-8")
    versions = versions_here(COMPARED)
    data = None if data is None else data.absolute()

    def order(configuration: Configuration, chip: int) -> Order:
        return order_of(
            out, configuration.name, configuration.arm, chip, words=configuration.words,
            data=data, token=token, versions=versions,
        )  # fmt: skip

    if plan.kind != "optimise":
        return Grid(plan, out, order)
    from secateur.experiment.sweep.search import Search

    return Search(plan, out, order, workers=pool.workers)


def _results(plan: Plan, out: Path, table: Table, *, seconds: float, pool: Pool) -> dict[str, Any]:
    rows = table.rows
    ranking = ranked(plan, rows)
    best = best_of(ranking)
    if best:
        write_atomically(out / "best.toml", best_toml(plan, best).encode())
    states = [row["state"] for row in rows]
    task = task_named(plan.recipe.task.name)
    titles = {metric.name: metric.title for metric in task.metrics}
    results = {
        **plan.table(), "schema": SCHEMA, "version": VERSION, "title": task.title,
        "metric_title": titles.get(plan.metric, plan.metric), "maximise": plan.maximise,
        "command": json.loads((out / "sweep.json").read_text(encoding="utf-8"))["command"],
        "created": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "wall_time_s": round(seconds, 3), "versions": versions(),
        "machine": machine(threads=plan.recipe.run.threads, processes=pool.workers),
        "states": {state: states.count(state) for state in (FINISHED, FAILED, ABANDONED)},
        "ranking": ranking, "best": best, "rows": rows,
    }  # fmt: skip
    write_atomically(out / "results.json", json.dumps(results, indent=1).encode())
    return results


@contextmanager
def _locked(out: Path) -> Iterator[None]:
    """One process at a sweep: two would count the same trials. A kill lets go of the lock."""
    import fcntl

    with (out / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise FileError(
                "Another process is at this sweep", where=str(out),
                remedy="Wait for it to end, or end it; then resume",
            ) from error  # fmt: skip
        yield
