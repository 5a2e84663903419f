"""The ledger explains every change: no conductance moves without a counted pulse of its cell."""

import copy
from collections import Counter
from collections.abc import Callable

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from secateur.chip import FixedVoltage, Ledger, SimulatedChip, VoltageRamp
from secateur.device import Technology

# Noisy, faulty, quickly worn and half formed: every path of the physics is met.
ROUGH = Technology.load("taox-40nm").with_values(
    stuck_low_fraction=0.05, stuck_high_fraction=0.05, endurance=12
)
COMMANDS = (
    "form", "ramp", "set", "reset", "switch", "write_verify", "read",
    "multiply", "place", "copy",
)  # fmt: skip


def conductances(chip: SimulatedChip) -> Tensor:
    return torch.cat([chip.conductance(region).view(-1) for region in chip.placement.regions])


def counts(chip: SimulatedChip) -> Tensor:
    ledger = chip.ledger
    return torch.stack([ledger.form, ledger.set, ledger.reset], dim=1)


def chosen(chip: SimulatedChip, draws: torch.Generator) -> Tensor:
    """Some cells in any order; whole pairs, as a ramp needs them."""
    pairs = chip.ledger.form.numel() // 2
    number = int(torch.randint(0, pairs + 1, (), generator=draws))
    named = torch.randperm(pairs, generator=draws)[:number]
    return torch.stack([2 * named, 2 * named + 1], dim=1).view(-1)


def send(chip: SimulatedChip, command: str, cells: Tensor, draws: torch.Generator) -> Counter[str]:
    """Carries a command out; returns the pulses it is known to send, by kind."""
    law, region = chip.technology, chip.placement.regions[0]
    level = law.breakdown_voltage + float(torch.randn((), generator=draws)) * law.breakdown_spread
    how = {"width": law.forming_width, "compliance": law.compliance_current}
    if command == "form":
        chip.form(cells, voltage=level, **how)
    elif command == "ramp":
        chip.ramp(cells, voltages=[level, level + 0.05, level + 0.1], **how)
    elif command in ("set", "reset"):
        getattr(chip, command)(cells)
    elif command == "switch":
        up = torch.rand(len(cells), generator=draws) < 0.5
        chip.switch(cells, up)
        return Counter({"set": int(up.sum()), "reset": int((~up).sum())})
    elif command == "write_verify":
        targets = torch.rand(len(cells), generator=draws) * law.high_conductance
        chip.write_verify(cells, targets, attempts=3)
    elif command == "read":
        chip.read(region, key=1)
        chip.read_back(cells)
    elif command == "multiply":
        chip.multiply(region, torch.ones(2, region.matrix[0]), key=1)
    return Counter({command: len(cells)} if command in ("form", "set", "reset") else {})


@settings(max_examples=40)
@given(st.lists(st.sampled_from(COMMANDS), min_size=5, max_size=25), st.integers(0, 2**20))
def test_a_cell_whose_counts_stand_still_stands_still_to_the_bit(
    commands: list[str], seed: int
) -> None:
    draws = torch.Generator().manual_seed(seed)
    chip = SimulatedChip(ROUGH, seed=seed, forming=FixedVoltage(fraction=0.5))
    chip.place("first", (6, 5))
    for step, command in enumerate(commands):
        held, counted, totals = conductances(chip), counts(chip), Counter(chip.ledger.totals())
        if command == "place":
            chip.place(f"{step}", (3, 2, 2), inputs_first=True)
        elif command == "copy":
            chip = copy.deepcopy(chip)
        cells = chosen(chip, draws)
        sent = send(chip, command, cells, draws)
        now, new = conductances(chip)[: len(held)], counts(chip)[: len(counted)]
        assert bool((new >= counted).all())
        pulsed = (new != counted).any(dim=1)
        assert torch.equal(now[~pulsed], held[~pulsed])
        # Nothing but the cells of the command was pulsed.
        assert not bool(pulsed[~torch.isin(torch.arange(len(held)), cells)].any())
        if command in ("form", "set", "reset", "switch"):
            assert Counter(chip.ledger.totals()) - totals == sent
        if command in ("read", "multiply", "copy"):
            assert not bool(pulsed.any())
            assert torch.equal(now, held)


def test_what_is_derived_from_the_conductances_is_in_step_with_every_pulse() -> None:
    draws = torch.Generator().manual_seed(0)
    chip = SimulatedChip(ROUGH, forming=VoltageRamp())
    region = chip.place("weight", (8, 9))
    for command in ("reset", "set", "form", "ramp", "write_verify", "switch", "set"):
        send(chip, command, chosen(chip, draws), draws)
        plus, minus = chip.conductance(region).unbind(dim=-1)
        known = chip.statistics(region)
        assert torch.equal(known.difference, plus - minus)
        torch.testing.assert_close(
            known.deviation, ROUGH.read_noise * (plus.square() + minus.square()).sqrt()
        )


def test_totals_and_wear_are_sums_over_cells() -> None:
    chip = SimulatedChip("ideal")
    region = chip.place("weight", (2, 3))
    cells = torch.arange(region.cells.start, region.cells.stop)
    chip.reset(cells)
    chip.set(cells[:5])
    chip.reset(cells[:1])
    assert chip.ledger.totals() == {"form": 12, "set": 5, "reset": 13}
    assert chip.ledger.switching.tolist() == [3, 2, 2, 2, 2] + [1] * 7
    assert chip.ledger.wear(cells[:2]).tolist() == [3, 2]
    assert chip.ledger.counts(cells[:2]).tolist() == [4, 3]
    assert chip.ledger.most_worn == 3
    assert chip.macro_map(0, "pulses").sum() == 18


def test_an_empty_ledger_has_counted_nothing() -> None:
    ledger = Ledger.empty(torch.device("cpu"))
    assert ledger.totals() == {"form": 0, "set": 0, "reset": 0}
    assert ledger.most_worn == 0


def test_a_ramp_counts_the_pulses_up_to_each_pairs_breakdown() -> None:
    chip = SimulatedChip(forming=VoltageRamp())
    region = chip.place("weight", (100, 100))
    steps = VoltageRamp().voltages(chip.technology)
    pulses = chip.ledger.form.view(-1, 2)
    assert torch.equal(pulses[:, 0], pulses[:, 1])
    formed = (chip.status(region).view(-1, 2) != chip.PRISTINE).any(dim=1)
    assert bool((pulses[~formed] == len(steps)).all())
    # The weaker of two normal cells breaks 0.564 deviations below the mean, on average.
    law = chip.technology
    last = torch.tensor(steps)[pulses[:, 0].long() - 1]
    expected = law.breakdown_voltage - 0.5642 * law.breakdown_spread + 0.005
    assert abs(float(last.mean()) - expected) < 5 * 0.826 * law.breakdown_spread / 100


def _twice(command: Callable[[Tensor], None], cells: Tensor) -> None:
    command(cells)
    command(cells)


def test_pulses_on_no_cells_are_no_pulses() -> None:
    chip = SimulatedChip("ideal")
    chip.place("weight", (2, 3))
    before, none = chip.ledger.totals(), torch.zeros(0, dtype=torch.int64)
    _twice(chip.set, none)
    _twice(chip.reset, none)
    chip.form(none, voltage=3.0, width=1e-6, compliance=75e-6)
    chip.ramp(none, voltages=[3.0], width=1e-6, compliance=75e-6)
    report = chip.write_verify(none, torch.zeros(0))
    assert chip.ledger.totals() == before
    assert report.pulses == report.missed.numel() == 0
