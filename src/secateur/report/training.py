"""Training curves: what each arm's accuracy and loss did, epoch by epoch."""

from collections.abc import Callable, Sequence

from matplotlib.figure import Figure

from secateur.report.arms import look_of
from secateur.report.drawing import Frame, Plate, few_ticks, plate, style
from secateur.report.reading import Result

Curve = tuple[list[float], list[float]]
CURVES = (
    ("train_accuracy", "Training accuracy", "percent", 100.0),
    ("train_loss", "Training loss", "cross entropy", 1.0),
)


def mean_over_chips(result: Result, key: str, scale: float = 1.0) -> Curve:
    """Epochs and the mean of `key` over the chips that recorded it; empty where none did."""
    by_epoch: dict[float, list[float]] = {}
    for trial in result.trials:
        for row in trial.history:
            epoch, value = row.get("epoch"), row.get(key)
            if epoch is not None and value is not None:
                by_epoch.setdefault(epoch, []).append(scale * value)
    epochs = sorted(by_epoch)
    return epochs, [sum(by_epoch[epoch]) / len(by_epoch[epoch]) for epoch in epochs]


def is_trained(result: Result) -> bool:
    """Whether there is a curve to draw: a single pass, for norm statistics, is none."""
    return any(len(trial.history) > 1 for trial in result.trials)


def curves(key: str, results: Sequence[Result]) -> list[Plate]:
    """Plates of accuracy and loss against the epoch, one line per arm with a curve."""
    trained = [result for result in results if is_trained(result)]
    plates = []
    for column, title, unit, scale in CURVES:
        lines = {r.arm: mean_over_chips(r, column, scale) for r in trained}
        lines = {arm: line for arm, line in lines.items() if line[0]}
        if lines:
            plates.append(
                plate(
                    f"{key}-{column.replace('_', '-')}",
                    _drawer(lines, unit),
                    alt=f"{title} against the epoch for " + ", ".join(lines),
                    caption=f"{title} ({unit}) against the epoch, mean over the chips."
                    + _hidden(lines),
                    title=title,
                    size="half",
                    legend=list(lines),
                )
            )
    return plates


def _hidden(lines: dict[str, Curve]) -> str:
    """Which arms share a line, such as two that train one model and differ in what follows."""
    alike: list[list[str]] = []
    for arm, line in lines.items():
        group = next((arms for arms in alike if lines[arms[0]] == line), None)
        alike.append([arm]) if group is None else group.append(arm)
    return "".join(
        f" {', '.join(arms[:-1])} and {arms[-1]} share one line: their figures are the same."
        for arms in alike
        if len(arms) > 1
    )


def _drawer(lines: dict[str, Curve], unit: str) -> Callable[[Frame], Figure]:
    def draw(frame: Frame) -> Figure:
        figure = frame.figure(250 if frame.narrow else 300)
        axes = style(figure.subplots())
        for arm, (epochs, values) in lines.items():
            look = look_of(arm)
            sparse = len(epochs) <= 12
            axes.plot(
                epochs,
                values,
                color=look.colour.light,
                linestyle=look.dash,
                linewidth=2.2 if arm.startswith("pruned") else 1.5,
                marker=look.marker if sparse else "",
                markersize=4.5,
                markeredgewidth=0,
            )
            if not sparse:
                axes.plot(
                    epochs[-1:], values[-1:], look.marker, color=look.colour.light, ms=6, mew=0
                )
        few_ticks(axes, "x", 6, whole=True)
        few_ticks(axes, "y", 5)
        axes.set_xlabel("epoch")
        axes.set_ylabel(unit)
        return figure

    return draw
