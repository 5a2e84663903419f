"""The driver of docs/driver.md against a fake instrument: the contract, and what goes wrong."""

import threading

import pages
import pytest
import torch
from fake_instrument import FakeInstrument
from torch import nn

import secateur as st
from secateur.chip import Chip, Journal
from secateur.errors import ChipError, SettingError
from secateur.network import pruned_weights
from secateur.testing import ChipContract

_PAGE = pages.run("docs/driver.md")
_BenchChip, _Line = _PAGE["BenchChip"], _PAGE["Line"]


def bench(**how) -> tuple[Chip, FakeInstrument]:
    fake = FakeInstrument(**how)
    return _BenchChip(_Line(fake.stream)), fake


class TestTheDriverOfThePage(ChipContract):
    repeatable = False
    writes_values = False

    def chip(self) -> Chip:
        return bench()[0]


def test_its_counts_are_those_of_the_instruments_own_cells():
    """Cell by cell, where the page's driver says that they lie."""
    chip, fake = bench()
    region = chip.place("weight", (7, 5))
    cells = torch.arange(70)
    chip.reset(cells[::2])
    chip.set(cells[::4])
    _, rows, columns = chip.where(cells).T
    inside = rows * 64 + columns
    for kind in ("form", "set", "reset"):
        own = getattr(fake.chip.ledger, kind)
        assert torch.equal(own[inside], getattr(chip.ledger, kind)[cells])
        assert int(own.sum()) == int(getattr(chip.ledger, kind).sum())
    status = fake.chip.status(fake.region).view(-1)[inside]
    assert torch.equal(chip.status(region).view(-1), status)


def test_a_pulse_that_the_instrument_refuses_is_refused_and_stays_counted():
    chip, fake = bench()
    chip.place("weight", (3, 3))
    fake.broken = True
    with pytest.raises(ChipError, match="Undefined header"):
        chip.reset(torch.arange(4))
    assert int(chip.ledger.reset.sum()) == 4
    assert int(fake.chip.ledger.reset.sum()) == 0


def test_an_instrument_that_goes_silent_is_reported():
    chip, fake = bench()
    chip.place("weight", (3, 3))
    fake.left = 0
    with pytest.raises(ChipError, match="does not answer"):
        chip.set(torch.arange(4))


def test_a_model_learns_on_it_and_the_journal_has_every_pulse(tmp_path):
    chip, fake = bench()
    model = nn.Sequential(nn.Linear(6, 5, bias=False), nn.Linear(5, 2, bias=False))
    _PAGE["prune_on_board"](model, chip, tmp_path / "journal")
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    for step in range(3):
        optimizer.zero_grad()
        inputs = torch.rand(4, 6, generator=torch.Generator().manual_seed(step))
        model(inputs).square().sum().backward()
        optimizer.step()
    st.settle_(model)
    for weight in pruned_weights(model).values():
        high = chip.status(weight.region) == Chip.HIGH
        formed = chip.status(weight.region) != Chip.PRISTINE
        assert torch.equal(high, weight.mask.unsqueeze(-1) & formed)
    journaled = next(iter(pruned_weights(model).values())).chip
    journaled.flush()
    counts = journaled.journal.counts(80)
    assert torch.equal(counts.reset, chip.ledger.reset)
    assert int(counts.reset.sum()) == int(fake.chip.ledger.reset.sum()) > 0
    journaled.journal.close()


def test_its_serial_number_is_its_identity(tmp_path):
    chip, _ = bench()
    assert chip.identity()["serial"] == "secateur,fake bench,0042,1.0"
    with Journal(tmp_path / "journal") as journal:
        _PAGE["JournaledChip"](chip, journal)
        other, _ = bench()
        other.serial = "another"
        with pytest.raises(SettingError, match="serial is 'another' here"):
            _PAGE["JournaledChip"](other, journal)


def test_cells_that_were_formed_before_are_known_again_and_not_formed_anew():
    """A driver's process ends, the cells stay."""
    chip, fake = bench()
    region = chip.place("weight", (6, 4))
    chip.reset(torch.arange(10))
    status, forms = chip.status(region), int(fake.chip.ledger.form.sum())
    again = _BenchChip(_Line(fake.stream))
    assert torch.equal(again.status(again.place("weight", (6, 4))), status)
    assert int(fake.chip.ledger.form.sum()) == forms


def test_a_served_driver_is_a_board(tmp_path):
    pytest.importorskip("zmq")
    from secateur.chip.remote import RemoteChip

    chip, fake = bench()
    said, stop, address = [], threading.Event(), "tcp://127.0.0.1:57583"
    _PAGE["print"] = said.append
    serving = threading.Thread(
        target=_PAGE["serve"], args=(chip, tmp_path / "journal", stop, address), daemon=True
    )
    serving.start()
    remote = RemoteChip(address)
    region = remote.place("weight", (3, 2))
    remote.reset(torch.arange(6))
    assert int(remote.ledger.reset.sum()) == int(fake.chip.ledger.reset.sum()) == 6
    assert remote.read(region, key=1).shape == (3, 2, 2)
    remote.close()
    stop.set()
    serving.join()
    assert said == [f"Serving {chip.serial} at {address}"]
