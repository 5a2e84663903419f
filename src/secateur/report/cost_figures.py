"""What an inference costs in pictures: where the energy goes, and which assumption matters most.

Both take the account that `secateur cost --json` prints: plain numbers, no models.
"""

from collections.abc import Callable, Mapping
from typing import Any

from matplotlib.figure import Figure

from secateur.report import numbers, palette
from secateur.report.drawing import LETTERS, Frame, Plate, few_ticks, plate, style

Account = Mapping[str, Any]

# In the order in which the parts are stacked; what is not named here follows in the last colour.
_PARTS = {
    "column outputs": palette.LEAF, "cells": palette.LEAF, "drivers": palette.MOSS,
    "converters": palette.RUST, "shift and add": palette.OCHRE, "buffers": palette.LAGOON,
    "digital": palette.SLATE,
}  # fmt: skip


def breakdown_plate(key: str, account: Account) -> Plate:
    """The energy of every layer, stacked by part."""
    layers = account["layers"]
    words = "; ".join(
        f"{row['name']} {numbers.with_prefix(row['energy_J'], 'J')}" for row in layers
    )
    total = numbers.with_prefix(account["energy_J"], "J")
    return plate(
        key,
        _breakdown_drawer(account),
        alt=f"Energy of one inference by layer and part. {words}",
        caption=f"Energy of one inference by layer and part, {total} in all, by the model "
        f"{account['model']}.",
        title="Where the energy goes",
    )


def tornado_plate(key: str, account: Account) -> Plate:
    """The saving with each constant at either end of its range, the widest bar on top."""
    bars = account["tornado"]
    first = bars[0]["name"] if bars else "none"
    return plate(
        key,
        _tornado_drawer(account),
        alt=f"Energy saved over the reference GPU, {account['saving_percent']:.1f} percent, when "
        f"one constant at a time moves through its range; the widest bar is that of {first}",
        caption="Energy saved over the reference GPU (percent) when one constant at a time goes "
        f"to the low (light) or high (dark) end of its range, by the model {account['model']}. "
        "The line: every constant as it is.",
        title="Which assumption matters most",
    )


def _breakdown_drawer(account: Account) -> Callable[[Frame], Figure]:
    layers, found = account["layers"], account["parts_J"]
    scale, unit = _scale(max(row["energy_J"] for row in layers))
    parts = [*(part for part in _PARTS if part in found), *(p for p in found if p not in _PARTS)]

    def draw(frame: Frame) -> Figure:
        figure = frame.figure(26 * len(layers) + (150 if frame.narrow else 100))
        axes = style(figure.subplots(), grid="x")
        starts = [0.0] * len(layers)
        for part in parts:
            widths = [scale * row["parts_J"].get(part, 0.0) for row in layers]
            colour = _PARTS.get(part, palette.STONE).light
            axes.barh(range(len(layers)), widths, 0.62, starts, color=colour, label=part)
            starts = [start + width for start, width in zip(starts, widths, strict=True)]
        axes.set_yticks(range(len(layers)), [row["name"] for row in layers])
        axes.set_ylim(len(layers) - 0.4, -0.6)
        axes.set_xlabel(unit)
        few_ticks(axes, "x", 4 if frame.narrow else 8)
        figure.legend(
            loc="outside lower center", ncols=2 if frame.narrow else len(parts), frameon=False,
            fontsize=LETTERS - 1, labelcolor=palette.MUTED.light,
        )  # fmt: skip
        return figure

    return draw


def _tornado_drawer(account: Account) -> Callable[[Frame], Figure]:
    bars, base = account["tornado"], account["saving_percent"]

    def draw(frame: Frame) -> Figure:
        figure = frame.figure(26 * len(bars) + 70)
        axes = style(figure.subplots(), grid="x")
        for row, bar in enumerate(bars):
            for end, opacity in (("low", 0.45), ("high", 1.0)):
                there = bar[f"saving_percent_{end}"]
                axes.barh(row, there - base, 0.62, base, color=palette.ACCENT.light, alpha=opacity)
        axes.axvline(base, color=palette.INK.light, linewidth=1.2)
        axes.set_yticks(range(len(bars)), [bar["name"] for bar in bars])
        axes.set_ylim(len(bars) - 0.4, -0.6)
        axes.set_xlabel("percent saved")
        few_ticks(axes, "x", 4 if frame.narrow else 8)
        return figure

    return draw


def _scale(most: float) -> tuple[float, str]:
    """The factor and the unit that bring joules near 1."""
    power = next((p for p in sorted(numbers.PREFIXES, reverse=True) if most >= 10.0**p), -15)
    return 10.0**-power, f"{numbers.PREFIXES[power]}J"
