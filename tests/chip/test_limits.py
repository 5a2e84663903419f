"""What does not fit a message travels in several, or is refused before anything is done."""

import pytest
import torch
from served import serving

from secateur.chip import Chip, Command, FixedVoltage, SimulatedChip
from secateur.chip.remote import RemoteChip
from secateur.chip.window import Window
from secateur.chip.wire import Limits
from secateur.errors import ChipError

# Of a server whose messages hold the counts of 341 cells, or the numbers of 512.
LIMITS = Limits(header=4096, array=4096)
REGIONS = 4


@pytest.fixture
def server(tmp_path):
    with serving(tmp_path / "b", limits=LIMITS) as server:
        yield server


def opened(server) -> RemoteChip:
    return RemoteChip(server.address, patience=0.5, timeout=2.0)


def filled(chip: Chip) -> Chip:
    """800 cells, pulsed 100 at a time."""
    for n in range(REGIONS):
        region = chip.place(f"w{n}", (10, 10))
        chip.reset(torch.arange(region.cells.start, region.cells.stop, n + 1))
    return chip


def test_a_chip_larger_than_a_message_is_known_whole(server):
    """Counts, reads and states are those of the simulation, also where another has used it."""
    own = filled(SimulatedChip("taox-40nm", seed=3, forming=FixedVoltage(0.5)))
    cells = torch.arange(own.placement.cells)
    assert 4 * len(cells) > LIMITS.array / 2 > 0
    filled(opened(server)).close()
    chip = opened(server)
    for kind in ("form", "set", "reset"):
        assert torch.equal(getattr(chip.ledger, kind), getattr(own.ledger, kind))
    chip.set(cells[::7])
    own.set(cells[::7])
    assert torch.equal(chip.ledger.set, own.ledger.set)
    assert torch.equal(chip.conducting(cells), own.conducting(cells))
    assert torch.equal(chip.read_back(cells.flip(0)), own.read_back(cells.flip(0)))
    chip.close()


def test_what_does_not_fit_is_refused_at_once_and_nothing_is_given(server):
    """The server would drop the line, and the client ask again until its patience ends."""
    chip = filled(opened(server))
    region, every = chip.placement.regions[0], torch.arange(800)
    before = chip.ledger.totals()
    sent = chip._link._number
    how = {"width": 1e-6, "compliance": 1e-4}
    for refused in (
        lambda: chip.reset(every),
        lambda: chip.switch(every, every % 2 == 0),
        lambda: chip.ramp(every[:2], voltages=[1.0] * 2000, **how),
        lambda: chip.multiply(region, torch.zeros(200, 10), key=1),
        lambda: chip.place("x" * 5000, (2, 2)),
    ):
        with pytest.raises(ChipError, match=r"are allowed.*Name fewer cells"):
            refused()
    # Nothing was sent.
    assert chip._link._number == sent
    assert chip.ledger.totals() == before
    assert chip.read(region, key=1).shape == (10, 10, 2)
    chip.close()


def test_an_answer_that_does_not_fit_is_refused_before_the_chip_does_anything(server, monkeypatch):
    chip = filled(opened(server))
    wide = chip.place("wide", (40, 4))
    kernel = chip.place("kernel", (20, 1, 2, 2))
    window = Window((2, 2), (1, 1), (0, 0), (1, 1))
    before = chip.ledger.totals()
    for name in ("multiply", "begin_convolve", "place", "reset"):
        monkeypatch.setattr(server.board.chip, name, lambda *a, **k: pytest.fail("was asked"))
    for refused in (
        lambda: chip.multiply(wide, torch.zeros(60, 4), key=1),
        chip.begin_convolve(kernel, torch.zeros(1, 1, 16, 16), window, key=1),
        lambda: chip.place("large", (20, 20)),
        lambda: chip.issue("a", Command("reset", torch.arange(400))).result(),
    ):
        with pytest.raises(ChipError, match=r"The answer would be .* Give fewer at a time"):
            refused()
    assert chip.placement.cells == server.board.chip.placement.cells
    assert chip.ledger.totals() == before
    chip.close()


def test_a_client_that_accepts_less_is_given_less(tmp_path, monkeypatch):
    """The smaller of the two limits holds."""
    with serving(tmp_path / "b", limits=Limits(array=1 << 30)) as server:
        monkeypatch.setattr("secateur.chip.link.Limits", lambda *a: Limits(*(a or (1 << 20, 4096))))
        chip = filled(opened(server))
        assert chip._link.most == 4096
        assert chip.ledger.totals()["reset"] == server.board.chip.ledger.totals()["reset"] > 0
        with pytest.raises(ChipError, match="The answer would be"):
            chip.place("large", (20, 20))
        chip.close()
