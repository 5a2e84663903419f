"""`secateur chip serve` and `secateur chip keys`: a board behind a wire."""

import logging
import signal
import threading
from pathlib import Path
from typing import Annotated, Any

import typer

from secateur.cli.command import Debug
from secateur.cli.printing import show


def serve(
    *,
    technology: Annotated[
        str, typer.Option(metavar="NAME", help="What the board's cells are made of.")
    ] = "taox-40nm",
    seed: Annotated[int, typer.Option(metavar="N", help="Of the board's cells.")] = 0,
    forming: Annotated[
        str, typer.Option(metavar="full|half|ramp", help="How cells are formed when placed.")
    ] = "full",
    macros: Annotated[
        int | None,
        typer.Option(metavar="N", show_default="as needed", help="How many it has."),
    ] = None,
    state: Annotated[
        Path, typer.Option(metavar="FILE", help="Keeps the cells and what was done to them.")
    ] = Path("board.sqlite"),
    host: Annotated[
        str, typer.Option(metavar="HOST", help="Address to serve at; others than this need --keys.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(metavar="N", help="0 takes any that is free.")] = 5757,
    lease: Annotated[
        float,
        typer.Option(metavar="SECONDS", help="Silence after which another owner may take it."),
    ] = 30.0,
    keys: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", show_default=False,
            help="board.secret, board.public, and the public key of every client.",
        ),
    ] = None,
    debug: Debug = False,
) -> None:  # fmt: skip
    """Serve a simulated chip as a board in a lab would be served.

    Its cells outlive the process, as non-volatile ones do: stopped, killed or cut off, it goes on
    from --state with every pulse counted once. One owner at a time has it. The address it serves
    at goes to stdout, who comes and who is refused to stderr. Ends by Ctrl-C or a TERM signal.

    Examples:

        secateur chip serve --technology taox-40nm --seed 1 --state lab.sqlite
        secateur run digits --arm pruned --chip tcp://127.0.0.1:5757
        secateur chip serve --host 0.0.0.0 --keys keys
    """
    import torch

    from secateur.chip import SimulatedChip
    from secateur.chip.board import Board
    from secateur.chip.server import Server
    from secateur.device import Technology
    from secateur.experiment.arms import forming_from

    torch.set_num_threads(1)
    logging.basicConfig(format="%(asctime)s %(message)s", level=logging.INFO)
    law, procedure = Technology.load(technology), forming_from(forming)
    board = Board(lambda: SimulatedChip(law, seed=seed, forming=procedure, macros=macros), state)
    server = Server(
        lambda: board.chip, board, serial=board.serial, address=f"tcp://{host}:{port}",
        lease=lease, keys=keys,
    )  # fmt: skip
    stop = threading.Event()

    def leave(*_: Any) -> None:
        stop.set()

    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, leave)
    typer.echo(f"Serving {law.name}, seed {seed}, at {server.address}")
    try:
        server.run(stop)
    finally:
        server.close()
        board.close()


def keys(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where the keys go.")],
    *,
    debug: Debug = False,
) -> None:
    """Make keys for a board that others shall reach, and for its user.

    Nothing but loopback is served without them, and who has no key is refused. Copy board.public
    to the user's machine and client.public to the board's; secrets stay where they are used.

    Examples:

        secateur chip keys keys
        secateur chip serve --host 0.0.0.0 --keys keys
        secateur run digits --arm pruned --chip tcp://lab:5757 --set chip.keys=keys
    """
    from secateur.chip.keys import make_keys

    show(*(str(path) for path in make_keys(folder)))
