"""Sub-networks by their size: every variant's figure against the connections it keeps."""

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from secateur.report import numbers, palette
from secateur.report.arms import look_of
from secateur.report.drawing import Frame, Plate, label_points, logarithmic, plate
from secateur.report.drawing import style as styled
from secateur.report.reading import Run

WIDTH, KEPT = "network.width", "search.keep_fraction"
ALIKE = 1.02  # sizes within two percent are one


@dataclass(frozen=True)
class Size:
    """One result.

    Args:
        arm: its arm.
        width: the network's, 1 where it was not varied.
        kept: connections it keeps, mean of the chips.
        percent: its headline figure.
    """

    arm: str
    width: float
    kept: float
    percent: float


def sizes(run: Run) -> list[Size]:
    """Every result with a size of its own choosing, smallest first.

    Other settings change the figure at a size, or the size by accident: forming does.
    """
    found = []
    for result in run.record.results:
        if set(result.overrides) - {WIDTH, KEPT}:
            continue
        kept = [trial.kept for trial in result.trials if trial.kept]
        score = run.score(result)
        if kept and score is not None and score.mean is not None:
            width = float(result.overrides.get(WIDTH, 1.0))
            found.append(Size(result.arm, width, sum(kept) / len(kept), 100 * score.mean))
    return sorted(found, key=lambda size: size.kept)


def sizes_plate(key: str, run: Run) -> Plate | None:
    """The figure against kept connections; None unless some arm ran at three sizes or more."""
    found = sizes(run)
    arms = tuple(dict.fromkeys(r.arm for r in run.record.results))
    arms = tuple(arm for arm in arms if _distinct([s for s in found if s.arm == arm]) >= 3)
    if not arms:
        return None
    shown = [size for size in found if size.arm in arms]
    return plate(
        key,
        lambda frame: _draw(frame, shown, arms),
        alt="; ".join(
            f"{s.arm} with {numbers.count(s.kept)} connections {s.percent:.1f} percent"
            for s in shown
        ),
        caption=f"{run.split.capitalize()} {run.record.metric_title} against the connections that "
        "are kept: edges of a pruned network, weights of a trained one. Lines join networks of "
        "one width at several kept fractions, or trained networks of several widths.",
        title="Sub-networks",
        legend=arms,
    )


def _distinct(some: Sequence[Size]) -> int:
    """How many sizes there are, those that are nearly alike counted once."""
    number, last = 0, 0.0
    for size in some:
        if size.kept > ALIKE * last:
            number, last = number + 1, size.kept
    return number


def _draw(frame: Frame, shown: Sequence[Size], arms: Sequence[str]) -> Figure:
    figure = frame.figure(300 if frame.narrow else 380)
    axes = styled(figure.subplots(), grid="both")
    labels = []
    for arm in arms:
        look = look_of(arm)
        mine = [size for size in shown if size.arm == arm]
        pruned = arm.startswith("pruned")
        for width in dict.fromkeys(size.width for size in mine) if pruned else (None,):
            line = [size for size in mine if width in (None, size.width)]
            axes.plot(
                [size.kept for size in line], [size.percent for size in line], look.marker,
                linestyle=look.dash, color=look.colour.light, lw=1.4, ms=6, mew=0,
            )  # fmt: skip
            if width is not None:
                last = line[-1]
                labels.append((last.kept, last.percent, f"× {width:g}", look.colour.light))
    logarithmic(axes, "x")
    axes.margins(x=0.08, y=0.1)
    axes.set_xlabel("connections kept")
    axes.set_ylabel("percent", color=palette.MUTED.light)
    label_points(axes, labels)
    return figure
