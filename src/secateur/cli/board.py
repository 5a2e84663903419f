"""`secateur chip serve` and `secateur chip keys`: a board behind a wire."""

import logging
import signal
import threading
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from secateur.cli.command import Debug
from secateur.cli.printing import show

if TYPE_CHECKING:
    from secateur.chip.server import Server


def serve(
    *,
    chip: Annotated[
        str | None,
        typer.Option(
            metavar="MODULE:NAME", show_default=False,
            help="Your own board instead of a simulated one: what makes its driver.",
        ),
    ] = None,
    technology: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", show_default="taox-40nm", help="What a simulated board is made of."
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(metavar="N", show_default="0", help="Of a simulated board's cells."),
    ] = None,
    forming: Annotated[
        str | None,
        typer.Option(
            metavar="full|half|ramp", show_default="full", help="How its cells are formed."
        ),
    ] = None,
    macros: Annotated[
        int | None,
        typer.Option(metavar="N", show_default="as needed", help="How many it has."),
    ] = None,
    state: Annotated[
        Path, typer.Option(metavar="FILE", help="Keeps what was done, and simulated cells.")
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
    """Serve a board: your own through its driver, or a simulated chip.

    A simulated chip's cells outlive the process, as non-volatile ones do. Stopped, killed or cut
    off, a board goes on from --state with every pulse counted once. One owner at a time has it. The
    address it serves at goes to stdout, who comes and who is refused to stderr. Ends by Ctrl-C or
    a TERM signal.

    Examples:

        secateur chip serve --technology taox-40nm --seed 1 --state lab.sqlite
        secateur chip serve --chip mylab.board:Chip --state lab.sqlite
        secateur run digits --arm pruned --chip tcp://127.0.0.1:5757
        secateur chip serve --host 0.0.0.0 --keys keys
    """
    import torch

    from secateur.errors import SettingError

    torch.set_num_threads(1)
    logging.basicConfig(format="%(asctime)s %(message)s", level=logging.INFO)
    reached = {"address": f"tcp://{host}:{port}", "lease": lease, "keys": keys}
    simulated: dict[str, Any] = {
        "technology": technology,
        "seed": seed,
        "forming": forming,
        "macros": macros,
    }
    if chip is None:
        _serve_simulated(state, reached, **{k: v for k, v in simulated.items() if v is not None})
        return
    for name, value in simulated.items():
        if value is not None:
            raise SettingError(
                f"--{name} is of simulated boards, and --chip names one of your own",
                remedy=f"Leave --{name} out; a driver says what its cells are made of",
            )
    _serve_driver(chip, state, reached)


def _serve_simulated(
    state: Path, reached: dict[str, Any], *, technology: str = "taox-40nm", seed: int = 0,
    forming: str = "full", macros: int | None = None,
) -> None:  # fmt: skip
    from secateur.chip import SimulatedChip
    from secateur.chip.board import Board
    from secateur.chip.server import Server
    from secateur.device import Technology
    from secateur.experiment.arms import forming_from

    law, procedure = Technology.load(technology), forming_from(forming)
    board = Board(lambda: SimulatedChip(law, seed=seed, forming=procedure, macros=macros), state)
    try:
        server = Server(lambda: board.chip, board, serial=board.serial, **reached)
        _until_told(server, f"{law.name}, seed {seed},")
    finally:
        board.close()


def _serve_driver(name: str, state: Path, reached: dict[str, Any]) -> None:
    from secateur.chip import Journal
    from secateur.chip.named import chip_named
    from secateur.chip.remembering import Remembering
    from secateur.chip.server import Server

    with closing(chip_named(name)) as chip, Journal(state) as book:
        memory = Remembering(chip, book)
        for note in memory.notes:
            logging.info(note)
        # A board that does not tell itself from others is known by what was done to it.
        serial = str(chip.identity().get("serial") or book.run)
        server = Server(lambda: chip, memory, serial=serial, **reached)
        _until_told(server, f"{name}, serial {serial},")


def _until_told(server: "Server", words: str) -> None:
    """Serves until a signal ends it."""
    stop = threading.Event()

    def leave(*_: Any) -> None:
        stop.set()

    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, leave)
    typer.echo(f"Serving {words} at {server.address}")
    try:
        server.run(stop)
    finally:
        server.close()


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
