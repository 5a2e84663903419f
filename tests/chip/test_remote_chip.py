"""A chip behind a wire: passes the contract, is the board and nothing but the board."""

import contextlib
import threading
import time

import pytest
import torch
from boards import ForgetfulBoard, PowerCutError
from served import serving

from secateur.chip import Chip, Command, FixedVoltage, Journal, JournaledChip, SimulatedChip
from secateur.chip.remembering import Remembering
from secateur.chip.remote import RemoteChip
from secateur.chip.server import Server
from secateur.chip.window import Window
from secateur.errors import ChipError, SettingError
from secateur.testing import ChipContract


class TestRemoteChip(ChipContract):
    @pytest.fixture(autouse=True)
    def _boards(self, tmp_path):
        self.folder, self.number = tmp_path, 0
        with contextlib.ExitStack() as self.stack:
            yield

    def chip(self) -> Chip:
        self.number += 1
        server = self.stack.enter_context(serving(self.folder / f"{self.number}.board"))
        chip = RemoteChip(server.address)
        self.stack.callback(chip.close)
        return chip


class TestJournaledRemoteChip(TestRemoteChip):
    def chip(self) -> Chip:
        chip = super().chip()
        return JournaledChip(chip, Journal(self.folder / f"{self.number}.journal"))


@pytest.fixture
def server(tmp_path):
    with serving(tmp_path / "board.sqlite") as server:
        yield server


def twin() -> SimulatedChip:
    return SimulatedChip("taox-40nm", seed=3, forming=FixedVoltage(0.5))


def exercise(chip: Chip) -> list[torch.Tensor]:
    first = chip.place("conv", (6, 3, 2, 2))
    second = chip.place("linear", (5, 9), inputs_first=True)
    cells = torch.arange(chip.placement.cells)
    chip.reset(cells[::2])
    chip.switch(cells[:40], cells[:40] % 3 == 0)
    chip.write_verify(cells[100:], torch.full((len(cells) - 100,), 5e-5), attempts=3)
    return [
        chip.read(first, key=1), chip.read_back(cells), chip.status(second),
        chip.conducting(cells), chip.multiply(second, torch.rand(7, 5), key=2),
    ]  # fmt: skip


def test_a_served_chip_is_to_the_bit_the_chip_that_is_served(server):
    chip, own = RemoteChip(server.address), twin()
    torch.manual_seed(0)
    there = exercise(chip)
    torch.manual_seed(0)
    assert all(map(torch.equal, there, exercise(own)))
    for kind in ("form", "set", "reset"):
        assert torch.equal(getattr(chip.ledger, kind), getattr(own.ledger, kind))
    assert chip.technology == own.technology
    assert (chip.state(), chip.statistics(chip.placement.regions[0]), chip.mark()) == (None,) * 3
    chip.close()


def test_a_board_that_is_started_again_has_its_cells_and_counts(tmp_path):
    with serving(tmp_path / "b") as server:
        chip = RemoteChip(server.address)
        exercise(chip)
        region = chip.placement.regions[0]
        read, serial = chip.read(region, key=5), chip.identity()["serial"]
        counts = [getattr(chip.ledger, kind).clone() for kind in ("form", "set", "reset")]
        chip.close()
    with serving(tmp_path / "b") as server:
        chip = RemoteChip(server.address)
        assert chip.identity()["serial"] == serial
        assert torch.equal(chip.read(region, key=5), read)
        assert all(
            map(torch.equal, counts, [getattr(chip.ledger, k) for k in ("form", "set", "reset")])
        )
        chip.close()


def test_many_commands_are_compacted_and_lose_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr("secateur.chip.board._COMPACT", 7)
    own = twin()
    own.place("w", (4, 5))
    source = torch.Generator().manual_seed(1)
    for _ in range(4):
        with serving(tmp_path / "b") as server:
            chip = RemoteChip(server.address)
            if not chip.placement.regions:
                chip.place("w", (4, 5))
            for _ in range(9):
                cells = torch.randperm(40, generator=source)[:11]
                up = torch.rand(11, generator=source) < 0.5
                chip.switch(cells, up)
                own.switch(cells, up)
            chip.close()
    with serving(tmp_path / "b") as server:
        state = server.board.chip.state().tensors
        assert all(torch.equal(state[name], tensor) for name, tensor in own.state().tensors.items()
                   if name != "reads")  # fmt: skip


def test_a_board_of_other_settings_is_refused_by_name(tmp_path):
    with serving(tmp_path / "b"):
        pass
    with (
        pytest.raises(SettingError, match="seed is 4 here, 3 saved"),
        serving(tmp_path / "b", seed=4),
    ):
        pass


@pytest.mark.parametrize("window", [
    Window((3, 2), (1, 2), (1, 0), (1, 1)), Window((2, 2), (2, 1), (0, 1), (2, 1)),
])  # fmt: skip
def test_a_convolution_is_a_multiplication_of_every_patch(server, window):
    """On the board, in the simulation, and by patches cut here: the same draws, rounding apart."""
    chip, own = RemoteChip(server.address), twin()
    maps = torch.rand(3, 4, 7, 6)
    results = []
    for one in (chip, own):
        region = one.place("conv", (5, 4, *window.kernel))
        results.append(one.begin_convolve(region, maps, window, key=3)())
        results.append(Chip.begin_convolve(one, region, maps, window, key=3)())
    plain = torch.nn.functional.conv2d(
        maps, own.statistics(region).difference, stride=window.stride, padding=window.padding,
        dilation=window.dilation,
    )  # fmt: skip
    for result in results:
        assert result.shape == plain.shape
        assert torch.allclose(result, results[0], rtol=1e-4, atol=1e-9)
    assert 0.0 < float((results[0] - plain).abs().max()) < 0.2 * float(plain.abs().max())
    chip.close()


def test_a_second_owner_waits_for_the_first_ones_lease(tmp_path):
    with serving(tmp_path / "b", lease=0.5) as server:
        first = RemoteChip(server.address, owner="first")
        region = first.place("w", (4, 5))
        with pytest.raises(ChipError, match="in use by 'first'"):
            RemoteChip(server.address, owner="second")
        assert first.read(region, key=1).shape == (4, 5, 2)
        time.sleep(0.6)
        second = RemoteChip(server.address, owner="second")
        with pytest.raises(ChipError, match="lent again"):
            first.read(region, key=1)
        assert second.read(second.placement.regions[0], key=1).shape == (4, 5, 2)
        second.close()
        RemoteChip(server.address, owner="third").close()


def test_who_has_the_token_takes_over_at_once_and_the_former_process_is_locked_out(server):
    first = RemoteChip(server.address, owner="run", token="0123456789abcdef")
    region = first.place("w", (4, 5))
    for token in ("", "another token, as long"):
        with pytest.raises(ChipError, match="in use by 'run'"):
            RemoteChip(server.address, owner="run", token=token)
    with pytest.raises(SettingError, match="token of 3 characters"):
        RemoteChip(server.address, owner="run", token="run")
    second = RemoteChip(server.address, owner="run again", token="0123456789abcdef")
    with pytest.raises(ChipError, match="lent again"):
        first.reset(torch.arange(3)) or first.ledger
    assert second.ledger.totals()["reset"] == 0
    assert torch.equal(second.read(region, key=1), second.read(region, key=1))
    second.close()


def test_an_id_is_for_one_command_also_on_the_board(server):
    chip = RemoteChip(server.address)
    chip.place("w", (4, 5))
    first = chip.issue("a", Command("reset", torch.arange(3)))
    again = chip.issue("a", Command("reset", torch.arange(3)))
    other = chip.issue("a", Command("reset", torch.arange(4)))
    assert torch.equal(first.result().counts, again.result().counts)
    with pytest.raises(ChipError, match="another one"):
        other.result()
    assert int(chip._link.ask("ledger", first=0, count=40).result()[1][0][2].sum()) == 3
    chip.close()


def test_nobody_at_an_address_is_said(tmp_path):
    with pytest.raises(ChipError, match="has not answered"):
        RemoteChip("tcp://127.0.0.1:9", patience=0.1, timeout=0.3)


def test_a_labs_own_chip_is_served_with_a_memory_at_its_side(tmp_path):
    """Its controller dies after a pulse that nobody noted; served again, nothing is given twice."""
    chip = ForgetfulBoard(seed=1, fatal=3, when="after")
    chip.place("w", (4, 5))
    cells, law = torch.arange(40), chip.technology
    journal = Journal(tmp_path / "j.sqlite", synchronous="normal")
    memory = Remembering(chip, journal)
    for name, kind in (("a", "set"), ("b", "reset")):
        assert not memory.issue(name, Command(kind, cells)).again
        assert memory.issue(name, Command(kind, cells)).again
    up = Command("switch", cells, torch.ones(40, dtype=torch.bool))
    with pytest.raises(PowerCutError):
        memory.issue("c", up)
    journal.close()
    again = Remembering(chip, Journal(tmp_path / "j.sqlite", synchronous="normal"))
    assert "had been given" in again.notes[0]
    server = Server(lambda: chip, again, serial="bench", address="tcp://127.0.0.1:*")
    stop = threading.Event()
    thread = threading.Thread(target=server.run, args=(stop,))
    thread.start()
    remote = RemoteChip(server.address)
    outcome = remote.issue("c", up).result()
    moved = chip.true.status(chip.placement.regions[0]).view(-1) == Chip.HIGH
    assert int(moved.sum()) > 35
    assert int(chip.true.ledger.set[moved].max()) == 2
    assert outcome.how in ("read back", "done")
    assert remote.technology == law
    remote.close()
    stop.set()
    thread.join()
    server.close()


def test_a_command_whose_answer_never_came_stays_in_doubt_and_is_counted_once(tmp_path):
    """The board has given the pulses and dies before it says so; nobody starts it in time."""
    state, path = tmp_path / "board.sqlite", tmp_path / "journal.sqlite"
    with serving(state) as server:
        journal = Journal(path)
        remote = RemoteChip(server.address, owner="run", patience=0.2, timeout=0.6)
        chip = JournaledChip(remote, journal)
        chip.place("w", (4, 5))
        identity = journal.identity(chip.position)
        # Given behind the line's back, as by a message whose answer was lost.
        server.board.issue(identity, Command("reset", torch.arange(6)))
    chip.reset(torch.arange(6))
    with pytest.raises(ChipError, match="has not answered"):
        chip.flush()
    assert [entry.identity for entry in journal.in_doubt()] == [identity]
    journal.close()
    with serving(state) as server:
        again = JournaledChip(RemoteChip(server.address, owner="run"), Journal(path))
        (note,) = again.notes
        assert "it had been given" in note
        entry = again.journal.entry(identity)
        assert entry.outcome.how == "done"
        assert entry.outcome.counts.sum(dim=1).tolist() == [0, 0, 6]
        assert again.ledger.reset.sum() == 6
        again.close()


def test_a_command_that_fails_half_way_leaves_memory_as_the_disk_is(server, monkeypatch):
    board = server.board
    board.issue("1", Command("place", parameters={"name": "w", "shape": [4, 5],
                                                  "inputs_first": False}))  # fmt: skip
    reset = board.chip.reset

    def half(cells):
        reset(cells[::2])
        raise RuntimeError("no memory left")

    monkeypatch.setattr(board.chip, "reset", half)
    with pytest.raises(RuntimeError, match="no memory"):
        board.issue("2", Command("reset", torch.arange(10)))
    assert board.outcome_of("2") is None
    assert not int(board.chip.ledger.reset.sum())
    board.issue("2", Command("reset", torch.arange(10)))
    assert int(board.chip.ledger.reset.sum()) == 10


def test_a_command_is_what_it_was_when_it_was_given(server, monkeypatch):
    chip = RemoteChip(server.address)
    chip.place("w", (4, 5))
    sent = []
    ask = chip._link.ask

    def noted(what, arrays=(), **about):
        sent.extend(arrays)
        return ask(what, arrays, **about)

    monkeypatch.setattr(chip._link, "ask", noted)
    cells, up = torch.arange(6), torch.tensor([True, False] * 3)
    chip.switch(cells, up)
    cells += 10
    up.logical_not_()
    # What would be sent again after a cut.
    assert sent[0].tolist() == list(range(6))
    assert sent[1].tolist() == [True, False] * 3
    chip.close()


def test_a_command_whose_outcome_nobody_waited_for_is_asked_about_before_the_next(
    tmp_path, monkeypatch
):
    """Ctrl-C while answers are awaited."""
    with serving(tmp_path / "board") as served:
        book = Journal(tmp_path / "journal", synchronous="normal")
        chip = JournaledChip(RemoteChip(served.address), book)
        chip.place("w", (4, 5))
        chip.flush()
        chip.reset(torch.arange(40))

        def interrupted(self):
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr("secateur.chip.remote._Issued.result", interrupted)
            with pytest.raises(KeyboardInterrupt):
                chip.flush()
        chip.set(torch.arange(40))
        chip.flush()
        assert [entry.outcome.how for entry in book.entries()] == ["done"] * 3
        assert book.counts(40).totals() == chip.ledger.totals()
        chip.close()
