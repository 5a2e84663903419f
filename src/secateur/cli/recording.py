"""`secateur chip record` and `secateur chip import`: arrays of repeated reads, to be replayed."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from secateur.cli.command import Debug, Json
from secateur.cli.printing import show, show_json

_Out = Annotated[Path, typer.Option(metavar="FILE.h5", help="The recording to write.")]


class Layout(StrEnum):
    """How foreign reads lie in their file."""

    PAPER = "paper"
    TABLE = "table"


class Formed(StrEnum):
    """How the cells are formed, as the recipe's `chip.forming`."""

    FULL = "full"
    HALF = "half"
    RAMP = "ramp"


def record(
    *,
    out: _Out = Path("chip.h5"),
    technology: Annotated[
        str, typer.Option(metavar="NAME", help="Of a simulated chip: preset or TOML file.")
    ] = "taox-40nm",
    seed: Annotated[int, typer.Option(metavar="N", help="Of the simulated chip.")] = 0,
    forming: Annotated[Formed, typer.Option(help="Of the simulated chip.")] = Formed.FULL,
    driver: Annotated[
        str | None,
        typer.Option(
            "--chip", metavar="MODULE:NAME", show_default=False,
            help="A chip of your own instead: what MODULE.NAME() gives.",
        ),
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(
            metavar="TASK", show_default=False,
            help="Record the cells that this task's network takes, placed as a run places it.",
        ),
    ] = None,
    pairs: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, show_default="10000", help="Without a task: pairs to record."
        ),
    ] = None,
    reads: Annotated[
        int, typer.Option(metavar="N", min=1, help="Of every cell, as formed and after a pulse.")
    ] = 32,
    cycles: Annotated[
        int, typer.Option(metavar="N", min=1, help="Of RESET and SET: so many pulses of each.")
    ] = 4,
    as_json: Json = False,
    debug: Debug = False,
) -> None:  # fmt: skip
    """Read a chip again and again, and write what it gave, to be replayed in its place.

    Every formed cell is read as formed, then after each RESET and SET of some cycles. A run on the
    recording (`--set chip.recording=FILE`) meets nothing but these reads.

    Examples:

        secateur chip record --task digits --forming ramp --out chip0.h5
        secateur run digits --arm pruned --set chip.recording=chip0.h5
        secateur chip fit chip0.h5 --out mine.toml
        secateur chip record --chip mylab.board:Chip --pairs 2000 --reads 100
    """
    from secateur.chip import record_chip
    from secateur.experiment.recording import chip_to_record

    chip, source = chip_to_record(
        driver=driver, technology=technology, seed=seed, forming=forming.value, task=task,
        pairs=pairs,
    )  # fmt: skip
    record_chip(chip, out, reads=reads, cycles=cycles, source=source)
    _tell(out, as_json=as_json)


def import_recording(
    source: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="A file of reads, or a folder with two arrays."),
    ],
    *,
    layout: Annotated[Layout, typer.Option(help="How the reads lie in it.")],
    unit: Annotated[
        str | None,
        typer.Option(
            metavar="S|mS|uS|nS", show_default=False,
            help="Of the numbers, in the paper's layout. A table's heading has its own.",
        ),
    ] = None,
    technology: Annotated[
        str,
        typer.Option(
            metavar="NAME", help="Of the cells: their pulses and energies. Preset or TOML file."
        ),
    ] = "taox-40nm",
    out: _Out = Path("chip.h5"),
    as_json: Json = False,
    debug: Debug = False,
) -> None:  # fmt: skip
    """Turn measured reads into a recording.

    `paper`: the layout of the paper's public code, arrays `set` and `reset` of reads x 2 pairs,
    the pairs' first cells in the first half of the columns. An .npz or .h5 file with both, or a
    folder with set.npy and reset.npy (or set.csv and reset.csv, numbers only). `table`: a row for
    each read, as `secateur chip fit` takes it. Nothing in a file is executed; pickles (.pt, .pkl)
    are refused.

    Examples:

        secateur chip import reads.npz --layout paper --unit uS --out chip.h5
        secateur chip import reads.csv --layout table --technology mine.toml
        secateur run digits --arm pruned --set chip.recording=chip.h5
    """
    from secateur.device import Technology
    from secateur.device.measurement import import_paper, import_table, refuse_pickled
    from secateur.errors import SettingError

    refuse_pickled(source)
    law = Technology.load(technology)
    if layout is Layout.TABLE:
        if unit is not None:
            raise SettingError("A table has its units in its heading", remedy="Leave out --unit")
        import_table(source, out, technology=law)
    elif unit is None:
        raise SettingError(
            "Numbers without a unit are no conductances", where="--unit",
            remedy="Say what they are in, as in --unit uS",
        )  # fmt: skip
    else:
        import_paper(source, out, unit=unit, technology=law)
    _tell(out, as_json=as_json)


def _tell(out: Path, *, as_json: bool) -> None:
    from secateur.device.recording import Recording

    held = Recording.open(out)
    states = {"as_formed": held.as_formed, "reset": held.reset, "set": held.set}
    shapes = {name: array.shape[:2] for name, array in states.items() if array is not None}
    if as_json:
        show_json({
            "file": str(out), "cells": held.cells, "formed": int(held.formed.sum()),
            "technology": held.technology.name, "source": held.source, "digest": held.digest,
            "states": {n: {"cycles": c, "reads": r} for n, (c, r) in shapes.items()},
        })  # fmt: skip
        return
    words = ", ".join(f"{n} {c} x {r}" for n, (c, r) in shapes.items())
    show(
        f"{out}: {held.cells // 2} pairs, {int(held.formed.sum())} cells formed, "
        f"{held.technology.name}; cycles x reads: {words}"
    )
