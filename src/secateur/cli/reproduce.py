"""`secateur reproduce`."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from secateur.cli.command import Debug, Json, command_line
from secateur.cli.printing import show, show_json, table
from secateur.cli.watching import display

if TYPE_CHECKING:
    from secateur.report.reading import Run


def reproduce(
    ctx: typer.Context,
    *,
    task: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TASK", show_default=False,
            help="Only this experiment of the paper; may be given again.",
        ),
    ] = None,
    arm: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ARM", show_default=False,
            help="Run only this arm; may be given again. See `secateur arms`.",
        ),
    ] = None,
    chips: Annotated[
        int | None,
        typer.Option(
            metavar="N", show_default="3, and 1 for drive",
            help="Chips per arm: each has its own random cells and seed.",
        ),
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(metavar="N", show_default="the recipes'", help="Epochs per trial."),
    ] = None,
    out: Annotated[
        Path,
        typer.Option(
            metavar="DIR",
            help="Where the runs and the page go. What it holds already is gone on with.",
        ),
    ] = Path("runs/paper"),
    data: Annotated[
        Path | None,
        typer.Option(metavar="DIR", show_default=False, help="Where the data sets lie."),
    ] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:  # fmt: skip
    """Run the paper's three experiments again: images, speech, segmentation.

    Each is a run of its own with its shipped recipe, under --out. At the end a table for each task
    says what pruning gains over every baseline, beside what the paper claims, and one page holds
    all three. Interrupted or killed, the same command goes on where it was.

    Examples:

        secateur reproduce --data /srv/data
        secateur reproduce --task spoken-digits --chips 5
        secateur reproduce --task drive --arm digital-quantised --arm pruned
    """
    from secateur.experiment.reproduction import experiments
    from secateur.experiment.reproduction import reproduce as run_all
    from secateur.report import read_run, write_report

    asked = {"run.arms": arm, "run.chips": chips, "training.epochs": epochs}
    settings = {path: value for path, value in asked.items() if value not in (None, [])}
    recipes = experiments(task or (), settings)
    ran = run_all(recipes, out, data=data, command=command_line(ctx), watch=display)
    runs = {name: read_run(folder) for name, folder in ran}
    page = write_report([run.directory for run in runs.values()], out / "report.html")
    if as_json:
        show_json(_as_json(runs, page))
        return
    show(*(part for name, run in runs.items() for part in _in_words(name, run)), f"Report: {page}")


def _in_words(name: str, run: "Run") -> list[Table | str]:
    from secateur.cli.comparison import comparison

    parts: list[Table | str] = [run.record.title, comparison(run.record)]
    gains = _gains(run)
    if gains is not None:
        parts += [f"Gain of pruning, points; the paper claims {_claim(name, run)}", gains]
    return parts


def _gains(run: "Run") -> Table | None:
    from secateur.report.gains import table as gains_of

    found = gains_of(run)
    if found is None:
        return None
    columns = [f"{column['name']}, {column['metric']}" for column in found["columns"]]
    made = table("over", *columns, numbers=tuple(columns))
    for row in found["rows"]:
        made.add_row(row["name"], *row["cells"])
    return made


def _claim(name: str, run: "Run") -> str:
    from secateur.experiment.claims import CLAIMED_GAINS

    titles = run.record.metrics
    return " and ".join(f"+{v:g} ({titles.get(m, m)})" for m, v in CLAIMED_GAINS[name].items())


def _as_json(runs: Mapping[str, "Run"], page: Path) -> dict[str, Any]:
    from secateur.experiment.claims import CLAIMED_GAINS
    from secateur.report.gains import table as gains_of

    return {
        "report": str(page),
        "experiments": {
            name: {
                "run": str(run.directory),
                "claimed_points": dict(CLAIMED_GAINS[name]),
                "gains": gains_of(run),
            }
            for name, run in runs.items()
        },
    }
