"""A board in the loop of a run: opened with the trial's journal, one trial to one board."""

import secrets
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from secateur.chip import Chip, Journal, JournaledChip, first_difference
from secateur.errors import SettingError
from secateur.experiment.arms import ARMS, MakeChip, chip_from, technology_of
from secateur.experiment.recipe import ChipSettings, Recipe

# Seconds that a run waits for a board that does not answer, as when its server is started again.
_TIMEOUT = 600.0


def chip_maker(folder: Path) -> MakeChip:
    """Makes a trial's chip: a simulated one, or a board with a journal in the trial's folder."""

    def make(settings: ChipSettings, seed: int) -> Chip:
        if settings.address is None:
            return chip_from(settings, seed)
        return open_board(settings, folder / "journal.sqlite")

    return make


def open_board(settings: ChipSettings, journal: Path) -> JournaledChip:
    """The board at the recipe's address, with a journal.

    Raises:
        ChipError: where nobody answers, or the board is another's.
        SettingError: where its cells are not those the recipe speaks of, or the journal is of
            another board.
    """
    from secateur.chip.remote import RemoteChip

    assert settings.address is not None
    with ExitStack() as opened:
        book = opened.enter_context(Journal(journal))
        board = RemoteChip(
            settings.address, owner=f"run {book.run[:8]}", token=_token(book), keys=settings.keys,
            timeout=_TIMEOUT,
        )  # fmt: skip
        opened.callback(board.close)
        own, its = technology_of(settings).identity(), board.technology
        if found := first_difference({"technology": own}, {"technology": its.identity()}):
            raise SettingError(
                f"The board is not what the recipe says: {found}".replace("saved", "on the board"),
                where=settings.address,
                remedy=f"Set chip.technology and chip.values to the board's ({its.name})",
            )  # fmt: skip
        chip = JournaledChip(board, book)
        # From here on the caller closes them.
        opened.pop_all()
    return chip


def _token(book: Journal) -> str:
    """What the run alone knows, kept with its journal: by it a resumed run gets its board back."""
    token = book.note("token")
    if token is None:
        token = secrets.token_hex(16)
        book.set_note("token", token)
    return token


def board_at(settings: ChipSettings, *, address: str | None = None) -> Chip:
    """The board at an address, the recipe's own where None, without a journal.

    Raises:
        ChipError: where nobody answers, or the board is another's.
    """
    from secateur.chip.remote import RemoteChip

    return RemoteChip(address or str(settings.address), keys=settings.keys)


def check_boards(recipe: Recipe, trials: Sequence[tuple[str, str]]) -> None:
    """Refuses a run of more than one trial on a board: a board is one chip, and is used once.

    Args:
        recipe: of the run.
        trials: the names of each and of its arm.

    Raises:
        SettingError: naming what to leave out.
    """
    if recipe.chip.address is None:
        return
    if recipe.run.chips > 1:
        raise SettingError(
            f"A run on {recipe.run.chips} chips, with one board", where=recipe.chip.address,
            cause="one board is one chip",
            remedy="Leave --chips out, and run once with each board",
        )  # fmt: skip
    for name in ("forming_voltage", "forming_width", "forming_compliance"):
        if getattr(recipe.chip, name) is not None:
            raise SettingError(
                f"chip.{name} is set, and the chip is a board", where=recipe.chip.address,
                cause="a board forms its cells its own way", remedy="Leave it out",
            )  # fmt: skip
    on_board = [name for name, arm in trials if ARMS[arm].on_board]
    if len(on_board) > 1:
        raise SettingError(
            f"{len(on_board)} trials would share one board: {', '.join(on_board)}",
            where=recipe.chip.address, cause="one board is one chip, and a trial pulses it",
            remedy="Choose one arm with --arm, one --split and no --vary",
        )  # fmt: skip
