"""A CHIP: macros with state, the commands of the hardware, and the ledger of pulses."""

from secateur.chip.chip import CellStatistics, Chip, PairStatistics, WriteReport
from secateur.chip.command import Command, FormedApart, Outcome, RemembersCommands
from secateur.chip.compensation import column_scale, global_scale
from secateur.chip.driven import DrivenChip
from secateur.chip.forming import FixedVoltage, Forming, VoltageRamp
from secateur.chip.journal import Entry, Journal
from secateur.chip.journaled import JournaledChip
from secateur.chip.ledger import Ledger
from secateur.chip.named import chip_named
from secateur.chip.placement import Geometry, Placement, Region, Tile, as_macro
from secateur.chip.record import record_chip
from secateur.chip.recorded import RecordedChip
from secateur.chip.simulated import SimulatedChip
from secateur.chip.state import ChipState, first_difference, in_words
from secateur.chip.window import Window

__all__ = [
    "CellStatistics",
    "Chip",
    "ChipState",
    "Command",
    "DrivenChip",
    "Entry",
    "FixedVoltage",
    "FormedApart",
    "Forming",
    "Geometry",
    "Journal",
    "JournaledChip",
    "Ledger",
    "Outcome",
    "PairStatistics",
    "Placement",
    "RecordedChip",
    "Region",
    "RemembersCommands",
    "SimulatedChip",
    "Tile",
    "VoltageRamp",
    "Window",
    "WriteReport",
    "as_macro",
    "chip_named",
    "column_scale",
    "first_difference",
    "global_scale",
    "in_words",
    "record_chip",
]
