"""A pytest plugin: `pytest --secateur-chip mylab.board:Chip` runs the contract on your own chip.

pytest finds it wherever secateur is installed. `mylab.board:Chip` names what makes a chip without
weights at every call, without arguments: a class, or a function.
"""

from pathlib import Path

import pytest

_CONTRACT = Path(__file__).with_name("named_chip.py")


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options of the contract."""
    group = parser.getgroup("secateur", "the contract of a chip")
    group.addoption(
        "--secateur-chip", metavar="MODULE:NAME",
        help="run secateur's ChipContract on the chips that MODULE.NAME() makes, alone where no "
        "tests are named",
    )  # fmt: skip
    group.addoption(
        "--secateur-repeatable", action="store_true",
        help="equal commands give equal chips, and equal keys equal reads: a simulator",
    )  # fmt: skip
    group.addoption(
        "--secateur-two-states", action="store_true",
        help="cells are SET and RESET and cannot be written to values: write_verify refuses",
    )  # fmt: skip


def pytest_configure(config: pytest.Config) -> None:
    """Has the contract collected where a chip is named."""
    if config.getoption("secateur_chip") is None:
        return
    pytest.register_assert_rewrite("secateur.testing.chip")
    if config.args_source is not pytest.Config.ArgsSource.ARGS:
        config.args = []
    if str(_CONTRACT) not in config.args:
        config.args.append(str(_CONTRACT))
