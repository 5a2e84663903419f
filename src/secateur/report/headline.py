"""The headline: the table of all arms, and the same figures as dots with their intervals."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure

from secateur.report import numbers, palette
from secateur.report.arms import look_of
from secateur.report.drawing import LETTERS, Frame, Plate, few_ticks, heading, plate
from secateur.report.reading import Result, Run, Statistic
from secateur.report.sweeps import usual_results

BASELINE = "digital-quantised"
ZOOM_BELOW_BEST = 0.06
WORTH_A_ZOOM = 0.15
LABEL_LETTERS = 22
MOST_ROWS = 36


@dataclass(frozen=True)
class Entry:
    """One row: a result of a run, its headline figure, and how far it is from the baseline.

    Args:
        run: the run it belongs to.
        number: that run's place on the page, from 1.
        result: the result.
        name: its arm where it stands for that as the recipe has it, else with its variant.
        score: its headline statistic, fractions of 1; None where none was recorded.
        chip_scores: the figure of each chip, fractions of 1.
        difference: mean minus that of `digital-quantised`, fractions of 1; None where there is
            nothing to compare with, and for the baseline itself.
        borrowed_from: the name of the run whose baseline it was compared with, if not its own.
    """

    run: Run
    number: int
    result: Result
    name: str
    score: Statistic | None
    chip_scores: Sequence[float]
    difference: float | None
    borrowed_from: str = ""

    @property
    def mean(self) -> float | None:
        """The mean of the headline figure."""
        return self.score.mean if self.score else None


def shown_results(run: Run) -> list[Result]:
    """The results of a run that belong in the headline: arms as the recipe has them.

    An arm that never ran so is there with all its variants: nothing that ran is unnamed.
    """
    usual = usual_results(run)
    return [r for r in run.record.results if r is usual.get(r.arm) or r.arm not in usual]


def name_of(run: Run, result: Result) -> str:
    """A result's name in the headline: the arm alone where it stands for that."""
    return result.arm if usual_results(run).get(result.arm) is result else result.name


def entries(runs: Sequence[Run]) -> list[Entry]:
    """The rows of the headline table, runs in the order given."""
    return [
        _entry(run, number, result, runs)
        for number, run in enumerate(runs, start=1)
        for result in shown_results(run)
    ]


def _entry(run: Run, number: int, result: Result, runs: Sequence[Run]) -> Entry:
    score = run.score(result)
    owner, baseline = _baseline(run, runs)
    itself = result.arm == BASELINE
    comparable = score is not None and baseline is not None and not itself
    return Entry(
        run=run,
        number=number,
        result=result,
        name=name_of(run, result),
        score=score,
        chip_scores=run.chip_scores(result),
        difference=score.mean - baseline if comparable else None,  # type: ignore[union-attr, operator]
        borrowed_from=owner.name if comparable and owner is not run and owner else "",
    )


def _baseline(run: Run, runs: Sequence[Run]) -> tuple[Run | None, float | None]:
    """The run's own baseline, or the first one of the same task, metric and split."""
    same = [
        other
        for other in runs
        if (other.record.task, other.record.metric, other.split)
        == (run.record.task, run.record.metric, run.split)
    ]
    for candidate in [run, *same]:
        result = usual_results(candidate).get(BASELINE)
        score = candidate.score(result) if result is not None else None
        if score is not None:
            return candidate, score.mean
    return None, None


def table(rows: Sequence[Entry]) -> list[dict[str, Any]]:
    """The cells of the headline table, as words."""
    return [_table_row(row) for row in rows]


def _table_row(row: Entry) -> dict[str, Any]:
    result, score = row.result, row.score
    metric = row.run.record.metric
    validation = result.statistic(f"validation_{metric}") if row.run.split == "test" else None
    kinds = [(kind, result.pulses(kind)) for kind in ("form", "set", "reset")]
    return {
        "run": row.run.name,
        "number": row.number,
        "arm": result.arm,
        "name": row.name,
        "words": look_of(result.arm).words if row.name == result.arm else "",
        "ours": result.arm.startswith("pruned"),
        "mean": numbers.percent_number(row.mean),
        "interval": numbers.interval_percent(score),
        "std": numbers.percent_number(score.std, 2) if score and score.n > 1 else numbers.DASH,
        "n": str(score.n) if score else numbers.DASH,
        "difference": "reference" if result.arm == BASELINE else numbers.points(row.difference),
        "borrowed": row.borrowed_from,
        "validation": numbers.percent_number(validation.mean if validation else None),
        "flips": _mean(result, "flips_per_edge"),
        "worn": _mean(result, "most_worn_cell"),
        "pulses": {kind: numbers.count(amount) for kind, amount in kinds},
        "energy": numbers.with_prefix(_value(result, "programming_energy_J"), "J"),
    }


def _value(result: Result, key: str) -> float | None:
    statistic = result.statistic(key)
    return statistic.mean if statistic else None


def _mean(result: Result, key: str) -> str:
    return numbers.plain(_value(result, key))


def chart(key: str, rows: Sequence[Entry]) -> Plate | None:
    """Dots with 95 % intervals, one line per row; a second panel looks closely at the best.

    None where no row has a figure, and where there are more than one would read.
    """
    order = list(dict.fromkeys(row.result.arm for row in rows))
    drawn = [row for row in rows if row.mean is not None]
    # The same arm of several runs side by side: that is what one compares.
    drawn.sort(key=lambda row: order.index(row.result.arm))
    if not 0 < len(drawn) <= MOST_ROWS:
        return None
    split, metric = drawn[0].run.split, drawn[0].run.record.metric_title
    best = max(drawn, key=lambda row: row.mean or 0.0)
    values = ", ".join(f"{r.name} {numbers.percent(r.mean)}" for r in drawn)
    single = all(row.score is not None and row.score.interval is None for row in drawn)
    spread = (
        f"One chip{' each' if len(drawn) > 1 else ''}, so there is no interval."
        if single
        else "Bars: 95\u202f% intervals of the mean; ticks: single chips."
    )
    compared = any(row.name == BASELINE for row in drawn)
    names = {row.number: f"{row.number} {row.run.name}" for row in rows}
    if any(not 0 <= end <= 1 for row in drawn for end in _reach(row)):
        spread += " A bar that runs off the panel goes past 0 or 100: a sign of too few chips."
    which = f" Runs: {', '.join(names.values())}." if len(names) > 1 else ""
    last = f"Dotted line: {BASELINE}." if compared else f"Highest: {best.name}."
    return plate(
        key,
        lambda frame: _draw_chart(frame, drawn),
        alt=f"{metric} on the {split} split by arm: {values}",
        caption=f"{metric.capitalize()} on the {split} split, percent. {spread} {last}{which}",
    )


def _draw_chart(frame: Frame, rows: Sequence[Entry]) -> Figure:
    means = [100 * (row.mean or 0.0) for row in rows]
    floor = max(means) - 100 * ZOOM_BELOW_BEST
    close = [row for row, mean in zip(rows, means, strict=True) if mean >= floor]
    zoomed = max(means) - min(means) > 100 * WORTH_A_ZOOM and len(close) > 1
    height = 27 * len(rows) + 66
    figure, panels = frame.panels(1 + zoomed, height, sharey=not frame.narrow)
    for place, panel in enumerate(panels):
        panel.grid(visible=True, axis="x", color=palette.RULE.light, linewidth=0.8)
        panel.grid(visible=False, axis="y")
        panel.set_ylim(len(rows) - 0.4, -0.6)
        panel.set_yticks(range(len(rows)), _labels(rows, LABEL_LETTERS if frame.narrow else 60))
        panel.tick_params(axis="y", labelcolor=palette.INK.light)
        panel.tick_params(axis="y", labelleft=frame.narrow or place == 0)
        if place == 1:
            ends = [100 * end for row in close for end in _reach(row)]
            panel.set_xlim(min(ends) - 0.4, max(ends) + 0.4)
            heading(panel, f"the best {100 * ZOOM_BELOW_BEST:.0f} points, enlarged")
        elif zoomed:
            heading(panel, "all arms")
        _draw_rows(panel, rows, cut=floor if place == 1 else None, chips=place == len(panels) - 1)
        low, high = panel.get_xlim()
        panel.set_xlim(max(low, -1.5), min(high, 101.0))
        few_ticks(panel, "x", 5)
        panel.set_xlabel("percent")
    return figure


def _labels(rows: Sequence[Entry], letters: int) -> list[str]:
    """The rows' names, cut to a number of letters, with the run's number if there are several."""
    names = [row.name for row in rows]
    cut = [name if len(name) <= letters else name[: letters - 1] + "…" for name in names]
    if len({row.number for row in rows}) == 1:
        return cut
    return [f"{name} · {row.number}" for name, row in zip(cut, rows, strict=True)]


def _draw_rows(panel: Any, rows: Sequence[Entry], cut: float | None, *, chips: bool) -> None:
    for place, row in enumerate(rows):
        look, mean = look_of(row.result.arm), 100 * (row.mean or 0.0)
        colour = look.colour.light
        if row.name == BASELINE:
            panel.axvline(mean, color=colour, linewidth=1, linestyle=(0, (1, 2.5)), zorder=1)
        if cut is not None and mean < cut:
            panel.annotate(
                f"‹ {mean:.1f}",
                (0, place),
                xycoords=panel.get_yaxis_transform(),
                va="center",
                color=palette.MUTED.light,
                fontsize=LETTERS,
            )
            continue
        if row.score is not None and row.score.interval is not None:
            low, high = (100 * end for end in row.score.interval)
            panel.plot([low, high], [place, place], color=colour, linewidth=6, alpha=0.3)
        if chips and len(row.chip_scores) > 1:
            scores = [100 * value for value in row.chip_scores]
            panel.plot(scores, [place] * len(scores), "|", color=colour, ms=11, mew=1.3)
        panel.plot([mean], [place], look.marker, color=colour, markersize=8, mew=0)


def _reach(row: Entry) -> list[float]:
    ends = list(row.score.interval) if row.score and row.score.interval else []
    return [*ends, *row.chip_scores, row.mean or 0.0]
