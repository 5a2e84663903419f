"""A chip by its name: what is not one is refused with what to write instead."""

import pytest

from secateur.chip import SimulatedChip, chip_named
from secateur.errors import SettingError


@pytest.fixture(autouse=True)
def board(tmp_path, monkeypatch):
    """A module in the working directory, which Python's path does not name."""
    (tmp_path / "board_by_name.py").write_text(
        "from secateur.chip import SimulatedChip\n"
        "def Chip():\n    return SimulatedChip(seed=7)\n"
        "def three():\n    return 3\n"
    )
    monkeypatch.chdir(tmp_path)


def test_the_named_callable_makes_the_chip():
    chip = chip_named("board_by_name:Chip")
    assert isinstance(chip, SimulatedChip)
    assert chip.seed == 7


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("board_by_name", "names no chip"),
        (":Chip", "names no chip"),
        ("no_such_board:Chip", "no module 'no_such_board'"),
        ("board_by_name:Chp", "Did you mean 'Chip'"),
        ("board_by_name:three", "gives a int, no chip"),
    ],
)
def test_what_is_no_chip_is_refused(path, words):
    with pytest.raises(SettingError, match=words):
        chip_named(path)
