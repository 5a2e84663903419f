"""A MODEL ON A CHIP: one product that joins scores, masks, placement and circuit."""

from secateur.network.attach import (
    check_shares,
    detach_,
    is_due,
    program_,
    prune_,
    pruned_weights,
    quantise_,
    settle_,
)
from secateur.network.calibrate import Saturation, calibrate_, first_order_errors, saturations
from secateur.network.compensate import (
    Scale,
    calibration_currents,
    compensate_,
    uncompensate_,
)
from secateur.network.edges import Grain
from secateur.network.per_weight import KeepFraction, PairsPerWeight
from secateur.network.saved_chip import SavedChip, read_chip
from secateur.network.saving import load_, pack, save, unpack_
from secateur.network.search import Search
from secateur.network.survey import PRUNABLE, Where
from secateur.network.tensor_file import read_tensors, write_tensors
from secateur.network.weight import ChipWeight, ProgrammedWeight, PrunedWeight

__all__ = [
    "PRUNABLE",
    "ChipWeight",
    "Grain",
    "KeepFraction",
    "PairsPerWeight",
    "ProgrammedWeight",
    "PrunedWeight",
    "Saturation",
    "SavedChip",
    "Scale",
    "Search",
    "Where",
    "calibrate_",
    "calibration_currents",
    "check_shares",
    "compensate_",
    "detach_",
    "first_order_errors",
    "is_due",
    "load_",
    "pack",
    "program_",
    "prune_",
    "pruned_weights",
    "quantise_",
    "read_chip",
    "read_tensors",
    "saturations",
    "save",
    "settle_",
    "uncompensate_",
    "unpack_",
    "write_tensors",
]
