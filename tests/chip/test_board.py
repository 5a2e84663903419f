"""A simulated board: what is in its memory is what is on its disk, whatever it is told."""

import itertools
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from served import serving

from secateur.chip import Command, FixedVoltage, SimulatedChip
from secateur.chip.board import Board
from secateur.chip.command import KINDS
from secateur.chip.remote import RemoteChip
from secateur.errors import ChipError, SecateurError

CELLS = 40


def make() -> SimulatedChip:
    return SimulatedChip("taox-40nm", seed=3, forming=FixedVoltage(0.5))


def copied(board: Board, folder: Path) -> dict[str, torch.Tensor]:
    """The cells of a board that is started again from what is on the disk by now."""
    folder.mkdir(exist_ok=True)
    left = folder / "left.board"
    for ending in ("", "-wal"):
        left.with_name(left.name + ending).unlink(missing_ok=True)
        part = board.path.with_name(board.path.name + ending)
        if part.exists():
            left.with_name(left.name + ending).write_bytes(part.read_bytes())
    again = Board(make, left)
    again.close()
    return again.chip.state().tensors


def same(board: Board, folder: Path) -> bool:
    here, there = board.chip.state().tensors, copied(board, folder)
    return here.keys() == there.keys() and all(
        torch.equal(tensor, there[name]) for name, tensor in here.items() if name != "reads"
    )


# --- Anything as a command ------------------------------------------------------------------

NUMBERS = st.integers(-3, CELLS + 3) | st.floats() | st.none() | st.booleans() | st.text(max_size=3)
DTYPES = st.sampled_from([torch.bool, torch.int8, torch.int32, torch.int64, torch.float32])


@st.composite
def arrays(draw) -> list[torch.Tensor]:
    """Cells as they should be or nearly so, and values of any kind and shape."""
    cells = draw(st.lists(st.integers(-1, CELLS), max_size=6) | st.just(list(range(CELLS))))
    found = [torch.tensor(cells, dtype=torch.int64)]
    if draw(st.integers(0, 9)) == 0:
        found[0] = found[0].to(draw(DTYPES)).view(draw(st.sampled_from([(-1,), (1, -1)])))
    if draw(st.booleans()):
        size = draw(st.sampled_from([len(cells), len(cells), 0, 1, len(cells) + 1]))
        values = draw(st.sampled_from([0.0, 1.0, -1.0, 5e-5, 1e9, float("nan"), float("inf")]))
        found.append(torch.full((size,), values).nan_to_num(nan=0.0).to(draw(DTYPES)))
        if found[1].is_floating_point():
            found[1] = torch.full((size,), values)
    return found


PARAMETERS = st.sampled_from([
    {}, {"tolerance": 0.05, "attempts": 2},
    {"voltage": 2.5, "width": 1e-6, "compliance": 1e-4},
    {"voltages": [1.0, 2.0], "width": 1e-6, "compliance": 1e-4},
    {"name": "more", "shape": [2, 3], "inputs_first": False},
])  # fmt: skip
ODD = st.dictionaries(
    st.sampled_from(["tolerance", "attempts", "voltage", "voltages", "width", "compliance",
                     "name", "shape", "inputs_first", "cells", "self"]),
    NUMBERS | st.lists(NUMBERS, max_size=3), max_size=2,
)  # fmt: skip
COMMANDS = st.lists(
    st.tuples(st.sampled_from(KINDS), arrays(), PARAMETERS, st.just({}) | ODD), max_size=6
)


@pytest.fixture(scope="module")
def served_board(tmp_path_factory):
    folder = tmp_path_factory.mktemp("board")
    with serving(folder / "b") as server:
        chip = RemoteChip(server.address, owner="owner")
        chip.place("w", (4, 5))
        yield server.board, chip, folder / "copy", itertools.count()
        chip.close()


@settings(deadline=None, max_examples=80, suppress_health_check=list(HealthCheck))
@given(COMMANDS)
def test_whatever_is_asked_memory_disk_and_owner_agree(served_board, commands):
    board, chip, folder, number = served_board
    for kind, tensors, parameters, odd in commands:
        if kind == "place" and board.chip.placement.cells > 4 * CELLS:
            continue
        before = {k: getattr(board.chip.ledger, k).clone() for k in ("form", "set", "reset")}
        request = chip._link.ask(
            "issue", tensors, id=f"f{next(number)}", kind=kind, parameters={**parameters, **odd}
        )
        try:
            header, (cells, counts, *_) = request.result()
        except SecateurError:
            expected = before
        else:
            assert header["how"] == "done"
            assert int(counts.sum()) == 0 or int(counts.min()) >= 0
            expected = {k: torch.zeros_like(getattr(board.chip.ledger, k)) for k in before}
            for (kind_of, total), row in zip(expected.items(), counts, strict=True):
                total[: len(before[kind_of])] = before[kind_of]
                total.index_add_(0, cells, row)
        for name, counted in expected.items():
            assert torch.equal(getattr(board.chip.ledger, name), counted), name
    assert same(board, folder)


@pytest.mark.parametrize(
    ("kind", "cells", "values", "parameters", "words"),
    [
        ("switch", [0, 1], torch.zeros(2, dtype=torch.int8), {}, "values of int8"),
        ("switch", [0, 1], torch.zeros(1, dtype=torch.bool), {}, "for 2 cells"),
        ("switch", [0, 1], None, {}, "no values"),
        ("set", [0, 1], torch.ones(2, dtype=torch.bool), {}, "values of bool"),
        ("reset", [0], None, {"attempts": 3}, "the parameters attempts"),
        ("write_verify", [0], torch.tensor([torch.inf]), {"tolerance": 0.1, "attempts": 1},
         "no finite number"),
        ("write_verify", [0], torch.zeros(1, dtype=torch.int32),
         {"tolerance": 0.1, "attempts": 1}, "values of int32"),
        ("write_verify", [0], torch.zeros(1), {"tolerance": 0.1, "attempts": 0}, "attempts 0"),
        ("form", [0], None, {"voltage": torch.nan, "width": 1.0, "compliance": 1.0}, "voltage nan"),
        ("ramp", [0], None, {"voltages": 1.0, "width": 1.0, "compliance": 1.0}, "voltages 1.0"),
        ("place", [], None, {"name": "w", "shape": [3, -1], "inputs_first": False}, "shape"),
        ("place", [], None, {"name": "w", "shape": [3]}, "the parameters name, shape"),
    ],
)  # fmt: skip
def test_what_is_no_command_cannot_be_made(kind, cells, values, parameters, words):
    with pytest.raises(ChipError, match=words):
        Command(kind, torch.tensor(cells, dtype=torch.int64), values, parameters)


def test_cells_are_a_list_of_whole_numbers():
    for cells in (torch.zeros(2), torch.zeros((1, 2), dtype=torch.int64)):
        with pytest.raises(ChipError, match="is no command"):
            Command("reset", cells)


def test_also_an_interrupt_leaves_memory_as_the_disk_is(tmp_path, monkeypatch):
    board = Board(make, tmp_path / "b")
    placed = {"name": "w", "shape": [4, 5], "inputs_first": False}
    board.issue("1", Command("place", parameters=placed))
    reset = board.chip.reset

    def half(cells):
        reset(cells[::2])
        raise KeyboardInterrupt

    monkeypatch.setattr(board.chip, "reset", half)
    with pytest.raises(KeyboardInterrupt):
        board.issue("2", Command("reset", torch.arange(10)))
    assert not int(board.chip.ledger.reset.sum())
    assert same(board, tmp_path / "copy")
    # Nor is it used where it could not be brought back at once.
    monkeypatch.setattr(board.chip, "reset", half)
    monkeypatch.setattr(board, "_make", lambda: (_ for _ in ()).throw(MemoryError))
    with pytest.raises(MemoryError):
        board.issue("2", Command("reset", torch.arange(10)))
    monkeypatch.setattr(board, "_make", make)
    board.issue("3", Command("reset", torch.arange(4)))
    assert int(board.chip.ledger.reset.sum()) == 4
    assert same(board, tmp_path / "copy")
    board.close()
