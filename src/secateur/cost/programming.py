"""What programming a chip has cost: pulses to joules and seconds."""

from dataclasses import dataclass

from secateur.chip import Chip
from secateur.device import Technology


@dataclass(frozen=True)
class ProgrammingCost:
    """Energy in joules and time in seconds of all pulses, one after the other."""

    energy: float
    time: float


def programming_cost(
    technology: Technology, *, formed: int, form: int, set_: int, reset: int
) -> ProgrammingCost:
    """The cost of counted pulses: voltage x current x duration of each.

    A forming pulse that breaks its cell down carries the compliance current; one that does not
    meets a pristine cell. SET and RESET carry the switching current. Drivers are not counted.

    Args:
        technology: of the cells.
        formed: cells that forming has broken down.
        form: forming pulses, the successful ones included.
        set_: SET pulses.
        reset: RESET pulses.
    """
    law = technology
    breaking = law.breakdown_voltage * law.compliance_current * law.forming_width
    leaking = law.breakdown_voltage**2 * law.pristine_conductance * law.forming_width
    switching = law.switching_voltage * law.switching_current * law.switching_width
    energy = formed * breaking + (form - formed) * leaking + (set_ + reset) * switching
    time = form * law.forming_width + (set_ + reset) * law.switching_width
    return ProgrammingCost(energy=energy, time=time)


def chip_cost(chip: Chip) -> ProgrammingCost:
    """The cost of everything a chip's ledger counts."""
    totals = chip.ledger.totals()
    regions = chip.placement.regions
    formed = sum(int((chip.status(region) != chip.PRISTINE).sum()) for region in regions)
    return programming_cost(
        chip.technology, formed=formed,
        form=totals["form"], set_=totals["set"], reset=totals["reset"],
    )  # fmt: skip
