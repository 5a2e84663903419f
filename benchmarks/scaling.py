"""Accuracy and cost against the number of weights: Fashion-MNIST at 28 x 28, wider and deeper.

    python -m benchmarks.scaling run OUT [--data DIR] [--sizes N ...] [--chips N] [--epochs N]
    python -m benchmarks.scaling draw RECORD FIGURE

`run` trains pruned pairs, pruned cells and the digital network with the same converters at every
size, as the shipped recipe of `fashion-mnist` trains them, each size in a run directory of its own
in OUT: what is there already is gone on with. At its end stands OUT/scaling.json, of which `draw`
makes the figure, PNG, SVG or PDF. All six sizes of one chip at three epochs take about an hour on
two cores.
"""

import argparse
import json
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure

from benchmarks.step import about
from secateur.cost import cost_model
from secateur.errors import FileError
from secateur.experiment.arms import arm_named, technology_of
from secateur.experiment.recipe import Recipe
from secateur.experiment.runner import run_experiment
from secateur.files import write_atomically, write_figure
from secateur.network.trace import trace
from secateur.tasks import task_named

# 10 k to 3.5 M weights: all layers grow, and the hidden one, which costs few products, most.
SIZES = (
    {"width": 0.17, "hidden_width": 1.0, "depth": 2},
    {"width": 0.3, "hidden_width": 1.0, "depth": 2},
    {"width": 0.4, "hidden_width": 1.5, "depth": 3},
    {"width": 0.5, "hidden_width": 3.0, "depth": 3},
    {"width": 0.6, "hidden_width": 10.0, "depth": 4},
    {"width": 0.7, "hidden_width": 24.0, "depth": 4},
)
ARMS = ("digital-quantised", "pruned", "pruned-cells")
SIDE = 28
_COLOURS = {"digital-quantised": "#4f46b9", "pruned": "#0b7a5b", "pruned-cells": "#0e7fa4"}
_LABELS = {"digital-quantised": "digital, quantised", "pruned": "pruned pairs",
           "pruned-cells": "pruned cells"}  # fmt: skip


def recipe_of(size: Mapping[str, float], settings: Mapping[str, Any]) -> Recipe:
    """The shipped recipe at one size."""
    shipped = Recipe.parse(tomllib.loads(task_named("fashion-mnist").recipe), where="shipped")
    network = {f"network.{name}": value for name, value in {**size, "side": SIDE}.items()}
    return shipped.with_settings(
        {"task.pooled": False, "run.arms": list(ARMS), **network, **settings}, where="scaling"
    )


def joules(recipe: Recipe, arm: str) -> float:
    """Of one inference: on the chip, or of the products in digital memory."""
    task, own, model = task_named(recipe.task.name), recipe.for_arm(arm), cost_model("components")
    pruned = arm_named("pruned").attach(
        task.build(own.network), own, task=task, steps=1, seed=own.run.seed
    )
    counted = trace(pruned, torch.zeros(1, 1, SIDE, SIDE))
    if arm == "digital-quantised":
        return model.digital(counted.macs)
    return model.inference(counted, technology_of(own.chip)).energy


def rows_of(
    record: Mapping[str, Any], recipe: Recipe, size: Mapping[str, float]
) -> list[dict[str, Any]]:
    """One row an arm, of one size."""
    network = task_named(recipe.task.name).build(recipe.network)
    weights = sum(p.numel() for p in network.parameters() if p.dim() > 1)
    rows = []
    for result in record["results"]:
        summary, trials = result["summary"], result["trials"]
        part = "test" if trials[0]["test"] else "validation"
        spent = summary.get("programming_energy_J")
        rows.append({
            "arm": result["arm"], **size, "weights": weights, "part": part,
            "accuracy": summary["accuracy"],
            "per_chip": [trial[part]["accuracy"] for trial in trials],
            "inference_J": joules(recipe, result["arm"]),
            "programming_J": spent["mean"] if spent else None,
        })  # fmt: skip
    return rows


def run(
    out: Path, *, sizes: Sequence[Mapping[str, float]], settings: Mapping[str, Any],
    data: Path | None, command: str,
) -> dict[str, Any]:  # fmt: skip
    """Trains every size that has not been trained, and writes the record of all."""
    rows: list[Any] = []
    for size in sizes:
        recipe = recipe_of(size, settings)
        folder = out / "-".join(f"{name}{value:g}" for name, value in size.items())
        begun = (folder / "recipe.toml").exists()
        record = run_experiment(recipe, folder, data=data, resume=begun, command=command)
        rows += rows_of(record, recipe, size)
        print(f"{rows[-1]['weights']} weights: {out}/{folder.name}", flush=True)
    whole = {
        **about("scaling", command=command, processes=record["machine"]["processes"]),
        "chips": record["chips"], "seed": record["seed"], "rows": rows,
    }  # fmt: skip
    write_atomically(out / "scaling.json", json.dumps(whole, indent=1).encode())
    return whole


def figure_of(record: Mapping[str, Any]) -> Figure:
    """Accuracy, and joules of an inference, over the number of weights."""
    figure = Figure(figsize=(9, 4), layout="constrained")
    accuracy, energy = figure.subplots(1, 2)
    for arm in dict.fromkeys(row["arm"] for row in record["rows"]):
        rows = sorted((r for r in record["rows"] if r["arm"] == arm), key=lambda r: r["weights"])
        weights = [row["weights"] for row in rows]
        means = [100 * row["accuracy"]["mean"] for row in rows]
        known = [row["accuracy"]["interval95"] or [row["accuracy"]["mean"]] * 2 for row in rows]
        bars = [[abs(100 * end[n] - m) for end, m in zip(known, means, strict=True)]
                for n in (0, 1)]  # fmt: skip
        style = {"color": _COLOURS.get(arm), "label": _LABELS.get(arm, arm), "marker": "o"}
        accuracy.errorbar(weights, means, yerr=bars, capsize=3, **style)
        energy.plot(weights, [row["inference_J"] for row in rows], **style)
    for panel, words in ((accuracy, "accuracy, %"), (energy, "joules of an inference")):
        panel.set_xscale("log")
        panel.set_xlabel("weights")
        panel.set_ylabel(words)
        panel.grid(alpha=0.3)
    energy.set_yscale("log")
    accuracy.legend(frameon=False)
    return figure


def main() -> None:
    """Runs, or draws."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    actions = parser.add_subparsers(dest="action", required=True)
    training = actions.add_parser("run", help="train every size; goes on where it was")
    training.add_argument("out", type=Path)
    training.add_argument("--data", type=Path)
    training.add_argument("--sizes", type=int, nargs="+", default=list(range(len(SIZES))))
    training.add_argument("--chips", type=int, default=3)
    training.add_argument("--epochs", type=int, default=20)
    drawing = actions.add_parser("draw", help="the figure of a record")
    drawing.add_argument("record", type=Path)
    drawing.add_argument("figure", type=Path)
    options = parser.parse_args()
    if options.action == "run":
        settings = {"run.chips": options.chips, "training.epochs": options.epochs}
        sizes = [SIZES[number] for number in options.sizes]
        numbers = " ".join(map(str, options.sizes))
        command = (
            f"python -m benchmarks.scaling run OUT --sizes {numbers} --chips {options.chips} "
            f"--epochs {options.epochs}"
        )
        run(options.out, sizes=sizes, settings=settings, data=options.data, command=command)
        return
    try:
        record = json.loads(options.record.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise FileError(
            f"This record cannot be read: {error}", where=str(options.record)
        ) from error
    write_figure(options.figure, figure_of(record))


if __name__ == "__main__":
    main()
