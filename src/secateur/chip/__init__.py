"""A CHIP: macros with state, the commands of the hardware, and the ledger of pulses."""

from secateur.chip.chip import CellStatistics, Chip, PairStatistics, WriteReport
from secateur.chip.compensation import column_scale, global_scale
from secateur.chip.forming import FixedVoltage, Forming, VoltageRamp
from secateur.chip.ledger import Ledger
from secateur.chip.placement import Geometry, Placement, Region, Tile, as_macro
from secateur.chip.record import record_chip
from secateur.chip.recorded import RecordedChip
from secateur.chip.simulated import SimulatedChip
from secateur.chip.state import ChipState, first_difference, in_words

__all__ = [
    "CellStatistics",
    "Chip",
    "ChipState",
    "FixedVoltage",
    "Forming",
    "Geometry",
    "Ledger",
    "PairStatistics",
    "Placement",
    "RecordedChip",
    "Region",
    "SimulatedChip",
    "Tile",
    "VoltageRamp",
    "WriteReport",
    "as_macro",
    "column_scale",
    "first_difference",
    "global_scale",
    "in_words",
    "record_chip",
]
