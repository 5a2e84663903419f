"""What does not fit a message travels in several, or is refused before anything is done."""

import pytest
import torch
from boards import FalteringBoard, ForgetfulBoard
from served import serving, serving_driven
from torch import nn

import secateur as st
from secateur.chip import (
    Chip,
    Command,
    FixedVoltage,
    Journal,
    JournaledChip,
    SimulatedChip,
    VoltageRamp,
)
from secateur.chip.command import parted
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
    token = "of this run and no other"
    return RemoteChip(server.address, token=token, patience=0.5, timeout=2.0)


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
        lambda: chip.issue("a", Command("reset", every)),
        lambda: chip.issue("b", Command("switch", every, every % 2 == 0)),
        lambda: chip.ramp(every[:2], voltages=[1.0] * 2000, **how),
        lambda: chip.multiply(region, torch.zeros(200, 10), key=1),
        lambda: chip.place("x" * 5000, (2, 2)),
    ):
        with pytest.raises(ChipError, match=r"are allowed.*Name fewer cells.*`RemoteChip`"):
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


def test_a_client_that_accepts_less_is_given_less(tmp_path):
    """The smaller of the two limits holds."""
    with serving(tmp_path / "b", limits=Limits(array=1 << 30)) as server:
        chip = filled(RemoteChip(server.address, limits=Limits(array=4096)))
        assert chip._link.most == 4096
        assert chip.ledger.totals()["reset"] == server.board.chip.ledger.totals()["reset"] > 0
        with pytest.raises(ChipError, match="The answer would be"):
            chip.place("large", (20, 20))
        chip.close()


# --- Commands in parts -------------------------------------------------------------------------


def test_a_command_in_parts_is_all_of_it_in_order_and_keeps_its_pairs():
    cells, up = torch.arange(100, 200), torch.arange(100) % 3 == 0
    command = Command("switch", cells, up)
    parts = parted(command, 31)
    assert [len(part.cells) for part in parts] == [30, 30, 30, 10]
    assert torch.equal(torch.cat([part.cells for part in parts]), cells)
    assert torch.equal(torch.cat([part.values for part in parts]), up)
    assert parted(command, 100) == parted(command, None) == [command]


def worked(chip: Chip) -> tuple[torch.Tensor, ...]:
    """800 cells, every kind of command given to all at once."""
    for n in range(REGIONS):
        chip.place(f"w{n}", (10, 10))
    every = torch.arange(800)
    law = chip.technology
    ramp = VoltageRamp(step=0.2).voltages(law)
    chip.ramp(every, voltages=ramp, width=law.forming_width, compliance=law.compliance_current)
    chip.form(every, voltage=2.0, width=1e-6, compliance=1e-4)
    chip.reset(every)
    chip.set(every.flip(0))
    chip.switch(every, every % 3 == 0)
    formed = every[chip.conducting(every)]
    targets = torch.linspace(5e-6, 5e-5, len(formed))
    report = chip.write_verify(formed, targets, tolerance=0.02, attempts=2)
    return torch.tensor(report.pulses), report.missed, chip.read_back(every)


@pytest.mark.parametrize("journaled", [False, True])
def test_what_is_given_in_parts_does_what_it_does_in_one(server, tmp_path, journaled):
    own = SimulatedChip("taox-40nm", seed=3, forming=FixedVoltage(0.5))
    chip: Chip = opened(server)
    if journaled:
        chip = JournaledChip(chip, Journal(tmp_path / "j"))
    assert all(map(torch.equal, worked(own), worked(chip)))
    for kind in ("form", "set", "reset"):
        assert torch.equal(getattr(chip.ledger, kind), getattr(own.ledger, kind))
    if journaled:
        assert max(len(entry.command.cells) for entry in chip.journal.entries()) == 340
        assert chip.journal.counts(800).totals() == own.ledger.totals()
    chip.close()


def placed_and_reset(chip: Chip, path) -> list[int]:
    """All cells of one weight; how many the RESETs of the journal name."""
    with Journal(path) as book:
        board = JournaledChip(chip, book)
        board.place("weight", (5, 6))
        board.reset(torch.arange(60))
        board.flush()
        return [len(e.command.cells) for e in book.entries(kind="reset")]


def test_a_journal_that_was_begun_with_whole_commands_goes_on_with_them(tmp_path):
    """An earlier version has begun it, or the chip has learnt of its bound since."""
    chip = ForgetfulBoard(seed=1)
    assert placed_and_reset(chip, tmp_path / "j") == [60]
    chip.cells_per_command = 20
    assert placed_and_reset(chip, tmp_path / "j") == [60]
    assert chip.true.ledger.totals()["reset"] == 60


def test_a_journal_keeps_the_number_that_it_was_begun_with(tmp_path):
    chip = ForgetfulBoard(seed=1)
    for number in (20, 30, None):
        chip.cells_per_command = number
        assert placed_and_reset(chip, tmp_path / "j") == [20, 20, 20]
    assert chip.true.ledger.totals()["reset"] == 60


def test_how_many_cells_a_line_of_a_driver_holds_is_its_own_affair(tmp_path):
    """The driver of the guide calls it so, and cuts its lines itself."""
    chip = ForgetfulBoard(seed=1)
    chip.most_cells = 20
    assert placed_and_reset(chip, tmp_path / "j") == [60]


def searched(chip: Chip) -> list[torch.Tensor]:
    """A network whose masks take more cells than a command may name, and then all the others."""
    torch.manual_seed(0)
    layers = [nn.Linear(12, 12, bias=False) for _ in range(6)]
    model = st.prune_(nn.Sequential(*layers), chip, keep_fraction=0.3)
    with torch.no_grad():
        for scores in model.parameters():
            scores.neg_()
    st.settle_(model)
    return [chip.status(region) for region in chip.placement.regions]


def test_a_network_of_more_cells_than_a_command_may_name_is_pruned_and_gone_through_again(
    tmp_path,
):
    """By another process too: in the same parts, though more would go by now; nothing is given."""
    own = JournaledChip(
        SimulatedChip("taox-40nm", seed=3, forming=FixedVoltage(0.5)), Journal(tmp_path / "own")
    )
    states = searched(own)
    totals = own.ledger.totals()
    assert max(len(e.command.cells) for e in own.journal.entries() if e.command.cells.any()) > 340
    for limits in (LIMITS, Limits(header=4096)):
        with serving(tmp_path / "b", limits=limits) as server:
            chip = JournaledChip(opened(server), Journal(tmp_path / "j"))
            assert all(map(torch.equal, searched(chip), states))
            assert server.board.chip.ledger.totals() == totals
            assert chip.journal.counts(chip.placement.cells).totals() == totals
            chip.close()


def test_a_part_that_fails_is_finished_before_the_next(tmp_path):
    """It has an id of its own, by which a second process goes on."""
    board = FalteringBoard(seed=1)
    with serving_driven(board, tmp_path / "s", limits=Limits(array=1024)) as server:

        def program(chip: JournaledChip) -> None:
            for n in range(3):
                chip.place(f"w{n}", (6, 7))
            chip.reset(torch.arange(252))
            chip.set(torch.arange(252))
            chip.flush()

        chip = JournaledChip(opened(server), Journal(tmp_path / "j"))
        with pytest.raises(ChipError, match="does not answer"):
            program(chip)
        chip._journal.close()
        again = JournaledChip(opened(server), Journal(tmp_path / "j"))
        program(again)
        sets = [e for e in server.memory.journal.entries() if e.command.kind == "set"]
        first = again.journal.identity(6)
        assert [e.identity.removeprefix(first[:-1]) for e in sets] == ["6", "6+", "7", "8"]
        assert [len(e.command.cells) for e in sets if e.identity[-1] != "+"] == [84, 84, 84]
        again.close()
    high = torch.cat([board.true.status(r).view(-1) for r in board.placement.regions])
    assert float((high == Chip.HIGH).float().mean()) > 0.95


def test_a_weight_that_no_message_can_tell_of_is_refused_with_what_helps(tmp_path):
    """Larger limits at both ends."""
    with serving(tmp_path / "b", limits=Limits(array=4096)) as server:
        chip = opened(server)
        with pytest.raises(ChipError, match=r"800 cells of one weight.*larger `Limits` to the"):
            chip.place("large", (20, 20))
        chip.close()
    large = Limits(array=9600)
    with serving(tmp_path / "b", limits=large) as server:
        chip = RemoteChip(server.address, limits=large)
        assert chip.read(chip.place("large", (20, 20)), key=1).shape == (20, 20, 2)
        chip.close()
