"""One trial: one arm on one chip, from data to figures. A pure function of its settings."""

import copy
import json
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, closing, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from secateur.errors import FileError
from secateur.experiment.anatomy import save_masks
from secateur.experiment.checkpoint import restore_checkpoint, save_checkpoint
from secateur.experiment.evaluate import chip_of
from secateur.experiment.maps import save_arrays, save_maps
from secateur.experiment.norms import renew_norms
from secateur.experiment.processes import Alone, Processes, check_alike
from secateur.experiment.recipe import Recipe
from secateur.experiment.result import result_of
from secateur.experiment.setting import Trial, set_up, trained_in
from secateur.experiment.stress import stressed
from secateur.experiment.trackers import Tracked
from secateur.experiment.training import Trainer, keep_freed_memory
from secateur.files import write_atomically
from secateur.keyed import key_of
from secateur.network import pruned_weights, saturations
from secateur.tasks import Task

# Told the epoch and how to measure the model as it stands; may raise to end the trial.
Judge = Callable[[int, Callable[[], Mapping[str, float]]], None]


def run_trial(
    trial: Trial, recipe: Recipe, folder: Path, *, data: Path | None,
    report: Callable[[dict[str, Any]], None], judge: Judge | None = None,
    together: Processes | None = None, track: str | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Trains and measures one trial, from its newest checkpoint where there is one.

    The result is written to `result.json` last of all: a folder with that file is finished. The
    checkpoints are in the folder that `trained_in` names, two above.

    Args:
        trial: what to run.
        recipe: of the whole run.
        folder: of this trial.
        data: where the task looks for its data first.
        report: told one line of figures after every epoch.
        judge: told the epoch, and how to measure the model as it stands, on a copy: no draw of
            the trial depends on whether that was done. What it raises ends the trial.
        together: the processes that train it, all of which call this; one where None. The leading
            one writes.
        track: a tracker's name, or None.
    """
    together = together or Alone()
    finished = _finished(folder)
    # All have looked before the leading process writes.
    together.meet()
    _alike(together, finished is not None, what="The finished trials that processes see")
    if finished is not None:
        return finished
    torch.set_num_threads(recipe.run.threads)
    keep_freed_memory()
    begin = time.perf_counter()
    setting = set_up(trial, recipe, data=data, folder=folder, together=together)
    task, own, seed = setting.task, setting.recipe, setting.seed
    training, measured, trainer = setting.training, setting.measured, setting.trainer
    trained = folder.parent.parent / trained_in(trial, recipe)
    notes = [*setting.notes, *_begin(trained, trainer, seed)]
    # Whatever ends the trial, its tracker is told that it is over.
    with _tracked(trial, own, folder, track if together.leads else None) as tracked:

        def after_epoch(line: dict[str, Any]) -> None:
            if not together.leads:
                return
            save_checkpoint(trained, trainer)
            where = {"arm": trial.arm, "variant": trial.variant, "chip": trial.chip}
            report({**where, "split": trial.part, "epochs": trainer.epochs, **line})
            if tracked:
                tracked.log(line, trainer.progress.epoch)
            if judge is not None:
                measure = partial(_as_it_stands, task, trainer.model, measured)
                judge(trainer.progress.epoch, measure)

        trainer.run(after_epoch, before_pulses=_follows(trained, trainer))
        folder.mkdir(parents=True, exist_ok=True)
        model = trainer.model
        setting.finish(model, seed=seed)
        saturations(model, reset=True)
        found = task.measure(model, measured)
        result = result_of(trial, own, trainer, found, seed=seed, notes=notes)
        result["stress"] = stressed(
            model, own.stress, seed=seed,
            measure=lambda twin: dict(task.measure(twin, measured).figures),
            renew=lambda twin: renew_norms(twin, training, batch_size=own.training.batch_size),
        )  # fmt: skip
        if tracked:
            tracked.log({trial.part: found.figures}, trainer.progress.epoch)
    if not together.leads:
        return result
    chip = chip_of(model)
    if trial.chip == 0 and trial.part == "test" and save_maps(folder / "maps.npz", model):
        result["maps"] = f"trials/{folder.name}/maps.npz"
    if result["anatomy"]:
        save_masks(folder / "masks.npz", pruned_weights(model))
        result["masks"] = f"trials/{folder.name}/masks.npz"
    if trial.chip == 0 and found.arrays:
        save_arrays(folder / "arrays.npz", found.arrays)
        result["arrays"] = f"trials/{folder.name}/arrays.npz"
    if chip is not None:
        chip.close()
        result["notes"] += getattr(chip, "notes", [])
    result["wall_time_s"] = round(time.perf_counter() - begin, 3)
    write_atomically(folder / "result.json", json.dumps(result, indent=1).encode())
    return result


def _follows(folder: Path, trainer: Trainer) -> Callable[[], None] | None:
    """Keeps a model in step with a chip that cannot be brought back: a checkpoint each time."""
    chip = chip_of(trainer.model)
    if chip is None or chip.saves:
        return None
    return lambda: save_checkpoint(folder, trainer)


def _as_it_stands(task: Task, model: nn.Module, samples: Any) -> Mapping[str, float]:
    """Figures of a copy of a model and its chip."""
    return task.measure(copy.deepcopy(model), samples).figures


def _finished(folder: Path) -> dict[str, Any] | None:
    path = folder / "result.json"
    if not path.exists():
        return None
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise FileError(
            f"A trial's result cannot be read: {error}", where=str(path),
            remedy="Delete the trial's folder and resume; the trial is then run again",
        ) from error  # fmt: skip
    return dict(result)


def _begin(folder: Path, trainer: Trainer, seed: int) -> list[str]:
    """Goes on from the newest checkpoint, if there is one; notes for the result."""
    notes = restore_checkpoint(folder, trainer)
    epoch, together = trainer.progress.epoch, trainer.together
    _alike(together, epoch, what="The checkpoints that processes see")
    if together.rank:
        # What torch itself draws, for dropout, is another's on every rank.
        torch.manual_seed(key_of(seed, "torch", together.rank, epoch))
    return notes


def _alike(together: Processes, seen: int, *, what: str) -> None:
    """Refuses to go on where processes find different things in the run directory."""
    check_alike(
        lambda: torch.tensor([float(seen)], dtype=torch.float64).to(together.device),
        what=what, remedy="Put the run directory on a disk that all of them share",
    )  # fmt: skip


def _tracked(
    trial: Trial, recipe: Recipe, folder: Path, track: str | None
) -> AbstractContextManager[Tracked | None]:
    if track is None:
        return nullcontext()
    settings = {**recipe.table(), "trial": trial.name}
    place = folder.parents[1] / "track"
    return closing(Tracked(track, project=trial.name, folder=place, settings=settings))
