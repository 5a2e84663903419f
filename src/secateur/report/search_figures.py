"""The search in pictures: masks and scores, the kept fraction, and the pulses it took."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from secateur.report import numbers, palette
from secateur.report.arms import look_of
from secateur.report.drawing import Frame, Plate, few_ticks, logarithmic, plate, style
from secateur.report.macro_figures import Key, MapPlate
from secateur.report.maps import Array, ChipMaps
from secateur.report.png import block_means, data_uri, to_levels
from secateur.report.ramps import STEPS, diverging, gradient, veil
from secateur.report.reading import Result
from secateur.report.training import mean_over_chips

LARGEST = (512, 1200)
PER_EPOCH = (
    ("flips", "Mask flips"),
    ("set_pulses", "SET pulses"),
    ("reset_pulses", "RESET pulses"),
)


@dataclass(frozen=True)
class LayerPlates:
    """The maps of one layer, with its name and its size in words."""

    name: str
    size: str
    plates: list[MapPlate]

    @property
    def bytes(self) -> int:
        """What its images weigh on the page."""
        return sum(len(plate.source) for plate in self.plates)


def layer_maps(maps: ChipMaps) -> list[LayerPlates]:
    """Mask and scores of each layer."""
    shown = []
    for name, layer in maps.layers.items():
        plates = []
        if layer.mask is not None and layer.mask.size:
            plates.append(_mask_map(name, layer.mask))
        if layer.scores is not None and layer.scores.size:
            plates.append(_score_map(name, layer.scores))
        first = layer.mask if layer.mask is not None else layer.scores
        if plates and first is not None:
            shown.append(LayerPlates(name, _shape(first), plates))
    return shown


def _mask_map(name: str, mask: Array) -> MapPlate:
    kept = float(mask.mean())
    reduced = block_means(mask, *LARGEST)
    whole = reduced.shape == mask.shape
    steps = 2 if whole else 9
    colours = veil(palette.ACCENT, steps)
    unit = "" if whole else "; each dot is the kept share of a block of edges"
    return MapPlate(
        source=data_uri(to_levels(reduced, 0.0, 1.0, steps), list(colours)),
        columns=reduced.shape[1],
        rows=reduced.shape[0],
        title="mask",
        alt=f"Mask of {name}, {_shape(mask)}: {100 * kept:.1f} percent of the edges are kept",
        caption=f"Mask: {numbers.percent(kept)} kept{unit}.",
        key=Key(gradient(colours), "pruned", "kept", ""),
        **_room(mask),
    )


def _score_map(name: str, scores: Array) -> MapPlate:
    magnitude = np.abs(scores[np.isfinite(scores)])
    top = float(np.quantile(magnitude, 0.99)) if magnitude.size else 1.0
    top = top or 1.0
    colours = diverging(palette.RESET, palette.SET)
    reduced = block_means(scores, *LARGEST)
    return MapPlate(
        source=data_uri(to_levels(reduced, -top, top, STEPS + 1), list(colours)),
        columns=reduced.shape[1],
        rows=reduced.shape[0],
        title="scores",
        alt=f"Scores of {name}, {_shape(scores)}, 99 percent within {top:.3g} of zero",
        caption=f"Scores, no unit: 99 % lie within ±{top:.2g}.",
        key=Key(gradient(colours), f"{numbers.MINUS}{top:.2g}", f"{top:.2g}", ""),
        **_room(scores),
    )


def _shape(array: Array) -> str:
    outputs, inputs = array.shape
    return f"{numbers.number_of(outputs, 'output')} × {numbers.number_of(inputs, 'input')}"


def _room(array: Array) -> dict[str, int]:
    """Display size: layers are as unlike as 64 × 9 and 10 × 4096, and all must be seen."""
    rows, columns = array.shape
    return {"width": int(np.clip(8 * columns, 96, 512)), "height": int(np.clip(3 * rows, 72, 208))}


def kept_plate(key: str, results: Sequence[Result]) -> Plate | None:
    """The kept fraction each layer ended with, by arm."""
    kept = {result.arm: _kept_by_layer(result) for result in results}
    kept = {arm: parts for arm, parts in kept.items() if any(v < 1 for v in parts.values())}
    layers = list(dict.fromkeys(layer for parts in kept.values() for layer in parts))
    if not layers:
        return None

    def draw(frame: Frame) -> Figure:
        figure = frame.figure((26 + 7 * len(kept)) * len(layers) + 60)
        axes = style(figure.subplots(), grid="x")
        for place, (arm, parts) in enumerate(kept.items()):
            look = look_of(arm)
            shift = 0.62 * ((place + 0.5) / len(kept) - 0.5)
            for row, layer in enumerate(layers):
                if layer in parts:
                    colour = look.colour.light
                    axes.plot([0, parts[layer]], [row + shift] * 2, color=colour, lw=1.6, alpha=0.5)
                    axes.plot(
                        [parts[layer]], [row + shift], look.marker, color=colour, ms=6.5, mew=0
                    )
        axes.set_yticks(range(len(layers)), layers)
        axes.tick_params(axis="y", labelcolor=palette.INK.light)
        axes.set_ylim(len(layers) - 0.45, -0.55)
        axes.set_xlim(0, 1.0)
        axes.set_xlabel("kept fraction")
        return figure

    words = "; ".join(
        f"{arm}: " + ", ".join(f"{layer} {value:.3f}" for layer, value in parts.items())
        for arm, parts in kept.items()
    )
    return plate(
        key,
        draw,
        alt=f"Kept fraction per layer. {words}",
        caption="Share of each layer's edges that the last mask keeps, mean over the "
        "chips; arms that keep every edge are left out.",
        title="Kept fraction",
        size="half",
        legend=tuple(kept),
    )


def _kept_by_layer(result: Result) -> dict[str, float]:
    collected: dict[str, list[float]] = {}
    for trial in result.trials:
        for layer, value in trial.keep_fraction.items():
            if value is not None:
                collected.setdefault(layer, []).append(value)
    return {layer: sum(values) / len(values) for layer, values in collected.items()}


def pulse_plates(key: str, results: Sequence[Result]) -> list[Plate]:
    """Flips, SET and RESET pulses per epoch, mean over the chips, by arm."""
    plates = []
    for column, title in PER_EPOCH:
        lines = {result.arm: mean_over_chips(result, column) for result in results}
        lines = {arm: line for arm, line in lines.items() if any(line[1])}
        if lines:
            plates.append(
                plate(
                    f"{key}-{column.replace('_', '-')}",
                    _pulse_drawer(lines),
                    alt=f"{title} per epoch: "
                    + "; ".join(
                        f"{arm} from {values[0]:.0f} to {values[-1]:.0f}"
                        for arm, (_, values) in lines.items()
                    ),
                    caption=f"{title} in each epoch on one chip, mean over the chips.",
                    title=f"{title} per epoch",
                    size="half",
                    legend=tuple(lines),
                )
            )
    return plates


def _pulse_drawer(
    lines: dict[str, tuple[list[float], list[float]]],
) -> Callable[[Frame], Figure]:
    positive = [value for _, values in lines.values() for value in values if value > 0]
    steep = max(positive) > 60 * min(positive)

    def draw(frame: Frame) -> Figure:
        figure = frame.figure(230 if frame.narrow else 270)
        axes = style(figure.subplots())
        for arm, (epochs, values) in lines.items():
            look = look_of(arm)
            # A logarithm has no place for an epoch without pulses: the line is broken there.
            heights = [value if value > 0 or not steep else np.nan for value in values]
            axes.plot(
                epochs,
                heights,
                color=look.colour.light,
                linestyle=look.dash,
                linewidth=1.8,
                marker=look.marker,
                markersize=4.5,
                markeredgewidth=0,
            )
        if steep:
            logarithmic(axes, "y")
        else:
            axes.set_ylim(bottom=0)
            few_ticks(axes, "y", 5)
            axes.yaxis.set_major_formatter(lambda value, _: numbers.count(value))
        few_ticks(axes, "x", 6, whole=True)
        axes.set_xlabel("epoch")
        return figure

    return draw
