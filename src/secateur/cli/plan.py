"""`secateur plan` and `secateur apply`: from a finished search to the pulses of a programmer."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from secateur.cli.command import Debug, Json
from secateur.cli.printing import show, show_json, table
from secateur.cli.quantities import count, percent, quantity


def plan(
    run: Annotated[Path, typer.Argument(metavar="RUN_DIR", help="Of a finished run.")],
    *,
    arm: Annotated[
        str | None,
        typer.Option(metavar="ARM", show_default="the one that searched", help="Of the trial."),
    ] = None,
    chip: Annotated[int, typer.Option(metavar="N", min=0, help="Number of the chip.")] = 0,
    variant: Annotated[
        str, typer.Option(metavar="PATH=VALUE", help="Of the trial, where a setting was varied.")
    ] = "",
    at_once: Annotated[
        int,
        typer.Option(
            metavar="N", min=1, help="Cells of one output line that a driver can pulse together."
        ),
    ] = 1,
    settling: Annotated[
        float, typer.Option(metavar="S", min=0.0, help="Seconds a line takes when it switches.")
    ] = 1e-6,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.json",
            show_default="RUN_DIR/plan.json",
            help="The plan; a .csv beside it.",
        ),
    ] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """List the pulses that bring a run's chip from as formed to what its search has found.

    For every macro the cells to RESET (and to SET, where a kept one is not high as formed) in an
    order that switches few lines, with voltages, expected currents, energy, time, what
    half-selected cells see, and the checks to run afterwards. JSON for `secateur apply`, CSV for
    people and programmers.

    Examples:

        secateur plan runs/first --arm pruned
        secateur plan runs/first --arm pruned --chip 2 --at-once 4 --out chip2.json
    """
    from secateur.experiment.plan import make_plan

    made = make_plan(run, arm=arm, chip=chip, variant=variant, at_once=at_once, settling=settling)
    path = out or run / "plan.json"
    listed = path.with_suffix(".csv")
    made.write(path)
    made.write_csv(listed)
    if as_json:
        show_json({
            "file": str(path), "csv": str(listed), **made.totals.model_dump(by_alias=True),
        })  # fmt: skip
        return
    numbers = (
        "macro",
        "RESET",
        "SET",
        "pulses",
        "line switches",
        "half-selected",
        "energy",
        "time",
    )
    shown = table(*numbers, numbers=numbers)
    for macro in made.macros:
        shown.add_row(
            str(macro.macro), count(len(macro.reset.cell)), count(len(macro.set.cell)),
            count(macro.pulses), count(macro.line_switches), count(macro.half_selected_most),
            quantity(macro.energy, "J"), quantity(macro.time, "s"),
        )  # fmt: skip
    words = "switches: of lines; half-selected: pulses that the worst cell sees with a closed gate."
    show(shown, words, made.order, f"{path}, {listed}")


def apply(
    plan: Annotated[
        Path, typer.Argument(metavar="PLAN", help="The .json file of `secateur plan`.")
    ],
    *,
    chip: Annotated[
        str,
        typer.Option(
            metavar="CHIP",
            help="`formed`: the run's simulated chip as formed; a model's .safetensors file, a "
            "recording (.h5), a board's address (tcp://...), or MODULE:NAME of a driver.",
        ),
    ],
    run: Annotated[
        Path | None,
        typer.Option(metavar="RUN_DIR", show_default="as the plan says", help="Where it is now."),
    ] = None,
    data: Annotated[
        Path | None, typer.Option(metavar="DIR", show_default=False, help="As `secateur run`.")
    ] = None,
    journal: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", show_default="PLAN.journal", help="Every pulse, before and after."
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.safetensors", show_default=False, help="Save model and simulated chip."
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Apply it to another chip than it was made for.")
    ] = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Carry a pruning plan out on a chip, and measure the network on it before and after.

    Another chip than the plan's is refused: its random weights differ, so that the topology means
    nothing there. Cells that are as asked for get no pulse. Every pulse is in the journal before
    it is sent.

    Examples:

        secateur apply runs/first/plan.json --chip formed --out pruned.safetensors
        secateur apply plan.json --chip tcp://127.0.0.1:5757 --run runs/first
    """
    from secateur.experiment.applying import apply_plan
    from secateur.experiment.plan_file import Plan

    done = apply_plan(
        Plan.read(plan), chip, run=run, data=data, journal=journal or plan.with_suffix(".journal"),
        out=out, force=force, say=lambda words: print(words, file=sys.stderr),
    )  # fmt: skip
    if as_json:
        show_json(done.table())
        return
    shown = table("", "before", "after", "reported", numbers=("before", "after", "reported"))
    for name in done.after:
        row: list[Any] = [part.get(name) for part in (done.before, done.after, done.reported)]
        words = [f"{v:.4g}" if name == "loss" else percent(v) for v in row if v is not None]
        shown.add_row(name, *words)
    sent = ", ".join(f"{n} {kind}" for kind, n in done.pulses.items() if n)
    show(
        shown, f"Pulses: {sent or 'none'}; {done.spared} cells were as asked for already, "
        f"{len(done.astray)} did not follow.", *done.notes,
    )  # fmt: skip
