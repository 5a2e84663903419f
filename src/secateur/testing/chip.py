"""What every chip must obey."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from secateur.chip import Chip, Region
from secateur.errors import ChipError

_READS = 64


class ChipContract:
    """Only pulses change cells, every pulse is counted, and what is read is what multiplies.

    Subclasses give `chip`: a new chip without weights at every call, with room for some hundred
    pairs. Half-formed chips are the better candidates: they show pristine cells as well.
    """

    #: Equal commands give equal chips, and equal keys equal reads: what a simulator promises and a
    #: measurement cannot. Set it to False for a real chip; the tests of that promise are skipped.
    repeatable: bool = True

    #: Whether cells can be brought to values between their two states. Where it is False,
    #: `write_verify` must refuse and send no pulse.
    writes_values: bool = True

    def chip(self) -> Chip:
        """The chip under test."""
        raise NotImplementedError("give the chip under test")

    # --- Placement and forming ---------------------------------------------------------------

    def test_a_weight_owns_two_cells_and_nobody_elses(self) -> None:
        """Regions are disjoint and in the order of placement; `placement` knows them."""
        chip = self.chip()
        first = chip.place("first", (6, 5))
        second = chip.place("second", (3, 4, 2, 2), inputs_first=True)
        assert first.cells == slice(0, 60)
        assert second.cells == slice(60, 60 + 96)
        assert chip.placement.regions == [first, second]
        assert chip.placement.cells == chip.ledger.form.numel() == 156

    def test_placing_forms_by_counted_pulses(self) -> None:
        """What conducts has been formed; no cell has seen a SET or RESET."""
        chip, region = self._placed()
        status = chip.status(region)
        assert status.dtype == torch.int8
        assert status.shape == (*region.shape, 2)
        assert torch.equal((status != chip.PRISTINE).view(-1), chip.conducting(_cells(region)))
        assert bool((chip.ledger.form[chip.conducting(_cells(region))] > 0).all())
        totals = chip.ledger.totals()
        assert (totals["set"], totals["reset"]) == (0, 0)

    def test_a_ramp_sends_the_same_pulses_one_by_one_or_at_once(self) -> None:
        """A chip's own ramp may be faster than pulse by pulse, not different."""
        self._needs_repeatable()
        ends: list[tuple[Tensor, ...]] = []
        for own in (True, False):
            chip, region = self._placed()
            law = chip.technology
            low = law.breakdown_voltage - 3.0 * law.breakdown_spread
            voltages = [low + n * 0.5 * law.breakdown_spread for n in range(13)]
            ramp = chip.ramp if own else lambda *a, chip=chip, **k: Chip.ramp(chip, *a, **k)
            ramp(
                _cells(region), voltages=voltages, width=law.forming_width,
                compliance=law.compliance_current,
            )  # fmt: skip
            ends.append((chip.ledger.form, chip.status(region), chip.read(region, key=1)))
        assert all(map(torch.equal, *ends))

    # --- Pulses ------------------------------------------------------------------------------

    def test_every_pulse_is_counted_where_it_lands(self) -> None:
        """One per cell named, none elsewhere, whether the cell follows or not."""
        chip, region = self._placed()
        cells, kinds = _cells(region), ("form", "set", "reset")
        for kind in kinds:
            for named in (cells[::3], cells.flip(0)[:7], cells[:0]):
                before = {k: getattr(chip.ledger, k).clone() for k in kinds}
                _commands(chip)[kind](named)
                before[kind][named] += 1
                assert all(torch.equal(getattr(chip.ledger, k), v) for k, v in before.items())

    def test_reset_lowers_and_set_raises(self) -> None:
        """High goes low, low goes high, as status and reads agree."""
        chip, region = self._placed()
        formed = _cells(region)[chip.conducting(_cells(region))]
        as_formed = chip.read_back(formed).median()
        chip.reset(formed)
        low = chip.read_back(formed)
        moved = (chip.status(region).view(-1) == chip.LOW).float().sum() / len(formed)
        assert float(moved) > 0.9
        assert float(low.median()) < 0.5 * float(as_formed)
        chip.set(formed)
        assert float(chip.read_back(formed).median()) > 2.0 * float(low.median())

    def test_a_switch_is_a_reset_of_some_cells_and_a_set_of_others(self) -> None:
        """In one pass or two: the same counts, the same states, the same conductances."""
        ends: list[tuple[Tensor, ...]] = []
        for at_once in (True, False):
            chip, region = self._placed()
            cells = _cells(region).flip(0)
            chip.reset(cells[::3])
            up = torch.arange(len(cells)) % 2 == 0
            (chip.switch if at_once else _switch_in_turn(chip))(cells, up)
            ledger = chip.ledger
            assert int(ledger.set.sum()) == int(up.sum())
            assert int(ledger.reset.sum()) == len(cells[::3]) + int((~up).sum())
            status, read = chip.status(region), chip.read(region, key=1)
            ends.append((ledger.set, ledger.reset, status, read))
        if self.repeatable:
            assert all(map(torch.equal, *ends))

    def test_set_and_reset_never_form(self) -> None:
        """A pristine cell stays pristine: it is no edge."""
        chip, region = self._placed()
        pristine = _cells(region)[~chip.conducting(_cells(region))]
        if not len(pristine):
            pytest.skip("every cell of this chip is formed")
        chip.set(pristine)
        chip.reset(pristine)
        chip.set(pristine)
        assert not bool(chip.conducting(pristine).any())

    def test_pulses_leave_other_cells_alone(self) -> None:
        """To the bit."""
        self._needs_repeatable()
        chip, region = self._placed()
        pulsed, others = _cells(region)[::2], _cells(region)[1::2]
        before = chip.read_back(others)
        chip.reset(pulsed)
        chip.set(pulsed)
        assert torch.equal(chip.read_back(others), before)

    def test_randomness_is_keyed_by_cell_and_pulse(self) -> None:
        """Other reads, other commands' order and size in between: the same chip."""
        self._needs_repeatable()
        chip, region = self._placed()
        cells = _cells(region)
        chip.reset(cells)
        chip.set(cells[:20])
        twin, _ = self._placed()
        for part in (cells[30:], cells[:30].flip(0)):
            twin.read(region, key=5)
            twin.reset(part)
        twin.read_back(cells)
        twin.set(cells[10:20])
        twin.set(cells[:10])
        assert torch.equal(chip.read(region, key=1), twin.read(region, key=1))

    @pytest.mark.parametrize("command", ["set", "reset", "switch", "form", "ramp", "write_verify"])
    def test_strange_cells_are_refused_and_nothing_is_counted(self, command: str) -> None:
        """Foreign cells, and a cell named twice."""
        chip, _ = self._placed()
        before = chip.ledger.totals()
        for named in ([0, -1], [0, 10**9], [3, 3], [2, 5, 4, 2]):
            with pytest.raises(ChipError):
                _commands(chip)[command](torch.tensor(named))
        assert chip.ledger.totals() == before

    def test_write_verify_counts_its_pulses_and_names_what_it_missed(self) -> None:
        """What is not named as missed is near its target, up to the settling error."""
        if not self.writes_values:
            pytest.skip("this chip has two states and none between")
        chip, region = self._placed()
        cells, law = _cells(region), chip.technology
        formed = cells[chip.conducting(cells)]
        targets = torch.linspace(0.3, 1.0, len(formed)) * law.high_conductance
        before = sum(chip.ledger.totals().values())
        report = chip.write_verify(formed, targets, tolerance=0.05)
        assert report.pulses == sum(chip.ledger.totals().values()) - before > 0
        assert len(report.missed) < 0.1 * len(formed)
        met = ~torch.isin(formed, report.missed)
        error = (chip.read_back(formed) - targets)[met]
        left = law.written_deviation(targets).square() + 2.0 * law.read_deviation(targets).square()
        allowed = 0.05 * law.high_conductance + 5.0 * left[met].sqrt()
        assert bool((error.abs() <= allowed).all())

    def test_written_cells_are_in_the_state_they_are_near_and_follow_every_pulse(self) -> None:
        """Low targets end low and high ones high; a RESET lowers them all, a SET raises them."""
        if not self.writes_values:
            pytest.skip("this chip has two states")
        chip, region = self._placed()
        law, cells = chip.technology, _cells(region)
        formed = cells[chip.conducting(cells)]
        high = torch.arange(len(formed)) % 2 == 0
        targets = torch.where(high, law.high_conductance, law.low_conductance)
        report = chip.write_verify(formed, targets, tolerance=0.1)
        met = ~torch.isin(formed, report.missed)
        written = chip.status(region).view(-1)[formed]
        expected = torch.where(high, chip.HIGH, chip.LOW).to(torch.int8)
        assert float((written == expected)[met].float().mean()) > 0.95
        for pulse, state in (("reset", chip.LOW), ("set", chip.HIGH)):
            _commands(chip)[pulse](formed)
            followed = chip.status(region).view(-1)[formed] == state
            assert float(followed[met].float().mean()) > 0.9
            median = float(chip.read_back(formed[met & followed]).median())
            aim = law.low_conductance if state == chip.LOW else law.high_conductance
            assert abs(median - aim) < 0.5 * aim + 0.01 * law.high_conductance

    def test_a_chip_of_two_states_refuses_values_and_sends_nothing(self) -> None:
        """A target that it cannot reach is not answered by the nearest thing it has."""
        if self.writes_values:
            pytest.skip("this chip can be written to values")
        chip, region = self._placed()
        formed = _cells(region)[chip.conducting(_cells(region))]
        before = chip.ledger.totals()
        targets = torch.full((len(formed),), 0.5 * chip.technology.high_conductance)
        with pytest.raises(ChipError):
            chip.write_verify(formed, targets)
        assert chip.ledger.totals() == before

    # --- Reading -----------------------------------------------------------------------------

    def test_reading_changes_nothing(self) -> None:
        """No read, of any kind, is a pulse."""
        chip, region = self._placed()
        inputs, _ = region.matrix
        totals, status = chip.ledger.totals(), chip.status(region)
        first = chip.read(region, key=1)
        for key in range(5):
            chip.read(region, key=key)
            chip.multiply(region, torch.ones(2, inputs), key=key)
            chip.read_back(_cells(region))
            chip.statistics(region)
        assert chip.ledger.totals() == totals
        assert torch.equal(chip.status(region), status)
        if self.repeatable:
            assert torch.equal(chip.read(region, key=1), first)

    def test_a_read_is_a_conductance_per_cell(self) -> None:
        """Siemens, finite, + cells and - cells on the last axis."""
        chip, region = self._placed()
        read = chip.read(region, key=3)
        assert read.shape == (*region.shape, 2)
        assert bool(read.isfinite().all())
        back = chip.read_back(_cells(region))
        assert back.shape == (region.weights * 2,)
        larger = torch.maximum(read.view(-1).abs(), back.abs())
        noise = 12.0 * chip.technology.read_deviation(larger) + 1e-9
        assert bool(((read.view(-1) - back).abs() <= noise).all())

    def test_reads_of_other_keys_are_independent_where_there_is_noise(self) -> None:
        """A key names what a read is for."""
        self._needs_repeatable()
        chip, region = self._placed()
        if chip.technology.read_noise == 0.0:
            pytest.skip("this chip reads without noise")
        one, same, other = (chip.read(region, key=key) for key in (1, 1, 2))
        assert torch.equal(one, same)
        assert not bool((one == other).all())

    def test_the_statistics_are_those_of_reads(self) -> None:
        """Mean and spread over many reads, where the chip claims to know them."""
        chip, region = self._placed()
        known = chip.statistics(region)
        if known is None:
            pytest.skip("this chip does not know its statistics")
        difference = self._differences(chip, region)
        error = (difference.mean(dim=0) - known.difference).abs()
        assert bool((error <= 6.0 * known.deviation / _READS**0.5 + 1e-9).all())
        ratio = difference.std(dim=0).square().mean() / known.deviation.square().mean()
        assert known.deviation.max() == 0.0 or 0.8 < float(ratio) < 1.2

    def test_a_product_is_the_sum_of_what_its_cells_read(self) -> None:
        """Currents of + columns less - columns, one row of outputs per row of voltages."""
        for inputs_first in (False, True):
            chip = self.chip()
            region = chip.place("weight", (7, 4, 2), inputs_first=inputs_first)
            inputs, outputs = region.matrix
            voltages = torch.linspace(-0.1, 0.2, inputs).expand(_READS, inputs)
            currents = chip.multiply(region, voltages, key=9)
            assert currents.shape == (_READS, outputs)
            difference = self._differences(chip, region)
            flat = difference.reshape(_READS, region.shape[0], -1)
            by_input = flat if inputs_first else flat.transpose(1, 2)
            summed = torch.einsum("bi,bio->bo", voltages, by_input)
            spread = (currents.var(dim=0) + summed.var(dim=0)).div(_READS).sqrt()
            allowed = 6.0 * spread + 1e-6 * float(currents.abs().max())
            assert bool(((currents.mean(dim=0) - summed.mean(dim=0)).abs() <= allowed).all())

    def test_a_wrong_number_of_voltages_is_refused(self) -> None:
        """Nothing is padded or cut."""
        chip, region = self._placed()
        with pytest.raises(ChipError):
            chip.multiply(region, torch.ones(3, region.matrix[0] + 1), key=1)

    def test_a_region_of_another_chip_is_refused(self) -> None:
        """Its cells would be somebody else's."""
        chip, _ = self._placed()
        other = self.chip()
        other.place("large", (30, 20))
        foreign = other.place("foreign", (5, 5))
        with pytest.raises(ChipError):
            chip.read(foreign, key=1)
        with pytest.raises(ChipError):
            chip.status(foreign)
        with pytest.raises(ChipError):
            chip.multiply(foreign, torch.ones(1, 5), key=1)

    # --- Inside ------------------------------------------------------------------------------

    def _placed(self) -> tuple[Chip, Region]:
        chip = self.chip()
        return chip, chip.place("weight", (12, 10))

    def _needs_repeatable(self) -> None:
        if not self.repeatable:
            pytest.skip("measurements do not repeat")

    def _differences(self, chip: Chip, region: Region) -> Tensor:
        reads = torch.stack([chip.read(region, key=100 + n) for n in range(_READS)])
        return reads[..., 0] - reads[..., 1]


def _switch_in_turn(chip: Chip) -> Callable[[Tensor, Tensor], None]:
    return lambda cells, up: Chip.switch(chip, cells, up)


def _commands(chip: Chip) -> dict[str, Callable[[Tensor], object]]:
    law = chip.technology
    voltage, high = law.breakdown_voltage, law.high_conductance
    how = {"width": law.forming_width, "compliance": law.compliance_current}
    return {
        "form": lambda cells: chip.form(cells, voltage=voltage, **how),
        "ramp": lambda cells: chip.ramp(cells, voltages=[voltage], **how),
        "set": chip.set,
        "reset": chip.reset,
        "switch": lambda cells: chip.switch(cells, torch.ones_like(cells, dtype=torch.bool)),
        "write_verify": lambda cells: chip.write_verify(cells, torch.full(cells.shape, high)),
    }


def _cells(region: Region) -> Tensor:
    return torch.arange(region.cells.start, region.cells.stop)
