"""A weight behind a wire whose forming fails half way, of a program that goes on after it."""

import pytest
import torch
from served import serving_driven

from secateur.chip import DrivenChip, Geometry, Journal, JournaledChip
from secateur.chip.remote import RemoteChip
from secateur.errors import ChipError


class Bench(DrivenChip):
    """Cells that are only as high or low as the last pulse has made them; fails when told to."""

    def __init__(self) -> None:
        super().__init__("taox-40nm", geometry=Geometry(64, 64), macros=1)
        self.conductance = torch.full((64 * 64,), self.technology.pristine_conductance)
        self.failing = self.off = False

    def send_form(self, cells, **how) -> None:
        if self.failing:
            cells = cells[: len(cells) // 2]
        self.conductance[cells] = self.technology.high_conductance
        if self.failing:
            self.failing = False
            raise ChipError("The instrument does not answer")

    def send_switch(self, cells, *, up) -> None:
        law = self.technology
        self.conductance[cells] = law.high_conductance if up else law.low_conductance

    def measure(self, cells):
        if self.off:
            raise ChipError("The instrument is off")
        return self.conductance[cells]


def opened(server, path) -> JournaledChip:
    chip = RemoteChip(server.address, token="of this run and no other")
    return JournaledChip(chip, Journal(path, synchronous="normal"))


def program(chip: JournaledChip) -> list[str]:
    told = []
    chip.place("first", (2, 2))
    try:
        chip.place("second", (5, 6))
    except ChipError as error:
        told.append(str(error))
    chip.reset(torch.arange(8))
    chip.flush()
    return told


def test_all_pulses_of_its_forming_are_counted_and_its_region_is_known(tmp_path):
    bench = Bench()
    form = bench.send_form

    def second_fails(cells, **how) -> None:
        bench.failing = int(cells[0]) >= 8 and not failed
        failed.append(True) if bench.failing else None
        form(cells, **how)

    failed: list[bool] = []
    bench.send_form = second_fails
    with serving_driven(bench, tmp_path / "server") as server:
        for _ in range(2):
            chip = opened(server, tmp_path / "j")
            assert len(program(chip)) == 1
            assert [r.name for r in chip.placement.regions] == ["first", "second"]
            cells = bench.placement.cells
            certain, possible = (
                chip.journal.counts(cells, possible=how).form for how in (False, True)
            )
            assert torch.equal(certain + possible, bench.ledger.form)
            assert int(certain[8:].sum()) > 0
            chip.close()


def test_while_the_instrument_is_off_the_weight_stays_in_doubt(tmp_path):
    bench = Bench()
    with serving_driven(bench, tmp_path / "server") as server:
        chip = opened(server, tmp_path / "j")
        chip.place("first", (2, 2))
        bench.failing = True
        with pytest.raises(ChipError):
            chip.place("second", (5, 6))
        bench.off = True
        for _ in range(2):
            with pytest.raises(ChipError, match="off"):
                chip.reset(torch.arange(8))
        bench.off = False
        chip.reset(torch.arange(8))
        chip.flush()
        assert not chip.journal.in_doubt()
        assert bool(chip.conducting(torch.arange(8, 68)).all())
        chip.close()
