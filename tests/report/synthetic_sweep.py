"""Results of sweeps that nobody ran: two arms, numbers, words and a range, failures included."""

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np

KEEP, BANDS, FORMING = (0.2, 0.4, 0.6, 0.8), (0.0, 0.05, 0.1), ("half", "full")
SPACE = {
    "search.keep_fraction": list(KEEP), "search.dead_band": list(BANDS),
    "chip.forming": list(FORMING),
    "training.learning_rate": {"low": 0.01, "high": 1.0, "logarithmic": True},
}  # fmt: skip


def accuracy(keep: float, band: float, forming: str) -> float:
    """The best kept fraction depends on forming: an interaction; the dead band adds to both."""
    best = 0.6 if forming == "full" else 0.4
    return 0.9 - 0.5 * (keep - best) ** 2 - 0.2 * band


def results(**changes: Any) -> dict[str, Any]:
    """The content of `results.json`."""
    draws = np.random.default_rng(0)
    points = list(itertools.product(KEEP, BANDS, FORMING))
    ranking, rows = [], []
    for number, (keep, band, forming) in enumerate(points):
        settings = {
            "search.keep_fraction": keep, "search.dead_band": band, "chip.forming": forming,
            "training.learning_rate": float(10 ** draws.uniform(-2, 0)),
        }  # fmt: skip
        ranking.append(_ranked("pruned", number, settings, accuracy(keep, band, forming)))
    for number, rate in enumerate((0.02, 0.1, 0.5)):
        settings = {"training.learning_rate": rate}
        ranking.append(_ranked("digital", 100 + number, settings, 0.92 - 0.01 * number))
    ranking.sort(key=lambda one: (one["arm"], -one["mean"]))
    for one in ranking:
        values = {path: one["settings"].get(path) for path in SPACE}
        about = {"run": one["run"], "arm": one["arm"], "chip": 0, "state": "finished"}
        rows.append({**about, **values, "accuracy": one["mean"], "error": None})
    for chip in range(2):
        failed = {"run": "0200-pruned", "arm": "pruned", "chip": chip, "state": "failed"}
        rows.append({**failed, "accuracy": None, "error": "The loss became <nan> in epoch 1."})
    best: dict[str, Any] = {}
    for one in ranking:
        best.setdefault(one["arm"], one)
    return {
        "schema": "secateur.sweep-results", "version": 1, "task": "digits",
        "title": "Handwritten digits (8 × 8)", "kind": "random", "space": SPACE,
        "metric": "accuracy", "metric_title": "accuracy", "maximise": True,
        "command": "secateur sweep digits --random 27", "created": "2026-01-01T00:00:00Z",
        "wall_time_s": 81.2, "versions": {"secateur": "0.1.0", "torch": "2.6.0"},
        "machine": {"processor": "an engine", "cores": 2, "processes": 2, "threads_per_process": 1},
        "recipe": {}, "states": {"finished": len(ranking), "failed": 2, "abandoned": 0},
        "ranking": ranking, "best": best, "rows": rows, **changes,
    }  # fmt: skip


def write(folder: Path, content: dict[str, Any]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


def _ranked(arm: str, number: int, settings: dict[str, Any], mean: float) -> dict[str, Any]:
    ends = [mean - 0.01, mean + 0.01]
    return {"arm": arm, "run": f"{number:04d}-{arm}", "settings": settings, "mean": mean,
            "std": 0.004, "interval95": ends, "n": 3}  # fmt: skip
