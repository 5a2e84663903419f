"""`secateur chip export`."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from secateur.cli.command import Debug, Json
from secateur.cli.printing import show, show_json

Ohms = Annotated[float, typer.Option(metavar="OHMS")]


class Format(StrEnum):
    """What is written."""

    SPICE = "spice"


def export(
    model: Annotated[
        Path, typer.Argument(metavar="FILE", help="What `secateur.save` or a run has written.")
    ],
    *,
    weight: Annotated[
        str | None, typer.Option(metavar="NAME", help="Default: the first that was placed.")
    ] = None,
    tile: Annotated[int, typer.Option(help="Which of its tiles, from 0.")] = 0,
    file_format: Annotated[Format, typer.Option("--format", help="Of the file.")] = Format.SPICE,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Default: WEIGHT-TILE.cir, here.")
    ] = None,
    voltage: Annotated[
        float | None,
        typer.Option(metavar="VOLTS", help="On every input line. Default: the read voltage."),
    ] = None,
    input_line_resistance: Ohms = 1.0,
    output_line_resistance: Ohms = 1.0,
    source_resistance: Ohms = 0.0,
    sense_resistance: Ohms = 0.0,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Write the array that a weight's tile is read in, as a netlist for a circuit simulator.

    The rows of the tile with all cells along them, placed or not; the other rows of the macro are
    off. Line segments between the tile and the sense amplifiers are part of the amplifiers'
    resistance. The current of output line n, from 1, is that of Vsense<n>.

    Examples:

        secateur chip export model.safetensors
        secateur chip export model.safetensors --weight fc1.weight --output-line-resistance 2.5
        secateur chip export model.safetensors --tile 1 --format spice --out array.cir
    """
    import torch

    from secateur.circuit import spice_netlist
    from secateur.files import write_atomically
    from secateur.network import read_chip

    chip = read_chip(model)
    name = weight if weight is not None else next(iter(chip.regions))
    place = chip.tile(name, tile)
    array = chip.array(place)
    volts = float(chip.technology["read_voltage"]) if voltage is None else voltage
    below = chip.placement.geometry.rows - place.row - place.rows
    netlist = spice_netlist(
        array, torch.full((place.rows,), volts, dtype=torch.float64),
        input_line_resistance=input_line_resistance,
        output_line_resistance=output_line_resistance, source_resistance=source_resistance,
        sense_resistance=sense_resistance + below * output_line_resistance,
    )  # fmt: skip
    path = out or Path(f"{name}-{tile}.cir")
    write_atomically(path, netlist.encode())
    first = 2 * place.pair_column + 1
    last = first + 2 * place.pair_columns - 1
    if as_json:
        show_json({
            "file": str(path), "weight": name, "tile": tile, "format": file_format.value,
            "rows": place.rows, "columns": array.shape[1], "first_line": first, "last_line": last,
        })  # fmt: skip
        return
    show(
        f"{path}: {place.rows} input lines by {array.shape[1]} output lines; "
        f"{name} is on Vsense{first} to Vsense{last}, + and - in turn"
    )
