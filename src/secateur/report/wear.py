"""What a run has worn of its chips, and how many such runs they would survive."""

from typing import Any

from secateur.report import numbers
from secateur.report.headline import name_of, shown_results
from secateur.report.reading import Result, Run


def rows(run: Run) -> list[dict[str, str]]:
    """A row for each result on a chip that tells its wear: of the chip that is worn most."""
    found = []
    for result in shown_results(run):
        wear = _most_worn(result)
        if wear is None:
            continue
        worst = wear["worst"]
        found.append({
            "arm": result.arm, "name": name_of(run, result),
            "mean": numbers.plain(wear["mean"]), "p99": numbers.count(wear["p99"]),
            "worst": numbers.count(worst["pulses"]),
            "place": f"{worst['weight']}: macro {worst['macro']}, row {worst['row']}, "
            f"column {worst['column']}",
            "used": numbers.percent(worst["of_endurance"], 4),
            "runs": "no end" if wear["runs"] is None else numbers.plain(wear["runs"]),
        })  # fmt: skip
    return found


def words(run: Run) -> str:
    """What the projection rests on."""
    known = [wear for result in shown_results(run) if (wear := _most_worn(result)) is not None]
    if not known:
        return ""
    limits = dict.fromkeys(numbers.plain(wear["endurance"]) for wear in known)
    share = numbers.percent(known[0]["tolerated"], 1)
    return (
        f"Runs left: how many runs such as this one until {share} of the cells are worn out, each "
        f"as likely to survive as its technology says; median endurance {' or '.join(limits)} "
        "pulses."
    )


def _most_worn(result: Result) -> dict[str, Any] | None:
    known = [trial.wear for trial in result.trials if trial.wear]
    return max(known, key=lambda wear: wear["worst"]["pulses"], default=None)
