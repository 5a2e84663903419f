"""What goes into the networks and what comes out: examples, curves, and pictures side by side."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from secateur.report import palette
from secateur.report.arms import GRAINS, look_of
from secateur.report.drawing import Frame, Plate, plate
from secateur.report.drawing import style as styled
from secateur.report.headline import BASELINE, name_of, shown_results
from secateur.report.macro_figures import Key, MapPlate
from secateur.report.maps import Array, of_dimensions, read_arrays, stored
from secateur.report.png import data_uri, to_levels
from secateur.report.ramps import gradient, sequential
from secateur.report.reading import Run

EXAMPLES = "examples.npz"
GREYS = 64
SHOWN_EXAMPLES = 12
CURVES = {
    "curve/roc": ("ROC curve", "false positive rate", "true positive rate"),
    "curve/pr": ("Precision and recall", "recall", "precision"),
}


@dataclass(frozen=True)
class Gallery:
    """Pictures of one subject side by side."""

    name: str
    plates: list[MapPlate]


def examples(run: Run) -> list[MapPlate]:
    """What the networks see: the pictures that the run left in its directory, if it did.

    Raises:
        FileError: where they cannot be read or are no pictures.
    """
    path = stored(run, EXAMPLES)
    if path is None:
        return []
    found = read_arrays(path)
    return [
        _picture(of_dimensions(2, array, name, path), name, height=96)
        for name, array in list(found.items())[:SHOWN_EXAMPLES]
    ]


def curve_plates(key: str, run: Run) -> list[Plate]:
    """Each kind of curve with a line an arm, where results left them."""
    arrays = _arrays(run)
    plates = []
    for kind, (title, x, y) in CURVES.items():
        lines = {name: held[kind] for name, (_, held) in arrays.items() if kind in held}
        arms = {name: arm for name, (arm, _) in arrays.items()}
        if lines:
            plates.append(
                plate(
                    f"{key}-{kind.rpartition('/')[2]}",
                    _curve_drawer(lines, arms, x, y),
                    alt=f"{title}: {y} against {x} of {', '.join(lines)}",
                    caption=f"{title} on the {run.split} split, first chip of each arm.",
                    title=title,
                    size="half",
                    legend=tuple(dict.fromkeys(arms[name] for name in lines)),
                )
            )
    return plates


def galleries(run: Run) -> list[Gallery]:
    """Original, reference and what some arms make of it, a row for each pictured subject."""
    arrays = _arrays(run)
    order = sorted(arrays, key=lambda name: arrays[name][0] not in (*GRAINS, BASELINE))
    subjects: dict[str, list[MapPlate]] = {}
    for name in order:
        arm, held = arrays[name]
        for entry, array in held.items():
            room, _, rest = entry.partition("/")
            subject, _, what = rest.rpartition("/")
            if room != "picture":
                continue
            shown = subjects.setdefault(subject, [])
            if what != "predicted":
                if all(plate.title != what for plate in shown):
                    shown.append(_picture(array, what))
            elif arm in (*GRAINS, BASELINE):
                shown.append(_picture(array, f"by {name}"))
    return [Gallery(subject, _originals_first(plates)) for subject, plates in subjects.items()]


def _originals_first(plates: list[MapPlate]) -> list[MapPlate]:
    return sorted(plates, key=lambda plate: plate.title.startswith("by "))


def _arrays(run: Run) -> dict[str, tuple[str, Mapping[str, Array]]]:
    """By a result's name: its arm, and the arrays of its first chip that left some."""
    found: dict[str, tuple[str, Mapping[str, Array]]] = {}
    for result in shown_results(run):
        paths = (stored(run, trial.arrays) for trial in result.trials)
        path = next((path for path in paths if path is not None), None)
        if path is not None:
            held = {k: of_dimensions(2, a, k, path) for k, a in read_arrays(path).items()}
            found[name_of(run, result)] = (result.arm, held)
    return found


def _curve_drawer(
    lines: Mapping[str, Array], arms: Mapping[str, str], x: str, y: str
) -> Callable[[Frame], Figure]:
    def draw(frame: Frame) -> Figure:
        figure = frame.figure(0.86 * frame.width)
        axes = styled(figure.subplots(), grid="both")
        for name, (along, up) in lines.items():
            look = look_of(arms[name])
            axes.plot(along, up, color=look.colour.light, linestyle=look.dash, linewidth=1.8)
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1.01)
        axes.set_xlabel(x)
        axes.set_ylabel(y, color=palette.MUTED.light)
        return figure

    return draw


def _picture(array: Array, title: str, *, height: int | None = None) -> MapPlate:
    top = 255.0 if array.dtype == np.uint8 else 1.0
    colours = sequential("gray", GREYS)
    rows, columns = array.shape
    return MapPlate(
        source=data_uri(to_levels(array, 0.0, top, GREYS), list(colours)),
        columns=columns,
        rows=rows,
        title=title,
        alt=f"{title}: picture of {rows} by {columns}",
        caption=f"{rows} × {columns}",
        key=Key(gradient(colours), "0", "1", ""),
        width=round(height * columns / rows) if height else 320,
        height=height,
    )
