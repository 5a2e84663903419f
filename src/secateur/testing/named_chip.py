"""What the plugin has collected: the contract, on the chips of `--secateur-chip`."""

import pytest

from secateur.chip import Chip, chip_named
from secateur.testing.chip import ChipContract


class TestNamedChip(ChipContract):
    """The contract, as its options say."""

    @pytest.fixture(autouse=True)
    def _named(self, pytestconfig: pytest.Config) -> None:
        self.path = pytestconfig.getoption("secateur_chip")
        self.repeatable = pytestconfig.getoption("secateur_repeatable")
        self.writes_values = not pytestconfig.getoption("secateur_two_states")

    def chip(self) -> Chip:
        """A chip without weights."""
        return chip_named(self.path)
