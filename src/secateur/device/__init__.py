"""ONE CELL: pure functions of tensors and explicit draws; a `Technology` holds the numbers."""

from secateur.device.deviation import (
    logarithmic_deviation,
    noise_growth,
    polynomial_deviation,
    power_deviation,
    saturating_deviation,
)
from secateur.device.drift import (
    arrhenius_factor,
    disturbed,
    exponent_by_state,
    logarithmic_drift,
    power_drift,
    retained,
    widened,
)
from secateur.device.forming import breakdown_voltage, formed_fraction, forming_voltage
from secateur.device.laws import DeviationLaw, DriftLaw, Law
from secateur.device.reading import noisy_read, pair_deviation, read_deviation
from secateur.device.switching import median_at_compliance, switched_conductance
from secateur.device.technology import Technology, presets, unit_of
from secateur.device.wear import (
    born_stuck,
    broken_lines,
    endurance_limit,
    projected_life,
    worn_out_probability,
)
from secateur.device.writing import nearest_level, next_aim, relaxed

__all__ = [
    "DeviationLaw",
    "DriftLaw",
    "Law",
    "Technology",
    "arrhenius_factor",
    "born_stuck",
    "breakdown_voltage",
    "broken_lines",
    "disturbed",
    "endurance_limit",
    "exponent_by_state",
    "formed_fraction",
    "forming_voltage",
    "logarithmic_deviation",
    "logarithmic_drift",
    "median_at_compliance",
    "nearest_level",
    "next_aim",
    "noise_growth",
    "noisy_read",
    "pair_deviation",
    "polynomial_deviation",
    "power_deviation",
    "power_drift",
    "presets",
    "projected_life",
    "read_deviation",
    "relaxed",
    "retained",
    "saturating_deviation",
    "switched_conductance",
    "unit_of",
    "widened",
    "worn_out_probability",
]
