"""ONE CELL: pure functions of tensors and explicit draws; a `Technology` holds the numbers."""

from secateur.device.forming import breakdown_voltage, formed_fraction, forming_voltage
from secateur.device.reading import noisy_read, pair_deviation, read_deviation
from secateur.device.switching import median_at_compliance, switched_conductance
from secateur.device.technology import Technology, presets, unit_of
from secateur.device.wear import born_stuck, endurance_limit
from secateur.device.writing import next_aim, relaxed

__all__ = [
    "Technology",
    "born_stuck",
    "breakdown_voltage",
    "endurance_limit",
    "formed_fraction",
    "forming_voltage",
    "median_at_compliance",
    "next_aim",
    "noisy_read",
    "pair_deviation",
    "presets",
    "read_deviation",
    "relaxed",
    "switched_conductance",
    "unit_of",
]
