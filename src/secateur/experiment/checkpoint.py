"""Checkpoints: everything a trial needs to go on as if it had never stopped, in safetensors."""

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from secateur.errors import FileError
from secateur.experiment.training import Trainer
from secateur.network import pack, read_tensors, unpack_, write_tensors

_KEPT = 2


def save_checkpoint(folder: Path, trainer: Trainer) -> None:
    """Writes the state after the last whole epoch, atomically; keeps the two newest files."""
    tensors, metadata = pack(trainer.model)
    state = {f"model/{name}": tensor for name, tensor in tensors.items()}
    settings: dict[str, Any] = {
        "history": trainer.progress.history, "model": dict(metadata),
        "processes": trainer.together.count,
    }  # fmt: skip
    state["rng"] = torch.get_rng_state()
    if trainer.optimizer is not None:
        for index, values in trainer.optimizer.state_dict()["state"].items():
            for name, value in values.items():
                if isinstance(value, Tensor):
                    state[f"optimizer/{index}/{name}"] = value
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"checkpoint-{trainer.progress.epoch:04d}.safetensors"
    write_tensors(path, state, {"secateur.checkpoint": json.dumps(settings)})
    for old in sorted(folder.glob("checkpoint-*.safetensors"))[:-_KEPT]:
        old.unlink()


def restore_checkpoint(folder: Path, trainer: Trainer) -> list[str]:
    """Brings a freshly built trainer to the newest readable checkpoint, if there is one.

    Returns:
        One sentence for each newer checkpoint that could not be read, and one where the
        checkpoint was written by another number of processes.

    Raises:
        FileError: where there are checkpoints and none can be read.
    """
    refused: list[str] = []
    paths = sorted(folder.glob("checkpoint-*.safetensors"), reverse=True)
    for path in paths:
        try:
            tensors, metadata = read_tensors(path)
            settings = json.loads(metadata["secateur.checkpoint"])
        except (FileError, KeyError, json.JSONDecodeError) as error:
            refused.append(f"{path.name} is not a readable checkpoint and was passed over: {error}")
            continue
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
            "None of the trial's checkpoints can be read", where=str(folder),
            cause="files truncated by a full disk or changed by another program",
            remedy="Delete the folder; the trial then starts from its beginning",
        )  # fmt: skip
    return refused


def _restore(trainer: Trainer, tensors: dict[str, Tensor], settings: dict[str, Any]) -> None:
    parts: dict[str, dict[str, Tensor]] = {"model": {}, "optimizer": {}}
    for name, tensor in tensors.items():
        kind, _, rest = name.partition("/")
        if rest:
            parts[kind][rest] = tensor
    unpack_(trainer.model, parts["model"], settings["model"])
    if trainer.optimizer is not None:
        state: dict[int, dict[str, Tensor]] = {}
        for name, tensor in parts["optimizer"].items():
            index, _, key = name.partition("/")
            state.setdefault(int(index), {})[key] = tensor
        groups = trainer.optimizer.state_dict()["param_groups"]
        trainer.optimizer.load_state_dict({"state": state, "param_groups": groups})
    torch.set_rng_state(tensors["rng"])
    trainer.progress.history = settings["history"]
