"""`secateur monte-carlo`."""

import os
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from secateur.cli.command import Debug, Json
from secateur.cli.printing import show, show_json, table
from secateur.cli.quantities import percent


def monte_carlo(
    run: Annotated[
        Path, typer.Argument(metavar="DIR", help="A finished run, or one of a sweep's runs/.")
    ],
    *,
    arm: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ARM", show_default="those with a chip",
            help="Only this arm; may be given again.",
        ),
    ] = None,
    draws: Annotated[int, typer.Option(metavar="N", help="Draws of each arm.")] = 64,
    age: Annotated[
        float, typer.Option(metavar="SECONDS", help="Let every chip grow so old first.")
    ] = 0.0,
    failed: Annotated[
        float,
        typer.Option(metavar="SHARE", help="Let such a share of the cells fail first."),
    ] = 0.0,
    renew: Annotated[
        bool,
        typer.Option("--renew", help="Then take the norms' statistics anew, without a pulse."),
    ] = False,
    at_least: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE", show_default=False,
            help="Yield: the share of draws whose headline figure is at least this, as 0.9.",
        ),
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option(metavar="N", show_default="cores / threads", help="Processes."),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(metavar="DIR", show_default=False, help="Where the data set lies."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", show_default="DIR/monte-carlo",
            help="Where the draws and the page go; earlier ones there are replaced.",
        ),
    ] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:  # fmt: skip
    """Measure a finished run's networks on many chips, without training.

    Trained weights (`programmed`) are written to another chip at every draw. A pruned topology
    keeps its own chip: read noise, drift and the cells that fail are drawn anew. Measured is the
    part that the run has measured; memory does not grow with the number of draws.

    Examples:

        secateur monte-carlo runs/first --draws 64
        secateur monte-carlo runs/first --arm programmed --at-least 0.9
        secateur monte-carlo runs/first --age 31557600 --failed 0.01 --renew
    """
    from secateur.experiment.monte_carlo import Hardship, yield_of
    from secateur.experiment.monte_carlo import monte_carlo as draw_all
    from secateur.report.monte_carlo_page import write_monte_carlo

    if at_least is not None and not 0.0 <= at_least <= 1.0:
        from secateur.errors import SettingError

        raise SettingError(f"--at-least {at_least} is no share", remedy="Give one from 0 to 1")
    found = draw_all(
        run, arms=arm or (), draws=draws, hardship=Hardship(age, failed, renew),
        processes=jobs if jobs is not None else (os.cpu_count() or 1), data=data,
    )  # fmt: skip
    metric = next(iter(found["draws"][0]["figures"]))
    if at_least is not None:
        found["at_least"] = at_least
        found["yield"] = {
            name: yield_of(_figures(found, name, metric), at_least) for name in found["summary"]
        }
    page = write_monte_carlo(found, metric, out or run / "monte-carlo")
    if as_json:
        show_json(found)
        return
    show(_table(found, metric), f"Report: {page}")


def _figures(found: dict[str, Any], arm: str, metric: str) -> list[float]:
    return [row["figures"][metric] for row in found["draws"] if row["arm"] == arm]


def _table(found: dict[str, Any], metric: str) -> Table:
    title = f"{found['part']} {metric.replace('_', ' ')}"
    columns = [title, "std", "5 % of the draws below", "95 % below", "worst", "n"]
    if "yield" in found:
        columns.append(f"at least {percent(found['at_least'])}")
    made = table("arm", *columns, numbers=tuple(columns))
    for arm, summary in found["summary"].items():
        one = summary[metric]
        row = [percent(one[key]) for key in ("mean", "std", "q05", "q95", "min")]
        row.append(str(len(_figures(found, arm, metric))))
        if "yield" in found:
            share, low, high = found["yield"][arm]
            row.append(f"{percent(share)} ({percent(low)} – {percent(high)})")
        made.add_row(arm, *row)
    return made
