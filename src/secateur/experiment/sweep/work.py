"""What a worker does: one order, from the sweep's directory to figures, or to why there are none.

Workers and the process that sends them orders share nothing but the sweep's directory. A trial is
a pure function of its settings and leaves checkpoints there, so that it may be run again, and by
two workers at once, and comes out the same.
"""

import json
import os
import socket
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from secateur.errors import FileError, SecateurError
from secateur.experiment.recipe import Recipe
from secateur.experiment.setting import Trial, trained_in
from secateur.experiment.sweep.plan import PART
from secateur.experiment.sweep.versions import refuse_mixed, versions_here
from secateur.experiment.trial import Judge, run_trial
from secateur.files import write_atomically

# Workers that may die over a trial without getting it an epoch further.
TRIES = 3
FINISHED, FAILED, ABANDONED, REFUSED = "finished", "failed", "abandoned", "refused"
_ENDINGS = {FINISHED: "result.json", FAILED: "error.json", ABANDONED: "abandoned.json"}

# Plain values only: a cluster passes them on as they are, and keeps no copy that can be lost.
Order = dict[str, Any]
Outcome = dict[str, Any]


@dataclass
class AbandonedError(Exception):
    """A trial that is not worth its end: raised from within it, by who judges it.

    Args:
        epoch: after which.
        value: of the metric then.
    """

    epoch: int
    value: float


class SettledError(Exception):
    """Another worker has ended the trial meanwhile: raised from within it, to go no further."""


def order_of(
    out: Path, run: str, arm: str, chip: int, *, words: str, data: Path | None, token: str,
    versions: dict[str, str],
) -> Order:  # fmt: skip
    """One trial, as a worker is told of it.

    Args:
        out: the sweep's directory.
        run: name of the configuration.
        arm: its arm.
        chip: number of the chip.
        words: the swept settings in a line, for the progress.
        data: where data sets are looked for first.
        token: of the sweep, which its directory must hold.
        versions: the worker must have.
    """
    return {
        "out": str(out), "run": run, "arm": arm, "chip": chip, "words": words,
        "data": None if data is None else str(data), "token": token, "versions": versions,
    }  # fmt: skip


def place_of(order: Order) -> Path:
    """The folder of an order's trial."""
    return Path(order["out"], "runs", order["run"], "trials", _trial_of(order).name)


def carry_out(order: Order, judge: Judge | None = None) -> Outcome:
    """Runs a trial, unless it has ended; a failure is an outcome like any other.

    Returns:
        `run`, `chip` and `state`; with it the result, the error, or how far it came.
    """
    about = {"run": order["run"], "chip": order["chip"]}
    try:
        check_worker(order)
    except SecateurError as refusal:
        return {**about, "state": REFUSED, "error": str(refusal)}
    trial, place = _trial_of(order), place_of(order)
    folder = place.parent.parent
    try:
        if (ended := outcome_in(place)) is not None:
            return {**about, **ended}
        recipe = Recipe.read(folder / "recipe.toml")
        _count_try(place, folder / trained_in(trial, recipe))
        with _Report(order, folder) as report:
            data = None if order["data"] is None else Path(order["data"])
            result = run_trial(trial, recipe, place, data=data, report=report, judge=judge)
        return {**about, "state": FINISHED, "result": result}
    except Exception as error:
        # Another worker may have ended it meanwhile: that ending stands, whatever happened here.
        if (ended := _settled(place)) is not None:
            return {**about, **ended}
        ended = _ending(error)
    try:
        write_atomically(place / _ENDINGS[ended["state"]], json.dumps(ended, indent=1).encode())
    except FileError as full:
        ended["error"] = f"{ended.get('error', '')} {full}".strip()
    return {**about, **ended}


def _trial_of(order: Order) -> Trial:
    return Trial(order["arm"], "", {}, order["chip"], PART)


def _ending(error: Exception) -> Outcome:
    if isinstance(error, AbandonedError):
        return {"state": ABANDONED, "epochs": error.epoch, "value": error.value}
    # Whatever it is, it is this trial's own: the others go on.
    return {"state": FAILED, "error": in_words(error), "traceback": traceback.format_exc()}


def _settled(place: Path) -> Outcome | None:
    try:
        return outcome_in(place)
    except FileError:
        return None


def outcome_in(place: Path) -> Outcome | None:
    """How the trial of a folder has ended; None if it has not.

    Raises:
        FileError: for an ending that cannot be read.
    """
    for state, name in _ENDINGS.items():
        path = place / name
        if not path.exists():
            continue
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise FileError(
                f"How a trial ended cannot be read: {error}", where=str(path),
                remedy="Delete the trial's folder and resume; the trial is then run again",
            ) from error  # fmt: skip
        return {"state": state, "result": content} if state == FINISHED else dict(content)
    return None


def begun_in(place: Path) -> bool:
    """Whether a worker has begun the trial of a folder."""
    return (place / "tries.json").exists()


def forget_tries(place: Path, *, failures: bool = False) -> None:
    """Lets a trial be begun afresh; with `failures` also one that has failed."""
    for name in ("tries.json", _ENDINGS[FAILED])[: 1 + failures]:
        (place / name).unlink(missing_ok=True)


def check_worker(order: Order) -> None:
    """Refuses to work where figures would not be those of the other workers.

    Raises:
        SettingError: for other versions.
        FileError: where the sweep's directory is not the one of the sender.
    """
    name = f"{socket.gethostname()}, process {os.getpid()}"
    refuse_mixed(order["versions"], versions_here(list(order["versions"])), where=name)
    path = Path(order["out"]) / "token"
    if not path.is_file() or path.read_text(encoding="utf-8") != order["token"]:
        raise FileError(
            f"This worker does not see the sweep's directory {order['out']}", where=name,
            cause="a folder of one machine only, or a relative path",
            remedy="Give an --out that all workers share under the same name",
        )  # fmt: skip


def in_words(error: BaseException) -> str:
    """A failure as a sentence with its remedy."""
    if isinstance(error, SecateurError):
        return str(error)
    # A processor's allocator raises a RuntimeError, a GPU's one of its own class.
    memory = ("can't allocate memory", "out of memory")
    if isinstance(error, MemoryError) or any(words in str(error).lower() for words in memory):
        return str(
            SecateurError(
                f"The worker ran out of memory: {str(error) or type(error).__name__}",
                cause="a batch or a network too large for the memory of one worker",
                remedy="Lower training.batch_size, or give fewer workers more memory each; then "
                "go on with --resume --retry-failed",
            )
        )
    return f"{type(error).__name__}: {error}"


def _count_try(place: Path, trained: Path) -> None:
    """Notes that a worker begins; gives up a trial over which workers die without getting on.

    Args:
        place: folder of the trial.
        trained: of its checkpoints.

    Raises:
        SecateurError: at the try after the last.
    """
    saved = sorted(trained.glob("checkpoint-*.safetensors"))
    reached, tries = (saved[-1].name if saved else ""), 1
    path = place / "tries.json"
    if path.exists():
        # Written whole or not at all.
        before = json.loads(path.read_text(encoding="utf-8"))
        if before["reached"] == reached:
            tries = before["tries"] + 1
    if tries > TRIES:
        raise SecateurError(
            f"{TRIES} workers died over this trial, none of them an epoch further",
            cause="not enough memory: the system ends a process that asks for too much",
            remedy="Give each worker more memory, or the trial a smaller network or "
            "training.batch_size; then go on with --resume --retry-failed",
        )
    write_atomically(path, json.dumps({"reached": reached, "tries": tries}).encode())


class _Report:
    """Appends lines of figures to the run's `metrics.jsonl`, and to the sweep's with its name."""

    def __init__(self, order: Order, folder: Path) -> None:
        self._order = order
        self._paths = (folder / "metrics.jsonl", Path(order["out"]) / "metrics.jsonl")

    def __enter__(self) -> Callable[[dict[str, Any]], None]:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        self._files = [os.open(path, flags, 0o644) for path in self._paths]
        return self._write

    def __exit__(self, *_: object) -> None:
        for file in self._files:
            os.close(file)

    def _write(self, line: dict[str, Any]) -> None:
        named = {**line, "variant": self._order["words"], "run": self._order["run"]}
        for file, content in zip(self._files, (line, named), strict=True):
            # One write of one short line: appends of several processes do not mix.
            os.write(file, (json.dumps(content) + "\n").encode())
