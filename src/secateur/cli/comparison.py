"""The table a run ends with: one row for each arm or variant, figures over its chips."""

from collections.abc import Callable

from rich.table import Table

from secateur.cli.printing import table
from secateur.cli.quantities import NONE, count, percent, quantity, ratio
from secateur.experiment.arms import ARMS
from secateur.report import Record
from secateur.report.reading import Result, Statistic

Cell = Callable[[Result], str]


def comparison(record: Record) -> Table:
    """The arms of a record side by side."""
    columns = _columns(record)
    made = table(*columns, numbers=tuple(set(columns) - {"arm", "variant"}))
    for result in _told_once(record):
        made.add_row(*(cell(result) for cell in columns.values()))
    return made


def legend(record: Record) -> str:
    """What the figures are taken over, and what the columns hold that are there."""
    number = max((len(result.trials) for result in record.results), default=0)
    chip = any(result.has_chip for result in record.results)
    thing = "chip" if chip else "trial"
    if number < 2:
        words = f"One {thing}{'' if chip else ' each'}, so no interval."
    else:
        over = f"{number} {thing}s, ± the 95 % interval of the mean; std is over {thing}s"
        words = f"Means over {over}."
    if chip:
        words += (
            " Most worn: pulses on the cell that had most. SET, RESET and energy: all the "
            "programming of one chip."
        )
    if any(_unheeded(result) for result in record.results):
        words += f" Variant {NONE}: what was varied makes no difference to that arm."
    return words


def _told_once(record: Record) -> list[Result]:
    """The results; those that one trial stands for, see `run_experiment`, as one and no variant."""
    found: dict[tuple[str, str], Result] = {}
    for result in record.results:
        own = result.model_copy(update={"variant": ""}) if _unheeded(result) else result
        found.setdefault((own.arm, own.variant), own)
    return list(found.values())


def _unheeded(result: Result) -> bool:
    """Whether this is a variant by settings that its arm does not heed."""
    arm = ARMS.get(result.arm)
    if arm is None or not result.overrides:
        return False
    return not any(arm.heeds(path) for path in result.overrides)


def _columns(record: Record) -> dict[str, Cell]:
    results = record.results
    columns: dict[str, Cell] = {"arm": lambda result: result.arm}
    if any(result.variant for result in results):
        columns["variant"] = lambda result: result.variant or NONE
    columns |= _scores(record)
    columns["n"] = lambda result: str(len(result.trials))
    if any(result.has_chip for result in results):
        columns |= {
            "flips/edge": lambda result: ratio(_mean(result, "flips_per_edge")),
            "most worn": lambda result: count(_mean(result, "most_worn_cell")),
            "SET": lambda result: count(result.pulses("set")),
            "RESET": lambda result: count(result.pulses("reset")),
            "energy": lambda result: quantity(_mean(result, "programming_energy_J"), "J"),
        }
    return columns


def _scores(record: Record) -> dict[str, Cell]:
    """The splits that were measured; a record's plain metric is that of the reported one."""
    metric, title = record.metric, record.metric_title
    trials = [trial for result in record.results for trial in result.trials]
    columns: dict[str, Cell] = {}
    if any(trial.validation for trial in trials):
        columns |= {
            f"validation {title}": _score(f"validation_{metric}"),
            "validation std": _deviation(f"validation_{metric}"),
        }
    if any(trial.test for trial in trials):
        columns |= {f"test {title}": _score(metric), "test std": _deviation(metric)}
    return columns


def _score(key: str) -> Cell:
    def cell(result: Result) -> str:
        found = result.statistic(key)
        return percent(found.mean, _half_width(found)) if found else NONE

    return cell


def _deviation(key: str) -> Cell:
    def cell(result: Result) -> str:
        found = result.statistic(key)
        return percent(found.std) if found else NONE

    return cell


def _half_width(statistic: Statistic) -> float | None:
    interval = statistic.interval
    return (interval[1] - interval[0]) / 2 if interval else None


def _mean(result: Result, key: str) -> float | None:
    found = result.statistic(key)
    return found.mean if found else None
