"""Run directories made up from a seed: every arm, several chips, sweeps; no training, no chip."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

JsonDict = dict[str, Any]

ACCURACY = {
    "digital": 0.912,
    "digital-quantised": 0.892,
    "programmed": 0.861,
    "programmed-aware": 0.880,
    "random": 0.104,
    "random-mask": 0.131,
    "readout": 0.783,
    "pruned-ideal": 0.893,
    "pruned": 0.879,
    "pruned-cells": 0.888,
    "pruned-summed": 0.891,
}
DIGITAL = ("digital", "digital-quantised")
CELLS = ("pruned-cells", "pruned-summed")
PAIRS = {"conv1.weight": 8, "conv2.weight": 4, "fc1.weight": 1, "fc2.weight": 1}
SEARCHED = ("pruned-ideal", "pruned", *CELLS)
UNTRAINED = ("random", "random-mask")
LAYERS = {"conv1": (64, 9), "conv2": (16, 576), "fc1": (128, 400), "fc2": (10, 128)}
EDGES = sum(rows * columns for rows, columns in LAYERS.values())
CLASSES = (
    "T-shirt/top Trouser Pullover Dress Coat Sandal Shirt Sneaker Bag Ankle·boot".replace(" ", "|")
    .replace("·", " ")
    .split("|")
)
RECIPE: JsonDict = {
    "task": "fashion-mnist",
    "seed": 0,
    "training": {"epochs": 20, "batch": 60, "learning_rate": 0.1, "schedule": "cosine"},
    "chip": {
        "technology": "taox-40nm",
        "forming": "half",
        "programming_error": 0.05,
        "read_noise": 0.02,
        "cycle_spread": 0.05,
        "macro": [512, 512],
        "wires": None,
    },
    "search": {
        "keep_fraction": {"conv1": 0.5, "conv2": 0.5, "fc1": 0.5, "fc2": 0.5},
        "dead_band": 0.05,
        "per_layer": True,
    },
    "arms": {
        "programmed": {"training": {"learning_rate": 0.05}},
        "pruned-cells": {"search": {"dead_band": 0.05}},
    },
    "run": {"arms": ["digital", "digital-quantised", "programmed", "pruned", "pruned-cells"]},
}


def has_chip(arm: str) -> bool:
    """Whether the arm runs on a chip."""
    return arm not in DIGITAL


def history(rng: np.random.Generator, arm: str, accuracy: float, epochs: int) -> list[JsonDict]:
    """A training history that ends near `accuracy`."""
    rows: list[JsonDict] = []
    if arm in UNTRAINED:
        epochs = 1
    for epoch in range(1, epochs + 1):
        left = np.exp(-epoch / (0.22 * epochs)) + 0.01 * rng.random()
        row: JsonDict = {
            "epoch": epoch,
            "train_loss": float(0.28 + 1.1 * left + 0.8 * (0.9 - accuracy)),
            "train_accuracy": float(accuracy + 0.015 - 0.25 * left),
            "learning_rate": 0.05 * (1 + np.cos(np.pi * epoch / epochs)),
        }
        if arm in SEARCHED:
            first = EDGES * {"pruned": 0.6, "pruned-cells": 0.35}.get(arm, 0.8)
            flips = float(first * np.exp(-epoch / (0.18 * epochs)) + 40 * rng.random())
            kept = 0.5
            row |= {"flips": int(flips), "keep_fraction": kept}
            row |= {"set_pulses": int(1.02 * flips), "reset_pulses": int(0.97 * flips) + 3}
        rows.append(row)
    return rows


def confusion(rng: np.random.Generator, accuracy: float, classes: int) -> list[list[int]]:
    """Counts with the wanted share on the diagonal, and one pair that is often confused."""
    noise = rng.random((classes, classes)) ** 3 + 1e-3
    np.fill_diagonal(noise, 0.0)
    noise[0, 1] += 0.5
    noise[min(6, classes - 1), 0] += 1.5
    noise /= noise.sum(axis=1, keepdims=True)
    shares = (1 - accuracy) * noise + accuracy * np.eye(classes)
    return np.round(1000 * shares).astype(int).tolist()


def physics(arm: str, overrides: Mapping[str, Any]) -> JsonDict:
    """What was on for the arm."""
    if not has_chip(arm):
        bits: JsonDict = {"input_bits": 4 if arm == "digital-quantised" else "float32"}
        return bits | {"weights": "digital, float32"}
    if arm == "pruned-ideal":
        return {"technology": "ideal", "forming": "full", "read_noise": 0.0, "grain": "pair"}
    forming = str(overrides.get("chip.forming", RECIPE["chip"]["forming"]))
    facts = {
        "technology": "taox-40nm",
        "forming": f"{forming} (3.43 V, 1 µs)",
        "read_noise": 0.02,
        "cycle_spread": 0.05,
        "circuit": "one read per step",
        "input_bits": 4,
    }
    if arm.startswith("programmed"):
        facts["programming_error"] = overrides.get("chip.programming_error", 0.05)
    else:
        facts["grain"] = "cell" if arm in CELLS else "pair"
        facts["pairs_per_weight"] = PAIRS if arm == "pruned-summed" else 1
    return facts


def wear(arm: str, chip: int, flips: float) -> JsonDict:
    """What a trial says of its chip's wear; the last chip is worn most."""
    most = int(6 + 4 * flips) + 3 * chip
    worst = {"cell": 7, "weight": "fc1", "macro": 0, "row": 12, "column": 34, "pulses": most}
    return {
        "mean": flips, "p99": most - 1, "worst": worst | {"of_endurance": most / 1e6},
        "endurance": 1e6, "worn_share": 1e-9, "tolerated": 1e-3,
        "runs": 8000.0 if arm in SEARCHED else None,
    }  # fmt: skip


def trial(
    rng: np.random.Generator,
    arm: str,
    chip: int,
    *,
    accuracy: float,
    epochs: int,
    classes: int,
    flips: float,
    overrides: Mapping[str, Any],
) -> JsonDict:
    """One chip of one arm."""
    reached = float(np.clip(accuracy + 0.002 * rng.standard_normal(), 0, 1))
    chipped, searched, written = has_chip(arm), arm in SEARCHED, arm.startswith("programmed")
    untouched = chipped and not searched and not written
    pulses: JsonDict = {}
    if chipped:
        pulses = {"form": 131072 + int(100 * rng.random()), "set": 0, "reset": 0}
    if searched:
        pulses |= {"set": int(0.5 * flips * EDGES), "reset": int(0.52 * flips * EDGES)}
    if written:
        pulses |= {"set": int(5.2 * EDGES), "reset": int(4.1 * EDGES)}
    return {
        "chip": chip,
        "seed": chip,
        "test": {"accuracy": reached, "loss": 1.2 - reached},
        "validation": {"accuracy": reached + 0.003, "loss": 1.19 - reached},
        "confusion": confusion(rng, reached, classes),
        "history": history(rng, arm, reached, epochs),
        "pulses": pulses,
        "edges": EDGES if chipped and not written else None,
        "flips_per_edge": flips + 0.02 * rng.random() if searched else 0.0 if untouched else None,
        "most_worn_cell": int(6 + 4 * flips + 3 * rng.random()) if chipped else None,
        "wear": wear(arm, chip, flips) if chipped else None,
        "keep_fraction": dict.fromkeys(LAYERS, 0.5 if searched or arm == "random-mask" else 1.0)
        if chipped and not written
        else {},
        "placement": {
            "macros": 1,
            "utilisation": 0.475,
            "text": "conv1  macro 0  lines 0–8      columns 0–127\nfc1    macro 0  lines 9–408",
        }
        if chipped
        else None,
        "programming_energy_J": 2e-6 * (1 + flips) if chipped else None,
        "physics": physics(arm, overrides),
        "notes": [],
        "wall_time_s": 61.0 + 10 * rng.random(),
        "maps": None,
    }


def statistic(values: Sequence[float | None]) -> JsonDict | None:
    """Mean, standard deviation and 95 % interval as the record has them."""
    known = [value for value in values if value is not None]
    if not known:
        return None
    n, mean = len(known), float(np.mean(known))
    if n == 1:
        return {"mean": mean, "std": None, "interval95": None, "n": 1}
    std = float(np.std(known, ddof=1))
    reach = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776}.get(n, 2.0) * std / np.sqrt(n)
    return {"mean": mean, "std": std, "interval95": [mean - reach, mean + reach], "n": n}


def result(
    rng: np.random.Generator,
    arm: str,
    *,
    chips: int = 3,
    epochs: int = 20,
    classes: int = 10,
    accuracy: float | None = None,
    flips: float = 2.6,
    overrides: Mapping[str, Any] | None = None,
) -> JsonDict:
    """One arm or variant over its chips."""
    changed = dict(overrides or {})
    aim = ACCURACY.get(arm, 0.5) if accuracy is None else accuracy
    settings = {"accuracy": aim, "epochs": epochs, "classes": classes, "flips": flips}
    trials = [trial(rng, arm, chip, overrides=changed, **settings) for chip in range(chips)]
    variant = ",".join(f"{key}={value}" for key, value in changed.items())
    summary = {
        "accuracy": statistic([one["test"]["accuracy"] for one in trials]),
        "validation_accuracy": statistic([one["validation"]["accuracy"] for one in trials]),
        **{
            key: statistic([one[key] for one in trials])
            for key in ("flips_per_edge", "most_worn_cell", "programming_energy_J")
        },
    }
    return {
        "arm": arm,
        "variant": variant,
        "label": f"{arm}, {variant}" if variant else arm,
        "overrides": changed,
        "trials": trials,
        "summary": {key: value for key, value in summary.items() if value is not None},
    }


def programming_sweep(rng: np.random.Generator, chips: int) -> list[JsonDict]:
    """Both programmed arms fall with the programming error; the pruned one does not see it."""
    return [
        result(
            rng,
            arm,
            chips=chips,
            accuracy=ACCURACY[arm] + 0.02 - slope * error**1.5,
            overrides={"chip.programming_error": error},
        )
        for arm, slope in (("programmed", 2.6), ("programmed-aware", 1.0))
        for error in (0.0, 0.02, 0.1, 0.15, 0.2, 0.3)
    ]


def dead_band_sweep(rng: np.random.Generator, chips: int) -> list[JsonDict]:
    """A wider band costs a little accuracy and saves many flips."""
    return [
        result(
            rng,
            arm,
            chips=chips,
            accuracy=ACCURACY[arm] + 0.003 - 0.3 * band**2,
            flips=start / (1 + 60 * band),
            overrides={"search.dead_band": band},
        )
        for arm, start in (("pruned", 15.6), ("pruned-cells", 11.8))
        for band in (0.0, 0.02, 0.1, 0.2)
    ]


def varied_only(rng: np.random.Generator, chips: int) -> list[JsonDict]:
    """As `run.vary` makes them: every arm at every value, none without; most feel nothing."""
    results = []
    for arm, slope in (("digital-quantised", 0.0), ("programmed", 0.6), ("pruned", 0.0)):
        level = result(rng, arm, chips=chips)
        for error in (0.0, 0.05, 0.1):
            setting = {"chip.programming_error": error}
            aim = ACCURACY["pruned"] + 0.03 - slope * error
            one = result(rng, arm, chips=chips, accuracy=aim, overrides=setting)
            results.append(one if slope else one | {"trials": level["trials"]} | _summary_of(level))
    return results


def _summary_of(one: JsonDict) -> JsonDict:
    return {"summary": one["summary"]}


def forming_variants(rng: np.random.Generator, chips: int) -> list[JsonDict]:
    """The other two ways to form, in words."""
    return [
        result(
            rng,
            arm,
            chips=chips,
            accuracy=ACCURACY[arm] + gain,
            overrides={"chip.forming": forming},
        )
        for arm in ("pruned", "pruned-cells")
        for forming, gain in (("full", 0.004), ("ramp", 0.007))
    ]


def maps(rng: np.random.Generator, forming: str = "half", grain: int = 1) -> JsonDict:
    """The arrays of a `maps.npz`, with statistics like those of a formed array."""
    shape = (512, 512)
    formed = rng.random(shape) < {"full": 0.999, "half": 0.5, "ramp": 0.5}[forming]
    if forming == "ramp":
        formed[:, 1::2] = ~formed[:, ::2]
    high = np.exp(2.502 + 0.149 * rng.standard_normal(shape)) * 1e-6
    as_formed = np.where(formed, high, 1e-7 * (1 + 0.1 * rng.random(shape)))
    used = np.zeros(shape, bool)
    used[:470, :260] = True
    pulses = np.where(used & formed, rng.poisson(2.2, shape), 0)
    low = np.exp(0.3 * rng.standard_normal(shape)) * 1e-6
    again = np.exp(2.5 + 0.15 * rng.standard_normal(shape)) * 1e-6
    final = np.where(pulses % 2 == 1, low, np.where(pulses > 0, again, as_formed))
    arrays: JsonDict = {
        "macro/0/as_formed": as_formed.astype(np.float32),
        "macro/0/final": final.astype(np.float32),
        "macro/0/pulses": pulses.astype(np.int32),
        "cells/as_formed": as_formed.ravel()[:20000].astype(np.float32),
        "cells/after_set": again.ravel()[:9000].astype(np.float32),
        "cells/after_reset": low.ravel()[:9000].astype(np.float32),
    }
    for name, cells in (("pair_difference", as_formed), ("pair_difference_final", final)):
        region = cells[:470, :260]
        arrays[f"cells/{name}"] = (region[:, ::2] - region[:, 1::2]).ravel().astype(np.float32)
    for layer, (rows, columns) in LAYERS.items():
        scores = rng.standard_normal((rows, grain * columns)) * (0.4 + rng.random((rows, 1)))
        arrays[f"weight/{layer}/scores"] = scores.astype(np.float32)
        arrays[f"weight/{layer}/mask"] = np.abs(scores) > np.median(np.abs(scores))
    return arrays


def record(results: Sequence[JsonDict], *, chips: int, classes: int = 10) -> JsonDict:
    """A whole record around these results."""
    return {
        "schema": "secateur.record",
        "version": 1,
        "task": "fashion-mnist",
        "title": "Fashion-MNIST (14 × 14)",
        "classes": CLASSES[:classes] if classes <= 10 else [f"class {n}" for n in range(classes)],
        "metric": "accuracy",
        "command": f"secateur run fashion-mnist --chips {chips} --vary "
        "chip.values.programming_error=0,0.02,0.05,0.1,0.15,0.2,0.3 --out runs/2026-11-23-errors",
        "created": "2026-11-23T20:00:00Z",
        "wall_time_s": 5412.0,
        "versions": {"secateur": "0.1.0", "torch": "2.13.0", "numpy": "2.4.6", "python": "3.11.2"},
        "machine": {
            "processor": "AMD EPYC 9B14",
            "cores": 2,
            "threads_per_process": 1,
            "processes": 2,
        },
        "seed": 0,
        "chips": chips,
        "recipe": RECIPE,
        "results": list(results),
    }


def write_run(directory: Path, content: JsonDict, with_maps: Sequence[str] = ()) -> Path:
    """Writes a run directory; results named in `with_maps` (by label) get maps of chip 0."""
    directory.mkdir(parents=True, exist_ok=True)
    for place, one in enumerate(content["results"]):
        if one["label"] in with_maps:
            folder = directory / "trials" / f"{one['arm']}-{place}-chip0"
            folder.mkdir(parents=True, exist_ok=True)
            forming = one["overrides"].get("chip.forming", "half")
            grain = 2 if one["arm"] in CELLS else 1
            arrays = maps(np.random.default_rng(place), forming, grain)
            np.savez_compressed(folder / "maps.npz", **arrays)
            one["trials"][0]["maps"] = str((folder / "maps.npz").relative_to(directory))
    (directory / "record.json").write_text(json.dumps(content), encoding="utf-8")
    return directory


def full_run(directory: Path, *, chips: int = 3, seed: int = 0) -> Path:
    """Every arm, a programming-error sweep, a dead-band sweep, three formings, and maps."""
    rng = np.random.default_rng(seed)
    results = [result(rng, arm, chips=chips) for arm in ACCURACY]
    results += programming_sweep(rng, chips)
    results += dead_band_sweep(rng, chips)
    results += forming_variants(rng, chips)
    labels = ["pruned", "pruned-cells", "programmed", "random"]
    labels += [f"pruned, chip.forming={forming}" for forming in ("full", "ramp")]
    return write_run(directory, record(results, chips=chips), labels)


def small_run(directory: Path) -> Path:
    """Three arms on two chips, with the maps of one."""
    rng = np.random.default_rng(2)
    results = [result(rng, arm, chips=2) for arm in ("programmed", "random", "pruned")]
    return write_run(directory, record(results, chips=2), ["pruned"])


def digital_run(directory: Path) -> Path:
    """Two digital arms on one seed: no chip, no maps, no sweep."""
    rng = np.random.default_rng(1)
    results = [result(rng, arm, chips=1) for arm in ("digital", "digital-quantised")]
    return write_run(directory, record(results, chips=1))
