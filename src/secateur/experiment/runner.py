"""A run: all its trials, in parallel processes, resumable at any moment."""

import json
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from joblib import Parallel, delayed

from secateur.errors import SecateurError
from secateur.experiment.anatomy import agreements
from secateur.experiment.arms import ARMS, Arm
from secateur.experiment.boards import check_boards
from secateur.experiment.checks import check_network, check_outputs, check_settings
from secateur.experiment.deaths import AGAIN, deaths_explained, left_early, tied
from secateur.experiment.directory import begun_run, check_directory
from secateur.experiment.maps import save_arrays
from secateur.experiment.processes import Processes, check_alone
from secateur.experiment.recipe import Recipe
from secateur.experiment.record import record_of
from secateur.experiment.setting import Part, Trial, trained_in
from secateur.experiment.trackers import check_tracker
from secateur.experiment.training import check_batch
from secateur.experiment.trial import run_trial
from secateur.files import write_atomically
from secateur.tasks import task_named


class Watch(Protocol):
    """Told how a run gets on."""

    def begin(self, total_epochs: int) -> None:
        """The run starts; so many epochs over all its trials."""

    def epoch(self, line: dict[str, Any]) -> None:
        """An epoch has ended: one line of `metrics.jsonl`."""

    def trial(self, result: dict[str, Any]) -> None:
        """A trial has ended."""

    def notice(self, words: str) -> None:
        """Something holds it up, or no longer does: a sentence or two."""

    def end(self) -> None:
        """The run has ended, well or not."""


class Silent:
    """A watch that says nothing."""

    def begin(self, total_epochs: int) -> None:
        """Nothing."""

    def epoch(self, line: dict[str, Any]) -> None:
        """Nothing."""

    def trial(self, result: dict[str, Any]) -> None:
        """Nothing."""

    def notice(self, words: str) -> None:
        """Nothing."""

    def end(self) -> None:
        """Nothing."""


def trials_of(recipe: Recipe) -> list[Trial]:
    """All trials of a recipe: arms x variants x chips x parts."""
    split = recipe.run.split
    parts: tuple[Part, ...] = ("validation", "test") if split == "both" else (split,)
    names = dict.fromkeys(recipe.run.arms)
    return [
        Trial(arm, variant, overrides, chip, part)
        for arm in sorted(names, key=list(ARMS).index)
        for variant, overrides in _variants(recipe)
        for chip in range(recipe.run.chips)
        for part in parts
    ]


def run_experiment(
    recipe: Recipe, out: Path, *, data: Path | None = None, resume: bool = False,
    command: str = "", watch: Watch | None = None, together: Processes | None = None,
    track: str | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Runs every trial of a recipe and writes the run directory; returns the record.

    Trials run in as many processes as the machine has cores for, at `run.threads` each. Where a
    launcher has started several processes, all of them call this and train one trial after the
    other together; the leading one writes. Variants of a setting that an arm does not heed are one
    trial, which stands for all; trials that train the same model, as `programmed` and
    `digital-quantised` do, train it once. Killed and resumed, a run's record is the same to the
    bit but for times.

    Args:
        recipe: what to run.
        out: the run directory; must be new or empty unless resuming.
        data: where data sets are looked for first.
        resume: go on with what the directory holds.
        command: for the record.
        watch: told how it gets on.
        together: the processes that train each trial; one where None.
        track: a tracker that is told of every trial, see `trackers`, or None.

    Raises:
        FileError: for a directory with other content.
        SettingError: for a recipe that is not the directory's own.
    """
    begin, watch = time.perf_counter(), watch or Silent()
    trials = trials_of(recipe)
    task = task_named(recipe.task.name)
    check_alone(together, boards=recipe.chip.address is not None)
    if track:
        check_tracker(track)
    _check(recipe, trials)
    # All processes look before one writes, and before data are loaded, which may take long.
    check_directory(recipe, out, resume=resume)
    loaded = task.load(data, recipe.task.settings)
    classes = loaded.classes or task.classes
    added = len(loaded.validation) if recipe.run.split == "test" else 0
    for own, _ in _distinct(recipe, trials):
        check_outputs(own, classes)
        check_batch(own.training.batch_size, len(loaded.training) + added)
    distinct = list({one.name: one for one in map(_stand_in, trials)}.values())
    if together is not None:
        together.meet()
    leads = together is None or together.leads
    processes = max(1, min((os.cpu_count() or 1) // recipe.run.threads, len(distinct)))
    processes = processes if together is None else together.count
    begun = begun_run(recipe, out, resume=resume, command=command)
    with begun if leads else nullcontext(command) as begun_by:
        if leads:
            save_arrays(out / "examples.npz", loaded.training.examples(classes))
        ran = _run(
            distinct, recipe, out, data=data, processes=processes, together=together, watch=watch,
            track=track,
        )  # fmt: skip
    if together is not None and not together.leads:
        together.meet()
        return dict(json.loads((out / "record.json").read_text(encoding="utf-8")))
    results = [
        {**ran[_stand_in(trial).name], "variant": trial.variant, "overrides": trial.overrides}
        for trial in trials
    ]
    record = write_record(
        results, [ran[trial.name] for trial in distinct], recipe, out, classes=classes,
        command=begun_by, wall_time=time.perf_counter() - begin, processes=processes,
    )  # fmt: skip
    if together is not None:
        together.meet()
    return record


def write_record(
    results: list[dict[str, Any]], distinct: list[dict[str, Any]], recipe: Recipe, out: Path, *,
    classes: Sequence[str], command: str, wall_time: float, processes: int,
) -> dict[str, Any]:  # fmt: skip
    """The record of a run whose trials have ended, written into its directory.

    Args:
        results: of all trials.
        distinct: those that stand for others only once.
        recipe: of the run.
        out: the run directory.
        classes: their names, in the order of the labels.
        command: that began the run.
        wall_time: seconds it took.
        processes: that ran side by side.
    """
    task = task_named(recipe.task.name)
    record = record_of(
        results, recipe, title=task.title, classes=classes, metrics=task.metrics,
        command=command, created=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        wall_time=wall_time, processes=processes,
    )  # fmt: skip
    record["agreements"] = agreements(distinct, out)
    write_atomically(out / "record.json", json.dumps(record, indent=1).encode())
    return record


def _run(
    trials: list[Trial], recipe: Recipe, out: Path, *, data: Path | None, processes: int,
    together: Processes | None, watch: Watch, track: str | None,
) -> dict[str, dict[str, Any]]:  # fmt: skip
    """The trials' results by the trials' names, side by side or each in all processes."""
    watch.begin(_total_epochs(recipe, trials))
    try:
        if together is not None:
            return _run_together(
                trials, recipe, out, data=data, together=together, watch=watch, track=track
            )
        return _run_all(
            trials, recipe, out, data=data, processes=processes, watch=watch, track=track
        )
    finally:
        watch.end()


def _run_all(
    trials: list[Trial], recipe: Recipe, out: Path, *, data: Path | None, processes: int,
    watch: Watch, track: str | None,
) -> dict[str, dict[str, Any]]:  # fmt: skip
    """The trials' results by the trials' names."""
    results: dict[str, dict[str, Any]] = {}
    pool = Parallel(n_jobs=processes, return_as="generator_unordered", batch_size=1)
    with deaths_explained(AGAIN), pool, Tail(out / "metrics.jsonl", watch):
        for those in _in_turn(trials, recipe):
            jobs = (
                delayed(tied(_isolated))(trial, recipe, out, data=data, track=track)
                for trial in those
            )
            with left_early(pool(jobs)) as outcomes:
                for name, result in outcomes:
                    if isinstance(result, SecateurError):
                        raise result
                    results[name] = result
                    watch.trial(result)
    return results


def _run_together(
    trials: list[Trial], recipe: Recipe, out: Path, *, data: Path | None, together: Processes,
    watch: Watch, track: str | None,
) -> dict[str, dict[str, Any]]:  # fmt: skip
    """One trial after the other, each in all processes."""
    results: dict[str, dict[str, Any]] = {}
    quiet: Any = nullcontext() if not together.leads else Tail(out / "metrics.jsonl", watch)
    with quiet:
        for trial in [trial for those in _in_turn(trials, recipe) for trial in those]:
            name, result = _isolated(trial, recipe, out, data=data, track=track, together=together)
            if isinstance(result, SecateurError):
                raise result
            results[name] = result
            watch.trial(result)
    return results


def _in_turn(trials: list[Trial], recipe: Recipe) -> list[list[Trial]]:
    """Trials that train, those that do so for others first; then those that find their models."""
    folders = {trial.name: trained_in(trial, recipe) for trial in trials}
    times = Counter(folders.values())
    first = set({folders[trial.name]: trial.name for trial in reversed(trials)}.values())
    training = [trial for trial in trials if trial.name in first]
    training.sort(key=lambda trial: times[folders[trial.name]] == 1)
    finding = [trial for trial in trials if trial.name not in first]
    return [turn for turn in (training, finding) if turn]


def _isolated(
    trial: Trial, recipe: Recipe, out: Path, *, data: Path | None, track: str | None,
    together: Processes | None = None,
) -> tuple[str, dict[str, Any] | SecateurError]:  # fmt: skip
    """One trial in a worker process; its refusals come back as values, message intact."""
    folder, leads = out / "trials" / trial.name, together is None or together.leads
    try:
        with _appending(out / "metrics.jsonl" if leads else Path(os.devnull)) as report:
            result = run_trial(
                trial, recipe, folder, data=data, report=report, together=together, track=track
            )
        return trial.name, result
    except SecateurError as error:
        error.locate(trial.words)
        return trial.name, error


@contextmanager
def _appending(path: Path) -> Iterator[Callable[[dict[str, Any]], None]]:
    """Writes lines of figures behind those that are there."""
    metrics = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def report(line: dict[str, Any]) -> None:
        # One write of one short line: appends of several processes do not mix.
        os.write(metrics, (json.dumps(line) + "\n").encode())

    try:
        yield report
    finally:
        os.close(metrics)


class Tail:
    """Follows `metrics.jsonl` while workers append to it, on a thread of its own."""

    def __init__(self, path: Path, watch: Watch) -> None:
        import threading

        self.path, self.watch = path, watch
        self.offset = path.stat().st_size if path.exists() else 0
        self.done = threading.Event()
        self.thread = threading.Thread(target=self._follow, daemon=True)

    def __enter__(self) -> None:
        self.thread.start()

    def __exit__(self, *_: object) -> None:
        self.done.set()
        self.thread.join()

    def _follow(self) -> None:
        while not self.done.wait(0.2):
            self._look()
        self._look()

    def _look(self) -> None:
        if not self.path.exists():
            return
        with self.path.open("rb") as file:
            file.seek(self.offset)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                self.offset += len(line)
                self.watch.epoch(json.loads(line))


def _variants(recipe: Recipe) -> Iterator[tuple[str, dict[str, Any]]]:
    if not recipe.run.vary:
        yield "", {}
    for path, values in recipe.run.vary.items():
        for value in values:
            yield _words({path: value}), {path: value}


def _stand_in(trial: Trial) -> Trial:
    """The trial that has only the varied settings its arm heeds."""
    heeds = ARMS[trial.arm].heeds
    if all(heeds(path) for path in trial.overrides):
        return trial
    heeded = {path: value for path, value in trial.overrides.items() if heeds(path)}
    return replace(trial, variant=_words(heeded), overrides=heeded)


def _words(overrides: Mapping[str, Any]) -> str:
    return ", ".join(f"{path}={value}" for path, value in overrides.items())


def _check(recipe: Recipe, trials: list[Trial]) -> None:
    """Every trial's settings are valid before the first one starts."""
    check_boards(recipe, [(trial.name, trial.arm) for trial in trials])
    for own, arm in _distinct(recipe, trials):
        check_settings(own, arm, chips=recipe.run.chips)
        check_network(own, arm)


def _distinct(recipe: Recipe, trials: list[Trial]) -> Iterator[tuple[Recipe, Arm]]:
    """Recipes as arms see them, each once."""
    for trial in {(t.arm, t.variant): t for t in trials}.values():
        own = recipe.with_settings(trial.overrides, where="--vary").for_arm(trial.arm)
        yield own, ARMS[trial.arm]


def _total_epochs(recipe: Recipe, trials: list[Trial]) -> int:
    total = 0
    # Those that another trial has trained are counted too: they are passed at once.
    for trial in trials:
        arm = ARMS[trial.arm]
        own = recipe.with_settings(trial.overrides).for_arm(trial.arm)
        total += own.training.epochs if arm.trains else 1
    return total
