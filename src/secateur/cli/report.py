"""`secateur report`."""

from pathlib import Path
from typing import Annotated

import typer

from secateur.cli.command import Debug, Json
from secateur.cli.printing import show, show_json


def report(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN_DIR", help="Directories of finished runs.")
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="The page; of what is there only an older page is replaced. Default: report.html "
            "in RUN_DIR, or here for several.",
        ),
    ] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Write the report page of one or several runs.

    The page is one HTML file that needs no network: headline table, training curves, conductance
    maps, masks, pulses, and the recipe and physics behind them. Its path is printed.

    Examples:

        secateur report runs/digits
        secateur report runs/pairs runs/cells --out pairs-and-cells.html
    """
    from secateur.report import write_report

    page = write_report(runs, out or (runs[0] if len(runs) == 1 else Path()) / "report.html")
    if as_json:
        show_json({"report": str(page)})
    else:
        show(str(page))
