"""Checkpoints: everything a trial needs to go on as if it had never stopped, in safetensors."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from secateur.errors import FileError
from secateur.experiment.training import Partial, Progress, Trainer
from secateur.network import pack, read_tensors, unpack_, write_tensors

_KEPT = 2


def save_checkpoint(folder: Path, trainer: Trainer) -> None:
    """Writes the state as it is, after an epoch or within one, atomically; keeps the two newest."""
    tensors, metadata = pack(trainer.model)
    state = {f"model/{name}": tensor for name, tensor in tensors.items()}
    progress = trainer.progress
    settings: dict[str, Any] = {
        "history": progress.history, "model": dict(metadata), "processes": trainer.together.count,
        "training": trainer.identity(),
    }  # fmt: skip
    if progress.partial is not None:
        settings["partial"] = asdict(progress.partial)
    state["rng"] = torch.get_rng_state()
    if trainer.together.device.type == "cuda":
        # Dropout on a GPU draws from a generator of its own.
        state["rng-cuda"] = torch.cuda.get_rng_state(trainer.together.device)
    if trainer.optimizer is not None:
        for index, values in trainer.optimizer.state_dict()["state"].items():
            for name, value in values.items():
                if isinstance(value, Tensor):
                    state[f"optimizer/{index}/{name}"] = value
    folder.mkdir(parents=True, exist_ok=True)
    within = "" if progress.partial is None else f"-{progress.partial.steps:06d}"
    path = folder / f"checkpoint-{progress.epoch:04d}{within}.safetensors"
    write_tensors(path, state, {"secateur.checkpoint": json.dumps(settings)})
    for old in _by_age(folder)[:-_KEPT]:
        # A worker that was given up for dead may be at the same trial.
        old.unlink(missing_ok=True)


def restore_checkpoint(folder: Path, trainer: Trainer) -> list[str]:
    """Brings a freshly built trainer to the newest readable checkpoint, if there is one.

    Returns:
        One sentence for each newer checkpoint that could not be read, and one where the
        checkpoint was written by another number of processes.

    Raises:
        FileError: where there are checkpoints and none can be read, or one is of another training.
    """
    refused: list[str] = []
    paths = _by_age(folder)[::-1]
    for path in paths:
        try:
            tensors, metadata = read_tensors(path)
            settings = json.loads(metadata["secateur.checkpoint"])
        except (FileError, KeyError, json.JSONDecodeError) as error:
            refused.append(f"{path.name} is not a readable checkpoint and was passed over: {error}")
            continue
        _check_training(settings.get("training", {}), trainer, path)
        _restore(trainer, tensors, settings)
        before, now = settings.get("processes", 1), trainer.together.count
        if before != now:
            refused.append(
                f"Epochs up to {trainer.progress.epoch} were trained by {before} process(es), "
                f"later ones by {now}"
            )
        return refused
    if paths:
        raise FileError(
            "None of the training's checkpoints can be read", where=str(folder),
            cause="files truncated by a full disk or changed by another program",
            remedy="Delete the folder; the training then starts from its beginning",
        )  # fmt: skip
    return refused


def _by_age(folder: Path) -> list[Path]:
    """The checkpoints, the oldest first: by epochs done, then by steps of the next one."""
    found = {p: p.stem.split("-")[1:] for p in folder.glob("checkpoint-*.safetensors")}
    named = {p: words for p, words in found.items() if all(map(str.isdecimal, words))}
    return sorted(named, key=lambda path: [int(word) for word in named[path]])


def _check_training(saved: dict[str, Any], trainer: Trainer, path: Path) -> None:
    for name, value in trainer.identity().items():
        # A setting that did not exist then was as it is unless set.
        if saved.get(name, value) != value:
            raise FileError(
                f"This checkpoint is of another training: {name} was {saved[name]}, "
                f"here it is {value}", where=str(path),
                cause="a file from another run, or a recipe that was changed",
                remedy="Put the run's own checkpoint back, or delete this one",
            )  # fmt: skip


def _restore(trainer: Trainer, tensors: dict[str, Tensor], settings: dict[str, Any]) -> None:
    parts: dict[str, dict[str, Tensor]] = {"model": {}, "optimizer": {}}
    for name, tensor in tensors.items():
        kind, _, rest = name.partition("/")
        if rest:
            parts[kind][rest] = tensor
    unpack_(trainer.model, parts["model"], settings["model"])
    momenta: dict[int, dict[str, Tensor]] = {}
    for name, tensor in parts["optimizer"].items():
        index, _, key = name.partition("/")
        momenta.setdefault(int(index), {})[key] = tensor
    torch.set_rng_state(tensors["rng"])
    if trainer.together.device.type == "cuda" and "rng-cuda" in tensors:
        torch.cuda.set_rng_state(tensors["rng-cuda"], trainer.together.device)
    partial = settings.get("partial")
    begun = None if partial is None else Partial(**partial)
    trainer.go_on(Progress(settings["history"], begun), momenta)
