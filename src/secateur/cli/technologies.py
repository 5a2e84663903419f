"""`secateur compare-technologies`."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from secateur.cli.command import Debug, Json, command_line
from secateur.cli.printing import show, show_json, table
from secateur.cli.run import carry_out

DAY, MONTH, YEAR = 86400.0, 30 * 86400.0, 365.25 * 86400.0
ARMS = ("programmed", "programmed-aware", "pruned", "pruned-cells")
REMEDIES = ("norms", "global", "column")


def compare_technologies(
    ctx: typer.Context,
    task: Annotated[str, typer.Argument(metavar="TASK", help="See `secateur tasks`.")],
    *,
    technology: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", show_default="every preset but ideal",
            help="A preset, or a TOML file of that layout; may be given again.",
        ),
    ] = None,
    arm: Annotated[
        list[str] | None,
        typer.Option(metavar="ARM", show_default=", ".join(ARMS), help="May be given again."),
    ] = None,
    remedy: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", show_default=", ".join(REMEDIES),
            help="What is tried on aged models: norms renewed, drift compensated (global: one "
            "factor for an array; column: one for each of its columns), or several in turn, as "
            "column+norms. May be given again.",
        ),
    ] = None,
    chips: Annotated[
        int | None, typer.Option(metavar="N", show_default="1", help="Chips per arm and memory.")
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(metavar="N", show_default="the recipe's", help="Epochs per trial."),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="PATH=VALUE", show_default=False,
                     help="Any setting of `secateur recipe TASK`; may be given again."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", show_default="runs/TASK-technologies",
                     help="The run directory. What it holds already is gone on with."),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(metavar="DIR", show_default=False, help="Where the data set lies."),
    ] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:  # fmt: skip
    """Compare memories: pruned against programmed, fresh and after a day, a month and a year.

    A run of the task on each technology, whose finished models are aged and measured again: as
    they are, and with each remedy, none of which sends a pulse. One table, and figures on the
    report page.

    Examples:

        secateur compare-technologies digits --epochs 5
        secateur compare-technologies fashion-mnist --technology taox-40nm --technology pcm
    """
    from secateur.cli.settings import Asked, recipe_of
    from secateur.device import presets
    from secateur.report import read_run, write_report

    names = technology or [name for name in presets() if name != "ideal"]
    asked = Asked(
        task=task,
        options=(
            ("--arm", "run.arms", arm or list(ARMS)),
            ("--chips", "run.chips", chips),
            ("--epochs", "training.epochs", epochs),
            ("--technology", "run.vary", {"chip.technology": names}),
            ("ages", "stress.ages", [DAY, MONTH, YEAR]),
            ("--remedy", "stress.remedies", remedy or list(REMEDIES)),
        ),
        assignments=set_ or (),
    )
    directory = out or Path("runs") / f"{task}-technologies"
    resume = (directory / "recipe.toml").is_file()
    done = carry_out(
        recipe_of(asked), directory, data=data, resume=resume, command=command_line(ctx)
    )
    if done is None:
        return
    page = write_report([directory], directory / "report.html")
    found = _found(read_run(directory))
    if as_json:
        show_json({"report": str(page), **found})
        return
    show(_in_words(found), f"Report: {page}")


def _found(run: Any) -> dict[str, Any]:
    from secateur.report.technologies import table as figures

    return {"metric": run.record.metric_title, **(figures(run) or {"ages": [], "rows": []})}


def _in_words(found: dict[str, Any]) -> Table:
    ages = [f"{age}, %" for age in found["ages"]]
    made = table("technology", "arm", "aged", *ages, numbers=tuple(ages))
    for row in found["rows"]:
        made.add_row(row["technology"], row["arm"], row["remedy"], *row["cells"])
    return made
