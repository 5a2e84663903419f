"""The `secateur` command and its subcommands."""

import contextlib
import gc
import io
import sys
from typing import Annotated

import typer

from secateur import __version__
from secateur.cli.chip import chip
from secateur.cli.command import Command, Debug, Group
from secateur.cli.cost import cost
from secateur.cli.listing import arms, recipe, tasks, technologies
from secateur.cli.monte_carlo import monte_carlo
from secateur.cli.plan import apply, plan
from secateur.cli.report import report
from secateur.cli.reproduce import reproduce
from secateur.cli.run import run
from secateur.cli.sweep import sweep
from secateur.cli.technologies import compare_technologies

app = typer.Typer(
    name="secateur",
    cls=Group,
    rich_markup_mode="markdown",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"secateur {__version__}")
        raise typer.Exit


@app.callback()
def secateur(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Print the version and stop."
        ),
    ] = False,
    debug: Debug = False,
) -> None:
    """Prune random resistive memory into working neural networks.

    A simulated chip is formed once: its cells get random conductances, which no software chooses.
    Training then only decides which edges of the network to keep. `secateur run` does that, next
    to what people do today (digital weights, weights programmed into the chip, ...), and ends with
    a table and a report page that hold accuracy, wear and energy against each other.

    Examples:

        secateur run digits                     # every arm, embedded data
        secateur run fashion-mnist --chips 3    # the paper's network, 3 chips
        secateur sweep digits --over search.keep_fraction=0.3,0.5   # settings, jointly
        secateur reproduce                      # the paper's three experiments
        secateur technologies taox-40nm         # the physics and its sources
        secateur report runs/pairs runs/cells   # two runs on one page

    `secateur COMMAND --help` explains a command, with examples.
    """


for _command in (
    run,
    sweep,
    monte_carlo,
    reproduce,
    report,
    cost,
    tasks,
    arms,
    technologies,
    compare_technologies,
    recipe,
    plan,
    apply,
):
    app.command(cls=Command)(_command)
app.add_typer(chip)


def run_command_line() -> None:
    """The entry point of the `secateur` script."""
    for stream in (sys.stdout, sys.stderr):
        # A terminal that cannot show a sign such as ± shall get a substitute, not an error.
        if isinstance(stream, io.TextIOWrapper):
            with contextlib.suppress(OSError):
                stream.reconfigure(errors="replace")
    try:
        app(prog_name="secateur")
    finally:
        # The interpreter would search all that torch has made for cycles, at the end of everything:
        # a third of a second that every command would take longer.
        gc.freeze()
