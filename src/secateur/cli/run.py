"""`secateur run`."""

import shlex
import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from secateur.cli import refusals
from secateur.cli.command import Debug, Json, command_line
from secateur.cli.printing import show, show_json
from secateur.cli.watching import display

if TYPE_CHECKING:
    from secateur.experiment.recipe import Recipe

_WHAT, _SETTINGS, _WHERE = "What to run", "Settings", "Where and how"


def run(
    ctx: typer.Context,
    task: Annotated[
        str | None,
        typer.Argument(
            metavar="TASK", show_default=False,
            help="See `secateur tasks`. Not needed with --recipe or --resume.",
        ),
    ] = None,
    *,
    arm: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ARM", rich_help_panel=_WHAT, show_default=False,
            help="Run only this arm; may be given again. See `secateur arms`.",
        ),
    ] = None,
    chips: Annotated[
        int | None,
        typer.Option(
            metavar="N", rich_help_panel=_WHAT, show_default=False,
            help="Chips per arm: each has its own random cells and seed.",
        ),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(
            metavar="PART", rich_help_panel=_WHAT, show_default=False,
            help="Choose settings on `validation`; report on `test`, which is read once, at the "
            "end of a training that uses the validation part too; or do `both`.",
        ),
    ] = None,
    vary: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATH=V1,V2,...", rich_help_panel=_WHAT, show_default=False,
            help="Run every arm at each of these values of a setting; may be given again.",
        ),
    ] = None,
    sweep_programming_error: Annotated[
        bool,
        typer.Option(
            "--sweep-programming-error", rich_help_panel=_WHAT,
            help="Vary the error that programming leaves (0 to 0.3) for the programmed arms, "
            "`pruned` and `pruned-cells`: where do their accuracies cross?",
        ),
    ] = False,
    technology: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", rich_help_panel=_SETTINGS, show_default=False,
            help="What the chip's cells are made of. See `secateur technologies`.",
        ),
    ] = None,
    chip: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS", rich_help_panel=_SETTINGS, show_default=False,
            help="A board's server instead of a simulated chip; it computes every product. See "
            "`secateur chip serve`.",
        ),
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(
            metavar="N", rich_help_panel=_SETTINGS, show_default=False, help="Epochs per trial."
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            metavar="N", rich_help_panel=_SETTINGS, show_default=False,
            help="Of all randomness, the chips' included.",
        ),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="PATH=VALUE", rich_help_panel=_SETTINGS, show_default=False,
            help="Any setting of `secateur recipe TASK`; may be given again.",
        ),
    ] = None,
    recipe: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", rich_help_panel=_SETTINGS, show_default=False,
            help="Start from this TOML recipe instead of the task's own.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", rich_help_panel=_WHERE, show_default="runs/TASK-DATE-TIME",
            help="The run directory, new or empty.",
        ),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume", rich_help_panel=_WHERE,
            help="Go on with the run in --out, with its own recipe.",
        ),
    ] = False,
    threads: Annotated[
        int | None,
        typer.Option(
            metavar="N", rich_help_panel=_WHERE, show_default=False,
            help="Threads of each process. Part of the result's last bits, so it is recorded.",
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", rich_help_panel=_WHERE, show_default=False,
            help="Where the data set lies. Otherwise: $SECATEUR_DATA, Debian's package, the "
            "user's cache, a download.",
        ),
    ] = None,
    track: Annotated[
        str | None,
        typer.Option(
            metavar="tensorboard|mlflow|wandb", rich_help_panel=_WHERE, show_default=False,
            help="Tell this tracker of every trial, through Accelerate.",
        ),
    ] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:  # fmt: skip
    """Run a task's arms on simulated chips and compare them.

    Every arm trains the same network on the same data, once for each chip. Progress goes to
    stderr; at the end a table (accuracy with its 95 % interval over the chips, mask flips, wear,
    pulses, programming energy) and the path of a report page go to stdout. The run directory holds
    `recipe.toml` (complete, runs again with --recipe), `record.json`, `metrics.jsonl`, checkpoints
    and `report.html`.

    Examples:

        secateur run digits
        secateur run digits --arm digital --arm pruned --chips 5 --epochs 10
        secateur run fashion-mnist --chips 3 --data /srv/data --out runs/fashion
        secateur run --resume --out runs/fashion    # after a power cut
        secateur run digits --set chip.forming=half --set search.keep_fraction=0.4
        secateur run digits --technology pcm --arm programmed --arm pruned
        secateur run digits --split validation --vary search.dead_band=0,0.05,0.1
        secateur run fashion-mnist --sweep-programming-error
        secateur run digits --arm pruned --chip tcp://127.0.0.1:5757
        torchrun --nproc-per-node 2 -m secateur run digits    # each trial in two processes
    """
    from secateur.cli.settings import Asked, recipe_of

    asked = Asked(
        task=task,
        recipe=recipe,
        out=out,
        resume=resume,
        options=(
            ("--arm", "run.arms", arm),
            ("--chips", "run.chips", chips),
            ("--split", "run.split", split),
            ("--technology", "chip.technology", technology),
            ("--chip", "chip.address", chip),
            ("--epochs", "training.epochs", epochs),
            ("--seed", "run.seed", seed),
            ("--threads", "run.threads", threads),
        ),
        assignments=set_ or (),
        vary=vary or (),
        sweep_programming_error=sweep_programming_error,
    )
    chosen = recipe_of(asked)
    directory = out or _new_directory(chosen.task.name)
    record = carry_out(
        chosen, directory, data=data, resume=resume, command=command_line(ctx), track=track
    )
    if record is not None:
        _print(*record, as_json=as_json)


def _new_directory(task: str) -> Path:
    return Path("runs") / f"{task}-{datetime.now():%Y%m%d-%H%M%S}"


def carry_out(
    recipe: "Recipe", directory: Path, *, data: Path | None, resume: bool, command: str,
    track: str | None = None,
) -> tuple[dict[str, Any], Path] | None:  # fmt: skip
    """Runs a recipe with its progress on stderr; says how to go on where it is interrupted.

    Returns:
        The record and its directory; None in a process that another one leads.
    """
    from secateur.experiment.processes import agreed, check_precision, launched, processes
    from secateur.experiment.runner import Silent, run_experiment

    together = processes() if launched() else None
    settings: dict[str, Any] = {"data": data, "resume": resume, "command": command, "track": track}
    try:
        if together is not None:
            check_precision(recipe.training.precision)
            directory = Path(agreed(str(directory)))
        if together is not None and not together.leads:
            run_experiment(recipe, directory, **settings, watch=Silent(), together=together)
            return None
        with display() as watch:
            record = run_experiment(recipe, directory, **settings, watch=watch, together=together)
        return record, directory
    except KeyboardInterrupt:
        if not (directory / "recipe.toml").is_file():
            raise
        again = shlex.join(["secateur", "run", "--resume", "--out", str(directory)])
        refusals.say(f"Interrupted. `{again}` goes on with it.")
        raise typer.Exit(refusals.INTERRUPTED) from None


def _print(record: dict[str, Any], directory: Path, *, as_json: bool) -> None:
    from secateur.cli.comparison import comparison, legend
    from secateur.report import Record, write_report

    # Before anything is printed: a reader who leaves the pipe shall find the page all the same.
    page = write_report([directory], directory / "report.html")
    if as_json:
        show_json(record)
        print(f"Report: {page}", file=sys.stderr)
        return
    read = Record.model_validate(record)
    notes = dict.fromkeys(n for result in read.results for t in result.trials for n in t.notes)
    show(comparison(read), legend(read), *(f"Note: {n}" for n in notes), f"Report: {page}")
