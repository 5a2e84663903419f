"""A board from the command line: served, found again, and kept from strangers."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from secateur.chip import Journal
from secateur.chip.remote import RemoteChip

DOCS = Path(__file__).parents[1] / "docs"
# The driver of docs/driver.md, with a fake instrument on its line.
DRIVER = f"""
import sys
sys.path.insert(0, {str(DOCS)!r})
import pages
from fake_instrument import FakeInstrument

def Chip():
    page = pages.run("docs/driver.md")
    return page["BenchChip"](page["Line"](FakeInstrument(seed=3).stream))
"""


def served(*words: str, folder: Path | None = None) -> tuple[subprocess.Popen, str]:
    """A board's process, and the address that it says it serves at."""
    process = subprocess.Popen(
        [sys.executable, "-m", "secateur", "chip", "serve", "--port", "0", *words],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=folder,
    )  # fmt: skip
    return process, process.stdout.readline().rpartition(" ")[2].strip()


def test_a_board_is_served_and_found_again_after_a_kill(tmp_path):
    words = ("--seed", "4", "--state", str(tmp_path / "lab.sqlite"))
    process, address = served(*words)
    chip = RemoteChip(address)
    region = chip.place("w", (3, 4))
    chip.reset(torch.arange(7))
    read, totals = chip.read(region, key=1), chip.ledger.totals()
    process.kill()
    process.communicate()
    process, address = served(*words)
    chip = RemoteChip(address)
    assert torch.equal(chip.read(region, key=1), read)
    assert chip.ledger.totals() == totals
    chip.close()
    process.send_signal(signal.SIGTERM)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "lent" in told
    assert "given back" in told
    assert "Traceback" not in told


def test_a_driver_is_served_and_its_commands_are_remembered(tmp_path):
    (tmp_path / "mylab.py").write_text(DRIVER, encoding="utf-8")
    process, address = served("--chip", "mylab:Chip", "--state", "lab.sqlite", folder=tmp_path)
    chip = RemoteChip(address)
    region = chip.place("w", (3, 4))
    chip.reset(torch.arange(7))
    totals = chip.ledger.totals()
    assert (totals["form"], totals["reset"]) == (24, 7)
    assert int((chip.status(region) == 1).sum()) == 7
    chip.close()
    process.send_signal(signal.SIGTERM)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "Traceback" not in told
    with Journal(tmp_path / "lab.sqlite") as book:
        assert book.counts(24).totals() == totals


@pytest.mark.parametrize(
    ("words", "message", "code"),
    [
        ("chip serve --host 0.0.0.0 --port 0", "chip keys", 2),
        ("chip serve --forming hlaf", "'half'", 2),
        ("chip serve --technology taox-40mn", "taox-40nm", 2),
        ("chip serve --chip mylab.board", "module:name", 2),
        ("chip serve --chip nolab.board:Chip", "no module", 2),
        ("chip serve --chip mylab:Chip --seed 1", "--seed is of simulated boards", 2),
        ("run digits --arm pruned --chips 2 --chip tcp://127.0.0.1:9", "one board is one chip", 2),
        ("run digits --chip tcp://127.0.0.1:9", "would share one board", 2),
    ],
)
def test_what_cannot_be_is_refused(secateur, empty, words, message, code):
    done = secateur(*words.split())
    assert done.exit_code == code
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_keys_are_made_once(secateur, tmp_path):
    done = secateur("chip", "keys", str(tmp_path / "keys"))
    assert done.exit_code == 0
    assert sorted(line.rpartition("/")[2] for line in done.stdout.split()) == [
        "board.public", "board.secret", "client.public", "client.secret",
    ]  # fmt: skip
    assert secateur("chip", "keys", str(tmp_path / "keys")).exit_code == 1
