"""What the searches of a run have learnt, as numbers for its record."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from secateur.experiment.maps import save_arrays
from secateur.network import PrunedWeight
from secateur.topology import agreement, degrees, dispersion, kept_by_position

SEARCH_SEED = "search.seed"


def anatomy_of(weight: PrunedWeight) -> dict[str, Any]:
    """One weight's mask beside a random one; see `secateur.topology.anatomy`."""
    mask = _outputs_first(weight)
    outputs, _ = degrees(mask)
    # All pairs of a weight are edges of its one input.
    apart = mask.reshape(mask.shape[0], weight.pairs, -1, *mask.shape[2:])
    _, inputs = degrees(apart.movedim(1, -1))
    kernel = mask[..., 0] | mask[..., 1] if weight.grain == "cell" else mask
    found: dict[str, Any] = {
        "output_dispersion": _number(dispersion(outputs, edges=mask.numel())),
        "input_dispersion": _number(dispersion(inputs, edges=mask.numel())),
        "idle_outputs": int((outputs == 0).sum()),
        "idle_inputs": int((inputs == 0).sum()),
        "flipped": float((weight.chip.ledger.switching[weight.region.cells] > 1).float().mean()),
    }
    if kernel.dim() > 2:
        found["kept_by_position"] = kept_by_position(kernel).tolist()
    return found


def save_masks(path: Path, weights: Mapping[str, PrunedWeight]) -> None:
    """Writes the masks, a bit an edge, with their shapes."""
    arrays: dict[str, Any] = {}
    for name, weight in weights.items():
        arrays[f"bits/{name}"] = np.packbits(weight.mask.cpu().numpy())
        arrays[f"shape/{name}"] = np.array(weight.mask.shape)
    save_arrays(path, arrays)


def read_masks(path: Path) -> dict[str, Tensor]:
    """What `save_masks` wrote, by the weights' names."""
    with np.load(path, allow_pickle=False) as held:
        shapes = {n.partition("/")[2]: tuple(held[n]) for n in held.files if n[:6] == "shape/"}
        return {
            name: torch.from_numpy(
                np.unpackbits(held[f"bits/{name}"], count=math.prod(shape)).reshape(shape)
            ).bool()
            for name, shape in shapes.items()
        }


def agreements(results: Sequence[Mapping[str, Any]], folder: Path) -> list[dict[str, Any]]:
    """How much the masks of two searches agree beyond chance, by arm, settings and layer.

    Compared are searches on different chips, and searches on one chip from different starts
    (`search.seed`); all else is the same in both.

    Args:
        results: of the trials, each with `masks`, a path below `folder`, where it has one.
        folder: the run directory.

    Returns:
        Rows with the `overrides` that both searches share, and the `part` they were trained for.
    """
    found: dict[tuple[str, str, str, str, str], list[float]] = {}
    for one, other, between in _pairs([result for result in results if result.get("masks")]):
        first, second = (read_masks(folder / result["masks"]) for result in (one, other))
        for layer in first:
            if layer in second and first[layer].shape == second[layer].shape:
                value = agreement(first[layer], second[layer])
                if not math.isnan(value):
                    shared = json.dumps(_apart_from_start(one["overrides"]), sort_keys=True)
                    key = one["arm"], shared, one["part"], between, layer
                    found.setdefault(key, []).append(value)
    return [
        {
            "arm": arm, "overrides": json.loads(shared), "part": part, "between": between,
            "layer": layer, "mean": sum(v) / len(v), "n": len(v),
        }
        for (arm, shared, part, between, layer), v in found.items()
    ]  # fmt: skip


def _pairs(
    results: Sequence[Mapping[str, Any]],
) -> Iterator[tuple[Mapping[str, Any], Mapping[str, Any], str]]:
    for one, other in combinations(results, 2):
        if one["arm"] != other["arm"] or one["part"] != other["part"]:
            continue
        mine, theirs = (_apart_from_start(result["overrides"]) for result in (one, other))
        start = [result["overrides"].get(SEARCH_SEED, 0) for result in (one, other)]
        if mine != theirs:
            continue
        if one["chip"] != other["chip"] and start[0] == start[1]:
            yield one, other, "chips"
        elif one["chip"] == other["chip"] and start[0] != start[1]:
            yield one, other, "starts"


def _apart_from_start(overrides: Mapping[str, Any]) -> dict[str, Any]:
    return {path: value for path, value in overrides.items() if path != SEARCH_SEED}


def _outputs_first(weight: PrunedWeight) -> Tensor:
    return weight.mask.transpose(0, 1) if weight.region.inputs_first else weight.mask


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value
