"""The draws of a Monte-Carlo evaluation: as a table, and as distributions on a page."""

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from secateur.files import write_atomically
from secateur.report import numbers
from secateur.report.arms import look_of
from secateur.report.drawing import Frame, Plate, few_ticks, heading, plate
from secateur.report.page import style_sheet, template, write_page

BINS = 24


def write_monte_carlo(found: Mapping[str, Any], metric: str, out: Path) -> Path:
    """Writes `draws.csv`, `monte-carlo.json` and the page into a folder; returns the page.

    Args:
        found: what `experiment.monte_carlo` gives, with `yield` by arm where it was asked for.
        metric: the headline figure, a share.
        out: the folder.

    Raises:
        FileError: where they cannot be written.
    """
    write_atomically(out / "draws.csv", _as_csv(found["draws"]))
    write_atomically(out / "monte-carlo.json", json.dumps(found, indent=1).encode())
    page = template("cost.html.jinja").render(
        title=f"Many draws of {found['task']}", words=opening(found, metric), style=style_sheet(),
        plates=[distribution_plate("draws", found, metric)],
    )  # fmt: skip
    return write_page(page.strip() + "\n", out / "report.html")


def opening(found: Mapping[str, Any], metric: str) -> str:
    """What was drawn, and what came of it."""
    hardship, told = found["hardship"], []
    if hardship["age"]:
        told.append(f"{numbers.duration(hardship['age'])} old")
    if hardship["failed"]:
        told.append(f"with {numbers.percent(hardship['failed'])} of the cells failed")
    state = " and ".join(told) or "fresh"
    renewed = ", the norms' statistics taken anew" if hardship["renew"] else ""
    words = [f"Chips {state}{renewed}."]
    for arm, summary in found["summary"].items():
        one = summary[metric]
        words.append(
            f"{arm}: mean {found['part']} {metric.replace('_', ' ')} "
            f"{numbers.percent(one['mean'])}, one draw in twenty below "
            f"{numbers.percent(one['q05'])}."
        )
    for arm, (share, low, high) in found.get("yield", {}).items():
        words.append(
            f"{numbers.percent(share)} of the draws of {arm} reach "
            f"{numbers.percent(found['at_least'])} (95\u202f% interval of the share: "
            f"{numbers.percent(low)} – {numbers.percent(high)})."
        )
    return " ".join(words)


def distribution_plate(key: str, found: Mapping[str, Any], metric: str) -> Plate:
    """The distribution of the headline figure, one panel for each arm."""
    figures = {
        arm: 100 * np.array([r["figures"][metric] for r in found["draws"] if r["arm"] == arm])
        for arm in found["summary"]
    }
    title = f"{found['part']} {metric.replace('_', ' ')}"
    spans = "; ".join(f"{arm} {v.min():.1f} to {v.max():.1f}" for arm, v in figures.items())
    return plate(
        key,
        _drawer(figures, title),
        alt=f"Histograms of the {title} in percent over the draws: {spans}",
        caption=f"{title.capitalize()} in percent: draws in each bin. Trained weights are written "
        "to another chip at every draw; pruned topologies keep their chip, and what is read and "
        "what time does are drawn anew. Dotted: the mean.",
    )


def _drawer(figures: Mapping[str, Any], title: str) -> Callable[[Frame], Figure]:
    ends = np.concatenate(list(figures.values()))
    low, high = float(ends.min()), float(ends.max())
    room = 0.05 * (high - low) or 0.5
    bins = np.linspace(low - room, high + room, BINS + 1)

    def draw(frame: Frame) -> Figure:
        figure, panels = frame.panels(len(figures), 130, stack=True, sharex=True)
        for panel, (arm, values) in zip(panels, figures.items(), strict=True):
            colour = look_of(arm).colour.light
            counts = np.histogram(values, bins)[0]
            panel.stairs(counts, bins, fill=True, color=colour, alpha=0.35, linewidth=0)
            panel.stairs(counts, bins, color=colour, linewidth=1.3)
            panel.axvline(float(values.mean()), color=colour, linewidth=1.2, linestyle=(0, (1, 2)))
            heading(panel, arm)
            few_ticks(panel, "y", 3, whole=True)
            few_ticks(panel, "x", 6)
        panels[-1].set_xlabel(f"{title}, percent")
        return figure

    return draw


def _as_csv(draws: Sequence[Mapping[str, Any]]) -> bytes:
    text = io.StringIO(newline="")
    names = list(dict.fromkeys(name for row in draws for name in row["figures"]))
    writer = csv.DictWriter(text, ["arm", "chip", "draw", *names], lineterminator="\n")
    writer.writeheader()
    for row in draws:
        about = {key: row[key] for key in ("arm", "chip", "draw")}
        writer.writerow({**about, **row["figures"]})
    return text.getvalue().encode()
