"""A sweep seen along one setting at a time: every configuration, and the mean over all others."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from secateur.report.arms import look_of
from secateur.report.drawing import Frame, Plate, few_ticks, logarithmic, plate, style
from secateur.report.sweep_reading import Scale, SweepResults, means_by, scales


def slice_plates(key: str, results: SweepResults) -> list[Plate]:
    """One plate for each setting that was swept and changes something to look at."""
    return [_plate(f"{key}-{place}", results, scale) for place, scale in enumerate(scales(results))]


def _plate(key: str, results: SweepResults, scale: Scale) -> Plate:
    heeding = [one for one in results.ranking if scale.setting in one.settings]
    arms = tuple(dict.fromkeys(one.arm for one in heeding))
    unit = ", percent" if results.in_percent else ""
    listed = isinstance(results.space[scale.setting], list)
    line = " Lines: mean over the other settings." if listed else ""
    return plate(
        key,
        lambda frame: _draw(frame, results, scale, lines=listed),
        alt=f"{results.metric_title} against {scale.setting} for {', '.join(arms)}: a point for "
        f"each of {len(heeding)} configurations",
        caption=f"Validation {results.metric_title}{unit}. A point: a configuration, mean of its "
        f"chips.{line}",
        title=scale.setting,
        size="half",
        legend=arms,
    )


def _draw(frame: Frame, results: SweepResults, scale: Scale, *, lines: bool) -> Figure:
    figure = frame.figure(250 if frame.narrow else 300)
    axes = style(figure.subplots())
    for arm in results.arms:
        own = [o for o in results.ranking if o.arm == arm and scale.setting in o.settings]
        look = look_of(arm)
        colour = look.colour.light
        where = [scale.place(one.settings[scale.setting]) for one in own]
        heights = [results.shown(one.mean) for one in own]
        axes.plot(where, heights, look.marker, color=colour, markersize=5, mew=0, alpha=0.45)
        if lines:
            means = means_by(own, scale.setting)
            known = sorted((scale.place(value), mean) for (value,), mean in means.items())
            axes.plot(
                [place for place, _ in known], [results.shown(mean) for _, mean in known],
                color=colour, linestyle=look.dash, linewidth=1.8,
            )  # fmt: skip
    mark_values(axes, scale, number=5 if frame.narrow else 6)
    few_ticks(axes, "y", 5)
    axes.set_ylabel("percent" if results.in_percent else results.metric_title)
    axes.set_xlabel(scale.setting)
    return figure


def mark_values(axes: Axes, scale: Scale, *, number: int) -> None:
    """The ticks of a setting along the x axis."""
    if not scale.numeric:
        axes.set_xticks(range(len(scale.values)), [str(value) for value in scale.values])
        axes.margins(x=0.12)
    elif scale.logarithmic:
        logarithmic(axes, "x")
    else:
        few_ticks(axes, "x", number)
