"""Finished models on many chips, or in many futures of their own: evaluation only, no training.

What is drawn anew depends on where the weights come from. Trained weights (`programmed`) are
written to another chip each time: other cells, other errors. A pruned topology belongs to the chip
on which it was learned; there read noise, drift and failing cells are drawn anew.
"""

import copy
import gc
import json
import resource
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from secateur.chip import SimulatedChip
from secateur.chip.draws import FUTURES
from secateur.errors import FileError, SettingError, nearest
from secateur.experiment.checkpoint import restore_checkpoint
from secateur.experiment.evaluate import chip_of
from secateur.experiment.forks import can_fork, forked, started
from secateur.experiment.norms import renew_norms
from secateur.experiment.processes import check_alone
from secateur.experiment.recipe import Recipe
from secateur.experiment.runner import trials_of
from secateur.experiment.setting import (
    Parts,
    Setting,
    Trial,
    parts_of,
    set_up,
    trained_in,
)
from secateur.experiment.stress import fail_cells
from secateur.experiment.training import keep_freed_memory
from secateur.keyed import key_of
from secateur.network import ChipWeight

SCHEMA, VERSION = "secateur.monte-carlo", 1
QUANTILES = (0.05, 0.5, 0.95)
_FEWER = "Give a smaller --jobs, so that fewer copies of model and chip are in memory at a time"


@dataclass(frozen=True)
class Hardship:
    """What every draw is put through before it is measured.

    Args:
        age: seconds that pass.
        failed: share of the cells that fail, half of them low and half high.
        renew: whether the norms' statistics are then taken anew, without a pulse.

    Raises:
        SettingError: for times and shares that cannot be.
    """

    age: float = 0.0
    failed: float = 0.0
    renew: bool = False

    def __post_init__(self) -> None:
        if not 0.0 <= self.age < float("inf"):
            raise SettingError(f"An age of {self.age} s", remedy="Give seconds, 0 or more")
        if not 0.0 <= self.failed <= 1.0:
            raise SettingError(
                f"A share of {self.failed} of the cells fails", remedy="Give a share from 0 to 1"
            )


def monte_carlo(
    run: Path, *, arms: Sequence[str] = (), draws: int = 64, hardship: Hardship | None = None,
    processes: int = 1, data: Path | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Measures each arm of a finished run so many times, each time drawn anew.

    Draws are dealt to the networks that the run has trained, one for each of its chips. They are
    keyed by network and number, so that they come out the same in any number of processes, and a
    larger number begins with those of a smaller one. A process holds one copy at a time.

    Args:
        run: its directory.
        arms: only these; all that have a chip where empty.
        draws: of each arm.
        hardship: what every draw is put through.
        processes: side by side; this one where it is one, or forks of it where it can be forked.
        data: where the task looks for its data first.

    Returns:
        Plain JSON values: `draws` with their figures, by arm a `summary` of each metric, the peak
        memory of a process in bytes, and the processor time of each part of the draws.

    Raises:
        SettingError: for arms and numbers that cannot be, and where a launcher has started several
            processes.
        FileError: for a directory without finished trials.
        SecateurError: where the system ends a process.
    """
    check_alone(None, boards=False)
    if draws < 1 or processes < 1:
        raise SettingError(
            f"{draws} draws in {processes} processes", remedy="Give at least 1 of each"
        )
    hardship, run = hardship or Hardship(), run.absolute()
    recipe = _recipe(run)
    if recipe.chip.address is not None:
        raise SettingError(
            "This run was on a board, which has no other draws",
            where=str(run),
            remedy="Give a run on simulated chips",
        )
    networks = _networks(run, recipe, arms)
    dealt = [part for trials in networks.values() for part in _dealt(trials, draws, processes)]
    at_once = min(processes, len(dealt))
    work = partial(measure_draws, run, recipe, hardship=hardship, data=data)
    here, threads = work, recipe.run.threads
    if at_once == 1 or can_fork(threads):
        torch.set_num_threads(threads)
        here = partial(work, seen=_seen(networks, recipe, data))
    if at_once == 1:
        parts = [here(part) for part in dealt]
    elif here is not work and can_fork(threads):
        parts = forked(here, dealt, at_once=at_once, remedy=_FEWER)
    else:
        # Also where loading the data has started threads, which no fork takes along.
        parts = started(work, dealt, at_once=at_once, remedy=_FEWER)
    rows = [row for part in parts for row in part["draws"]]
    rows.sort(key=lambda row: (list(networks).index(row["arm"]), row["draw"]))
    return {
        "schema": SCHEMA, "version": VERSION, "run": str(run), "task": recipe.task.name,
        "part": next(iter(networks.values()))[0].part, "hardship": asdict(hardship),
        "draws": rows, "peak_memory_B": max(part["peak_memory_B"] for part in parts),
        "cpu_s": [part["cpu_s"] for part in parts],
        "summary": {
            arm: summaries([row["figures"] for row in rows if row["arm"] == arm])
            for arm in networks
        },
    }  # fmt: skip


def measure_draws(
    run: Path, recipe: Recipe, dealt: tuple[Trial, Sequence[int]], *, hardship: Hardship,
    data: Path | None, seen: Mapping[str, Parts] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Some draws of one trained network, one after the other, each on a copy.

    Args:
        run: directory of the run.
        recipe: of it.
        dealt: the network's trial, and the draws' numbers.
        hardship: what every draw is put through.
        data: where the task looks for its data first.
        seen: the data by arm, where they have been loaded.
    """
    begin, (trial, numbers) = time.process_time(), dealt
    torch.set_num_threads(recipe.run.threads)
    keep_freed_memory()
    folder, parts = run / "trials" / trial.name, seen[trial.arm] if seen else None
    setting = set_up(trial, recipe, data=data, folder=folder, parts=parts)
    restore_checkpoint(run / trained_in(trial, recipe), setting.trainer)
    trainer = setting.trainer
    if trainer.progress.epoch < trainer.epochs:
        raise FileError(
            f"This trial stands at epoch {trainer.progress.epoch} of {trainer.epochs}",
            where=trial.name, cause="its checkpoints were deleted",
            remedy="Run it again: delete its folder, then `secateur run --resume`",
        )  # fmt: skip
    trainer.run(lambda line: None)  # No epoch is left: only the last scores are deployed.

    def figures(number: int) -> dict[str, float]:
        # A pruned model and its search know each other: the last copy would stay for a while.
        gc.collect()
        seed = key_of(setting.seed, "monte-carlo", number) % 2**31
        twin = drawn(setting, trainer.model, seed=seed, hardship=hardship)
        return dict(setting.task.measure(twin, setting.measured).figures)

    # What is there already is not searched for cycles every time; what is left over goes first.
    gc.collect()
    gc.freeze()
    try:
        rows = [
            {"arm": trial.arm, "chip": trial.chip, "draw": number, "figures": figures(number)}
            for number in numbers
        ]
    finally:
        gc.unfreeze()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"draws": rows, "peak_memory_B": peak, "cpu_s": time.process_time() - begin}


def drawn(setting: Setting, model: nn.Module, *, seed: int, hardship: Hardship) -> nn.Module:
    """A copy of a trained model with all that is random after training drawn by another seed.

    Args:
        setting: of its trial.
        model: as training has left it; stays as it is.
        seed: of the draw. With the trial's own, the copy gives the trial's figures to the bit.
        hardship: what it is put through.
    """
    twin = copy.deepcopy(model)
    held = [module for module in twin.modules() if isinstance(module, ChipWeight)]
    setting.finish(twin, seed=seed)
    chip = chip_of(twin)
    assert isinstance(chip, SimulatedChip)
    if held and seed != setting.seed:
        # The cells stay those of this chip; what is read, and what becomes of them, is drawn anew.
        for weight in held:
            weight.seed = seed
        chip.future = 1 + seed % (FUTURES - 1)
    if hardship.age:
        chip.advance(hardship.age)
    if hardship.failed:
        fail_cells(chip, hardship.failed, seed=seed)
    if hardship.renew:
        renew_norms(twin, setting.training, batch_size=setting.recipe.training.batch_size)
    return twin


def summaries(figures: Sequence[Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """Mean, standard deviation, extremes and quantiles of each figure over draws."""
    found = {}
    for name in figures[0]:
        values = np.array([one[name] for one in figures])
        found[name] = {
            "mean": float(values.mean()),
            "std": float(values.std(ddof=1)) if len(values) > 1 else 0.0,
            "min": float(values.min()), "max": float(values.max()),
            **{f"q{round(100 * q):02d}": float(np.quantile(values, q)) for q in QUANTILES},
        }  # fmt: skip
    return found


def yield_of(values: Sequence[float], threshold: float) -> tuple[float, float, float]:
    """The share of draws at a threshold or above, and its exact 95 % interval.

    Clopper and Pearson, Biometrika 26 (1934) 404: quantiles of beta distributions.
    """
    # A tenth of a second to import, for whoever does anything else.
    from scipy.special import betaincinv

    good, number = sum(value >= threshold for value in values), len(values)
    low = 0.0 if good == 0 else float(betaincinv(good, number - good + 1, 0.025))
    high = 1.0 if good == number else float(betaincinv(good + 1, number - good, 0.975))
    return good / number, low, high


def _recipe(run: Path) -> Recipe:
    if not (run / "recipe.toml").is_file():
        raise FileError(
            "This is no run directory", where=str(run), cause="it holds no recipe.toml",
            remedy="Give the directory of a finished run, or one of a sweep's runs/",
        )  # fmt: skip
    return Recipe.read(run / "recipe.toml")


def _networks(run: Path, recipe: Recipe, arms: Sequence[str]) -> dict[str, list[Trial]]:
    """By arm, the finished trials that have a chip; all of the part that most of them have."""
    finished = [
        trial for trial in trials_of(recipe)
        if (run / "trials" / trial.name / "result.json").is_file()
        and not trial.arm.startswith("digital") and not trial.variant
    ]  # fmt: skip
    known: dict[str, list[Trial]] = {}
    for trial in _of_one_part([t for t in finished if not arms or t.arm in arms]):
        known.setdefault(trial.arm, []).append(trial)
    for arm in arms:
        if arm not in known:
            raise SettingError(
                f"This run has no finished trial of {arm!r} on a chip", where=str(run),
                cause="another arm, one without a chip, or one whose settings were varied",
                remedy=nearest(arm, {t.arm for t in finished}) if finished else "Run it first",
            )  # fmt: skip
    if not finished:
        raise FileError(
            "This run has no finished trial with a chip",
            where=str(run),
            cause="only digital arms, varied settings, or a run that has not ended",
            remedy="Give a run with an arm such as `pruned` or `programmed`",
        )
    return known


def _seen(
    networks: Mapping[str, Sequence[Trial]], recipe: Recipe, data: Path | None
) -> dict[str, Parts]:
    """What each arm sees of the data, loaded once for all with the same settings of the task."""
    known: dict[str, Parts] = {}
    found = {}
    for arm, (trial, *_) in networks.items():
        words = json.dumps(recipe.for_arm(arm).task.settings, sort_keys=True)
        if words not in known:
            known[words] = parts_of(trial, recipe, data=data)
        found[arm] = known[words]
    return found


def _of_one_part(trials: Sequence[Trial]) -> list[Trial]:
    """Those on the test set, unless more have been finished on the validation part."""
    parts = [[t for t in trials if t.part == part] for part in ("test", "validation")]
    return max(parts, key=len)


def _dealt(trials: Sequence[Trial], draws: int, processes: int) -> list[tuple[Trial, list[int]]]:
    """Draws to networks in turn, then each network's in as few parts as keep processes busy."""
    parts = 1 if len(trials) % processes == 0 else processes
    dealt = []
    for place, trial in enumerate(trials):
        numbers = list(range(place, draws, len(trials)))
        dealt += [(trial, numbers[part::parts]) for part in range(parts)]
    return [(trial, numbers) for trial, numbers in dealt if numbers]
