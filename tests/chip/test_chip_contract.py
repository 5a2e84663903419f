"""The simulated chip passes the contract that every chip must pass."""

import pytest

from secateur.chip import Chip, FixedVoltage, SimulatedChip, VoltageRamp
from secateur.testing import ChipContract


class TestHalfFormedChip(ChipContract):
    def chip(self) -> Chip:
        return SimulatedChip("taox-40nm", seed=3, forming=FixedVoltage(fraction=0.5))


class TestFullyFormedChip(ChipContract):
    def chip(self) -> Chip:
        return SimulatedChip("taox-40nm", seed=4)


class TestRampedChip(ChipContract):
    def chip(self) -> Chip:
        return SimulatedChip("taox-40nm", seed=5, forming=VoltageRamp())


class TestIdealChip(ChipContract):
    def chip(self) -> Chip:
        return SimulatedChip("ideal", seed=6, forming=FixedVoltage(fraction=0.5))


class _ForgetfulChip(SimulatedChip):
    """Sends a RESET that it does not count."""

    def reset(self, cells) -> None:
        counted = self.ledger.reset.clone()
        super().reset(cells)
        self.ledger.reset.copy_(counted)


class _UnfaithfulChip(SimulatedChip):
    """Forms cells by a SET."""

    def set(self, cells) -> None:
        self._status[cells] = self.HIGH
        super().set(cells)


@pytest.mark.parametrize(
    ("broken", "promise"),
    [
        (_ForgetfulChip, "test_every_pulse_is_counted_where_it_lands"),
        (_UnfaithfulChip, "test_set_and_reset_never_form"),
    ],
)
def test_the_contract_fails_for_a_chip_that_breaks_it(broken: type, promise: str) -> None:
    class Broken(ChipContract):
        def chip(self) -> Chip:
            return broken(seed=3, forming=FixedVoltage(fraction=0.5))

    with pytest.raises(AssertionError):
        getattr(Broken(), promise)()
