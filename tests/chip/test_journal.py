"""The journal: durable, countable, refuses what is not its own."""

import os
import signal
import sqlite3
import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from secateur.chip import Ledger, SimulatedChip
from secateur.chip.command import Command, Outcome, carry_out
from secateur.chip.journal import Journal
from secateur.chip.sqlite import begun
from secateur.errors import FileError

CELLS = torch.tensor([4, 0, 7])
SWITCH = Command("switch", CELLS, torch.tensor([True, False, True]))


def ended(journal: Journal, identity: str, command: Command, **more) -> Outcome:
    counts = command.each_once()
    assert counts is not None
    outcome = Outcome("done", command.cells, counts, **more)
    journal.begin(identity, command)
    journal.end(identity, outcome)
    return outcome


def test_what_is_written_comes_back(tmp_path):
    with Journal(tmp_path / "j.sqlite") as journal:
        run = journal.run
        journal.begin("a", SWITCH, reason="mask update 3")
        assert [entry.identity for entry in journal.in_doubt()] == ["a"]
        journal.end("a", Outcome("done", CELLS, SWITCH.each_once(), missed=CELLS[:1]))
    with Journal(tmp_path / "j.sqlite") as journal:
        assert journal.run == run
        (entry,) = journal.entries()
        assert entry.command.digest() == SWITCH.digest()
        assert (entry.reason, entry.command.kind) == ("mask update 3", "switch")
        assert entry.ended >= entry.began
        assert torch.equal(entry.outcome.missed, CELLS[:1])
        assert journal.in_doubt() == []


@pytest.mark.parametrize("kind", ["form", "ramp", "set", "reset", "write_verify"])
def test_every_kind_of_command_comes_back(tmp_path, kind):
    values = torch.rand(3) * 1e-4 if kind == "write_verify" else None
    pulse = {"width": 1e-6, "compliance": 1e-4}
    parameters = {
        "form": {"voltage": 2.5, **pulse}, "ramp": {"voltages": [1.0, 2.5], **pulse},
        "write_verify": {"tolerance": 0.05, "attempts": 4},
    }  # fmt: skip
    command = Command(kind, CELLS, values, parameters.get(kind, {}))
    with Journal(tmp_path / "j.sqlite") as journal:
        journal.begin("a", command)
        assert journal.entry("a").command.digest() == command.digest()


@settings(max_examples=20, deadline=None)
@given(st.lists(st.lists(st.tuples(st.integers(0, 19), st.booleans()), unique_by=lambda c: c[0])))
def test_counts_are_the_sum_of_what_was_given(tmp_path_factory, commands):
    expected = Ledger.empty(torch.device("cpu"))
    expected.extend(20)
    path = tmp_path_factory.mktemp("journal") / "j.sqlite"
    with Journal(path, synchronous="normal") as journal:
        for n, pairs in enumerate(commands):
            cells = torch.tensor([cell for cell, _ in pairs], dtype=torch.int64)
            up = torch.tensor([raised for _, raised in pairs], dtype=torch.bool)
            ended(journal, str(n), Command("switch", cells, up)).add_to(expected)
        counts = journal.counts(20)
    assert torch.equal(counts.set, expected.set)
    assert torch.equal(counts.reset, expected.reset)
    for n in range(20):
        assert int(counts.set[n]) == sum((n, True) in pairs for pairs in commands)


def test_the_counts_of_a_chips_commands_are_its_ledger(tmp_path):
    chip = SimulatedChip(seed=2)
    law = chip.technology
    cells = torch.arange(24)
    commands = [
        Command("place", parameters={"name": "w", "shape": [3, 4], "inputs_first": False}),
        Command("reset", cells[:9]),
        Command("ramp", cells, parameters={
            "voltages": [1.0, 2.0], "width": law.forming_width, "compliance": 1e-4}),
        Command("write_verify", cells, torch.full((24,), law.high_conductance),
                {"tolerance": 0.05, "attempts": 4}),
    ]  # fmt: skip
    with Journal(tmp_path / "j.sqlite") as journal:
        for n, command in enumerate(commands):
            journal.begin(str(n), command)
            journal.end(str(n), carry_out(chip, command), at_once=False)
        counts = journal.counts(24)
    for kind in ("form", "set", "reset"):
        assert torch.equal(getattr(counts, kind), getattr(chip.ledger, kind)), kind


def test_an_id_is_for_one_command(tmp_path):
    with Journal(tmp_path / "j.sqlite") as journal:
        journal.begin("a", SWITCH)
        journal.begin("a", SWITCH)
        with pytest.raises(FileError, match="another one"):
            journal.begin("a", Command("reset", CELLS))
        assert len(journal) == 1


def test_what_was_read_is_as_durable_as_the_command_after_it(tmp_path):
    read = torch.rand(4, 2)
    with Journal(tmp_path / "j.sqlite") as journal:
        journal.begin("a", SWITCH, answers=[(0, b"x", read), (0, b"y", read > 0.5)])
        assert torch.equal(journal.answer(0, b"x"), read)
        assert torch.equal(journal.answer(0, b"y"), read > 0.5)
        assert journal.answer(1, b"x") is None
        journal.begin("b", SWITCH, answers=[(1, b"x", read)], forget=(0, 1))
        assert journal.answer(0, b"x") is None
        assert torch.equal(journal.answer(1, b"x"), read)


_WRITER = """
import sys, torch
from secateur.chip.command import Command
from secateur.chip.journal import Journal
journal = Journal(sys.argv[1])
for n in range(10**6):
    journal.begin(str(n), Command("reset", torch.arange(n % 50)))
    print(n, flush=True)
"""


def test_every_intent_that_was_told_outlives_a_kill(tmp_path):
    path = tmp_path / "j.sqlite"
    writer = subprocess.Popen(
        [sys.executable, "-c", _WRITER, str(path)], stdout=subprocess.PIPE, env=dict(os.environ)
    )
    told = [writer.stdout.readline() for _ in range(5)]
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    told += writer.stdout.readlines()
    with Journal(path) as journal:
        assert len(journal.in_doubt()) >= len(told) >= 5


def test_an_outcome_outlives_a_disk_that_was_full_when_it_was_written(tmp_path):
    """Told to be written with the next intent, which fails: it is written once there is room."""
    with Journal(tmp_path / "j.sqlite") as journal:
        journal.begin("a", SWITCH)
        journal.end("a", Outcome("done", CELLS, SWITCH.each_once()), at_once=False)
        pages = journal._base.execute("PRAGMA page_count").fetchone()[0]
        journal._base.execute(f"PRAGMA max_page_count = {pages + 1}")
        with pytest.raises(FileError, match="full"):
            journal.begin("b", Command("reset", torch.arange(50_000)))
        journal._base.execute("PRAGMA max_page_count = 100000")
        journal.begin("b", SWITCH)
        assert [entry.identity for entry in journal.in_doubt()] == ["b"]
        assert int(journal.counts(9).switching.sum()) == 3


def test_a_transaction_that_cannot_be_ended_is_undone():
    base = sqlite3.connect(":memory:", isolation_level=None)
    base.execute("PRAGMA foreign_keys = ON")
    base.execute("CREATE TABLE one (n INTEGER PRIMARY KEY)")
    base.execute("CREATE TABLE two (n REFERENCES one DEFERRABLE INITIALLY DEFERRED)")
    with pytest.raises(sqlite3.IntegrityError), begun(base):
        base.execute("INSERT INTO two VALUES (1)")
    assert not base.in_transaction
    with begun(base):
        base.execute("INSERT INTO one VALUES (1)")
    assert base.execute("SELECT COUNT(*) FROM two").fetchone() == (0,)


def test_two_processes_cannot_share_one(tmp_path):
    with Journal(tmp_path / "j.sqlite"), pytest.raises(FileError, match="another process"):
        Journal(tmp_path / "j.sqlite")


def _foreign(path):
    base = sqlite3.connect(path)
    base.execute("CREATE TABLE notes (x)")
    base.commit()
    base.close()


def _cut(path):
    Journal(path).close()
    path.write_bytes(path.read_bytes()[:3000])


@pytest.mark.parametrize(
    "spoil", [lambda path: path.write_bytes(b"not a database" * 999), _foreign, _cut]
)
def test_files_that_are_no_journals_are_refused(tmp_path, spoil):
    path = tmp_path / "j.sqlite"
    spoil(path)
    before = path.read_bytes()
    with pytest.raises(FileError, match="no journal"):
        Journal(path)
    assert path.read_bytes() == before


def test_a_row_that_cannot_be_is_refused(tmp_path):
    path = tmp_path / "j.sqlite"
    with Journal(path) as journal:
        journal.begin("a", SWITCH)
    base = sqlite3.connect(path)
    base.execute("UPDATE commands SET cells = x'0102'")
    base.commit()
    base.close()
    with Journal(path) as journal, pytest.raises(FileError, match="damaged"):
        journal.in_doubt()
