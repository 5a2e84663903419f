"""What programming a chip costs: pulses to joules and seconds."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn

from secateur.chip import Chip, SimulatedChip
from secateur.device import Technology
from secateur.network import program_
from secateur.network.survey import survey


@dataclass(frozen=True)
class ProgrammingCost:
    """Energy in joules and time in seconds of all pulses, one after the other."""

    energy: float
    time: float

    def __add__(self, other: "ProgrammingCost") -> "ProgrammingCost":
        return ProgrammingCost(self.energy + other.energy, self.time + other.time)


def programming_cost(
    technology: Technology,
    *,
    formed: float = 0,
    form: float = 0,
    set_: float = 0,
    reset: float = 0,
    verified: float = 0,
) -> ProgrammingCost:
    """The cost of counted pulses: voltage x current x duration of each.

    A forming pulse that breaks its cell down carries the compliance current; one that does not
    meets a pristine cell. SET and RESET carry the switching current. Drivers and converters are
    not counted.

    Args:
        technology: of the cells.
        formed: cells that forming has broken down.
        form: forming pulses, the successful ones included.
        set_: SET pulses.
        reset: RESET pulses.
        verified: reads of a cell after a pulse, each at the high conductance at most.
    """
    law = technology
    breaking = law.breakdown_voltage * law.compliance_current * law.forming_width
    leaking = law.breakdown_voltage**2 * law.pristine_conductance * law.forming_width
    switching = law.switching_voltage * law.switching_current * law.switching_width
    reading = law.read_voltage**2 * law.high_conductance * law.read_width
    energy = formed * breaking + (form - formed) * leaking
    energy += (set_ + reset) * switching + verified * reading
    time = form * law.forming_width + (set_ + reset) * law.switching_width
    return ProgrammingCost(energy=energy, time=time + verified * law.read_width)


def chip_cost(chip: Chip) -> ProgrammingCost:
    """The cost of everything a chip's ledger counts."""
    totals = chip.ledger.totals()
    return programming_cost(
        as_pulsed(chip), formed=formed_cells(chip),
        form=totals["form"], set_=totals["set"], reset=totals["reset"],
    )  # fmt: skip


def as_pulsed(chip: Chip) -> Technology:
    """A chip's technology, with the width and current of its own forming where it tells them."""
    forming = getattr(chip, "forming", None)
    own: Technology = chip.technology if forming is None else forming.pulsed(chip.technology)
    return own


def formed_cells(chip: Chip) -> int:
    """Cells of a chip that are no longer pristine."""
    regions = chip.placement.regions
    return sum(int((chip.status(region) != chip.PRISTINE).sum()) for region in regions)


def pulses_to_write(
    network: nn.Module, technology: Technology, *, sample: int = 16_384, seed: int = 0
) -> dict[str, float]:
    """Pulses that writing and verifying a network's weights takes, a pair each.

    A sample of the weights, evenly spaced and each over the largest of its layer, is written to a
    simulated chip: a whole network would take minutes and tell the same.

    Args:
        network: plain, not pruned.
        technology: of the chip.
        sample: weights to write.
        seed: of the chip.

    Returns:
        Number of "form", "set" and "reset" pulses, of all cells together.

    Raises:
        ModelError: where the network has no weights that could be on a chip.
    """
    values = [plain.value.detach().flatten() for plain in survey(network, None).weights]
    scaled = torch.cat([value / value.abs().amax().clamp_min(1e-30) for value in values])
    chosen = scaled[:: max(len(scaled) // sample, 1)].float().cpu()
    # `program_` scales by the largest of what it writes.
    layer = nn.Linear(1, len(chosen) + 1, bias=False)
    layer.weight = nn.Parameter(torch.cat([chosen, torch.ones(1)]).unsqueeze(1))
    chip = SimulatedChip(technology, seed=seed)
    program_(nn.Sequential(layer), chip)
    times = 2 * len(scaled) / chip.placement.cells
    return {kind: times * count for kind, count in chip.ledger.totals().items()}


def cost_of_writing(technology: Technology, *, pulses: Mapping[str, float]) -> ProgrammingCost:
    """Forming and writing a trained network, each SET and RESET followed by a read.

    Args:
        technology: of the cells.
        pulses: as `pulses_to_write` gives them; a pulse forms a cell.
    """
    return programming_cost(
        technology, formed=pulses["form"], form=pulses["form"], set_=pulses["set"],
        reset=pulses["reset"], verified=pulses["set"] + pulses["reset"],
    )  # fmt: skip


def break_even(invested: float, *, saved: float) -> float | None:
    """Inferences after which what each saves makes up for what was invested, both in joules.

    None where an inference saves nothing.
    """
    return invested / saved if saved > 0.0 else None
