"""`pytest --secateur-chip`: the contract on a chip of one's own, in a process of its own."""

import subprocess
import sys
from pathlib import Path

import pytest

_BOARD = '''
from secateur.chip import FixedVoltage, SimulatedChip


def good():
    return SimulatedChip("taox-40nm", seed=3, forming=FixedVoltage(0.5))


class Forgetful(SimulatedChip):
    """Sends a RESET that it does not count."""

    def reset(self, cells):
        counted = self.ledger.reset.clone()
        super().reset(cells)
        self.ledger.reset.copy_(counted)


def none():
    return 3
'''


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    """A folder with a driver, and a test of its own that the contract runs without."""
    (tmp_path / "board.py").write_text(_BOARD)
    (tmp_path / "test_own.py").write_text("def test_own():\n    assert False\n")
    return tmp_path


def run(lab: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-p", "secateur.testing.plugin", "-p",
               "no:cacheprovider", "-q", *words]  # fmt: skip
    return subprocess.run(command, cwd=lab, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_the_contract_alone_runs_on_a_chip_that_keeps_it(lab):
    chosen = "every_pulse_is_counted or never_form or randomness_is_keyed"
    found = run(lab, "--secateur-chip", "board:good", "--secateur-repeatable", "-k", chosen)
    assert found.returncode == 0, found.stdout
    assert "3 passed" in found.stdout


def test_a_broken_promise_is_found_and_shown_with_its_values(lab):
    chosen = "every_pulse_is_counted"
    found = run(lab, "--secateur-chip", "board:Forgetful", "-k", chosen)
    assert found.returncode == 1
    assert "1 failed" in found.stdout
    assert "assert all(" in found.stdout


def test_the_options_explain_themselves_and_change_nothing_where_no_chip_is_named(lab):
    found = run(lab)
    assert "1 failed" in found.stdout
    assert "test_own" in found.stdout
    assert "--secateur-chip=MODULE:NAME" in run(lab, "--help").stdout
