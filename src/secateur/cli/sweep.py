"""`secateur sweep`."""

import os
import shlex
import sys
from collections.abc import Mapping
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from secateur.cli import refusals
from secateur.cli.command import Debug, Json, command_line
from secateur.cli.printing import show, show_json, table
from secateur.cli.quantities import NONE, percent
from secateur.cli.watching import display

if TYPE_CHECKING:
    from secateur.experiment.sweep import Plan

_WHAT, _SETTINGS, _WHERE = "What to sweep", "Settings", "Where and how"
_SHOWN = 5


def sweep(
    ctx: typer.Context,
    task: Annotated[
        str | None,
        typer.Argument(
            metavar="TASK", show_default=False,
            help="See `secateur tasks`. Not needed with --recipe or --resume.",
        ),
    ] = None,
    *,
    over: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATH=V1,V2,...", rich_help_panel=_WHAT, show_default=False,
            help="A setting with its values, or with a range to draw from: LOW..HIGH, or "
            "LOW..HIGH:log. May be given again: all combinations are run.",
        ),
    ] = None,
    arms: Annotated[
        list[str] | None,
        typer.Option(
            "--arms", "--arm", metavar="ARM,...", rich_help_panel=_WHAT, show_default=False,
            help="Only these arms. See `secateur arms`.",
        ),
    ] = None,
    chips: Annotated[
        int | None,
        typer.Option(
            metavar="N", rich_help_panel=_WHAT, show_default=False,
            help="Chips for each combination and arm.",
        ),
    ] = None,
    random: Annotated[
        int | None,
        typer.Option(
            metavar="N", rich_help_panel=_WHAT, show_default=False,
            help="Draw so many combinations instead of running all.",
        ),
    ] = None,
    optimise: Annotated[
        str | None,
        typer.Option(
            metavar="METRIC", rich_help_panel=_WHAT, show_default=False,
            help="Let Optuna search for the best by this figure, as `accuracy` or `loss`, and "
            "abandon what is hopeless.",
        ),
    ] = None,
    trials: Annotated[
        int | None,
        typer.Option(
            metavar="N", rich_help_panel=_WHAT, show_default="50",
            help="Combinations that such a search tries, for each arm.",
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
            help="Of all randomness, that of the draws and of the search included.",
        ),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="PATH=VALUE", rich_help_panel=_SETTINGS, show_default=False,
            help="Any setting of `secateur recipe TASK`, for all trials; may be given again.",
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
            metavar="DIR", rich_help_panel=_WHERE, show_default="runs/sweep-TASK-DATE-TIME",
            help="The sweep's directory, new or empty, which all workers see.",
        ),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume", rich_help_panel=_WHERE,
            help="Go on with the sweep in --out; nothing that has ended is run again.",
        ),
    ] = False,
    retry_failed: Annotated[
        bool,
        typer.Option(
            "--retry-failed", rich_help_panel=_WHERE,
            help="With --resume: run trials again that have failed.",
        ),
    ] = False,
    backend: Annotated[
        str,
        typer.Option(
            metavar="local|dask|ray", rich_help_panel=_WHERE,
            help="Processes of this machine, or the workers of a cluster.",
        ),
    ] = "local",
    scheduler: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS", rich_help_panel=_WHERE, show_default=False,
            help="The cluster's, for instance tcp://host:8786.",
        ),
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option(
            metavar="N", rich_help_panel=_WHERE, show_default="cores / threads",
            help="Processes of this machine, with --backend local.",
        ),
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(
            metavar="N", rich_help_panel=_WHERE, show_default=False,
            help="Threads of each trial. Part of the result's last bits, so it is recorded.",
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", rich_help_panel=_WHERE, show_default=False,
            help="Where the data set lies, for every worker.",
        ),
    ] = None,
    yes: Annotated[
        bool,
        typer.Option("--yes", "-y", rich_help_panel=_WHERE, help="Do not ask about many trials."),
    ] = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:  # fmt: skip
    """Vary several settings jointly: a grid, draws from it, or a search for the best.

    Measured is the validation part, never the test set. Each combination and arm is a run directory
    with a trial for every chip; `trials.csv` (and `trials.parquet`) grows while it runs. Killed,
    it goes on with --resume; a trial whose worker died is run again; one that fails is recorded
    and stops no other. At the end: a table, `best.toml` for `secateur run --recipe`, and a page.

    Examples:

        secateur sweep digits --over search.keep_fraction=0.3,0.5,0.7 --over search.dead_band=0,0.1
        secateur sweep digits --arms pruned --chips 3 --over training.learning_rate=0.01..1:log --random 20
        secateur sweep digits --arms pruned --optimise accuracy --trials 30 --over search.keep_fraction=0.2..0.8
        secateur sweep digits --over chip.forming=full,ramp --backend dask --scheduler tcp://host:8786
        secateur sweep --resume --out runs/sweep    # after a power cut
    """  # noqa: E501
    from secateur.cli.settings import Asked, recipe_of
    from secateur.experiment.sweep import Plan, Space, run_sweep
    from secateur.experiment.sweep.pools import pool_of
    from secateur.experiment.sweep.versions import COMPARED, versions_here

    command = command_line(ctx)
    if resume:
        given = {
            "TASK": task, "--over": over, "--arms": arms, "--chips": chips, "--random": random,
            "--optimise": optimise, "--trials": trials, "--epochs": epochs, "--seed": seed,
            "--set": set_, "--recipe": recipe, "--threads": threads,
        }  # fmt: skip
        plan, command = _resumed(given, out)
    else:
        asked = Asked(
            task=task, recipe=recipe, out=out, assignments=set_ or (),
            options=(
                ("--arms", "run.arms", _listed(arms)), ("--chips", "run.chips", chips),
                ("--epochs", "training.epochs", epochs), ("--seed", "run.seed", seed),
                ("--threads", "run.threads", threads),
            ),
        )  # fmt: skip
        _check_options(trials=trials, optimise=optimise, retry_failed=retry_failed)
        plan = Plan.of(
            recipe_of(asked), Space.from_words(over or ()), random=random, optimise=optimise,
            trials=50 if trials is None else trials, ask=partial(_ask, yes=yes),
        )  # fmt: skip
    directory = out or _new_directory(plan.recipe.task.name)
    processes = max(1, (os.cpu_count() or 1) // plan.recipe.run.threads) if jobs is None else jobs
    pool = pool_of(
        backend, scheduler=scheduler, processes=processes, versions=versions_here(COMPARED)
    )
    try:
        with display() as watch:
            results = run_sweep(
                plan, directory, pool=pool, data=data, resume=resume, retry_failed=retry_failed,
                command=command, watch=watch,
            )  # fmt: skip
    except KeyboardInterrupt:
        if not (directory / "sweep.json").is_file():
            raise
        again = shlex.join(["secateur", "sweep", "--resume", "--out", str(directory)])
        refusals.say(f"Interrupted. `{again}` goes on with it.")
        raise typer.Exit(refusals.INTERRUPTED) from None
    finally:
        pool.close()
    _print(results, directory, as_json=as_json)
    if not results["states"]["finished"]:
        raise typer.Exit(refusals.FAILURE)


def _resumed(given: Mapping[str, Any], out: Path | None) -> tuple["Plan", str]:
    from secateur.errors import SettingError
    from secateur.experiment.sweep import Plan

    if out is None:
        raise SettingError(
            "--resume does not say which sweep", remedy="Name its directory with --out DIR"
        )
    named = [option for option, value in given.items() if value not in (None, [])]
    if named:
        raise SettingError(
            f"A sweep that has begun keeps its plan; {', '.join(named)} would change it",
            where=str(out), remedy="Leave that out, or begin another sweep with another --out",
        )  # fmt: skip
    return Plan.read(out)


def _check_options(*, trials: int | None, optimise: str | None, retry_failed: bool) -> None:
    from secateur.errors import SettingError

    if trials is not None and optimise is None:
        raise SettingError(
            "--trials is for a search for the best",
            remedy="Add --optimise METRIC, or draw with --random N",
        )
    if retry_failed:
        raise SettingError(
            "--retry-failed says nothing about a new sweep", remedy="Add --resume, or leave it out"
        )


def _listed(arms: list[str] | None) -> list[str]:
    return [word.strip() for text in arms or () for word in text.split(",")]


def _ask(number: int, *, yes: bool) -> None:
    """Counts first; above a limit somebody must say that it is meant."""
    from secateur.errors import SettingError
    from secateur.experiment.sweep.plan import ASK_ABOVE

    print(f"{number} trials at most" if number > 1 else "1 trial", file=sys.stderr)
    if number <= ASK_ABOVE or yes:
        return
    if not sys.stdin.isatty():
        raise SettingError(
            f"This sweep has {number} trials, more than {ASK_ABOVE}",
            cause="values multiply from setting to setting",
            remedy="Add --yes if that is meant, or draw from them with --random N",
        )
    if not typer.confirm("Run them all?", err=True):
        raise typer.Exit(refusals.FAILURE)


def _new_directory(task: str) -> Path:
    return Path("runs") / f"sweep-{task}-{datetime.now():%Y%m%d-%H%M%S}"


def _print(results: dict[str, Any], directory: Path, *, as_json: bool) -> None:
    from secateur.report.sweep_page import write_sweep_page

    # Before anything is printed: a reader who leaves the pipe shall find the page all the same.
    page = write_sweep_page(directory, directory / "report.html")
    if as_json:
        show_json(results)
        print(f"Report: {page}", file=sys.stderr)
        return
    parts: list[Table | str] = [_counts(results)]
    if results["ranking"]:
        parts += [_ranking(results), f"Best recipe: {directory / 'best.toml'}"]
    show(*parts, f"Report: {page}")


def _counts(results: Mapping[str, Any]) -> str:
    counts = [f"{number} {state}" for state, number in results["states"].items() if number]
    failed = next((row["error"] for row in results["rows"] if row["state"] == "failed"), None)
    return f"Trials: {', '.join(counts)}." + (f" A failure: {failed}" if failed else "")


def _ranking(results: Mapping[str, Any]) -> Table:
    title = f"validation {results['metric_title']}"
    made = table("arm", "settings", title, "n", "run", numbers=(title, "n"))
    seen: dict[str, int] = {}
    for one in results["ranking"]:
        seen[one["arm"]] = seen.get(one["arm"], 0) + 1
        if seen[one["arm"]] > _SHOWN:
            continue
        words = ", ".join(f"{path}={_short(value)}" for path, value in one["settings"].items())
        made.add_row(one["arm"], words or NONE, _figure(results, one), str(one["n"]), one["run"])
    return made


def _figure(results: Mapping[str, Any], one: Mapping[str, Any]) -> str:
    if not results["maximise"]:
        return f"{one['mean']:.4g}"
    ends = one["interval95"]
    return percent(one["mean"], None if ends is None else (ends[1] - ends[0]) / 2)


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
