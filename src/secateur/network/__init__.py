"""A MODEL ON A CHIP: one product that joins scores, masks, placement and circuit."""

from secateur.network.attach import detach_, program_, prune_, pruned_weights, quantise_
from secateur.network.search import Search
from secateur.network.swap import PRUNABLE, Where
from secateur.network.weight import ChipWeight, Grain, ProgrammedWeight, PrunedWeight

__all__ = [
    "PRUNABLE",
    "ChipWeight",
    "Grain",
    "ProgrammedWeight",
    "PrunedWeight",
    "Search",
    "Where",
    "detach_",
    "program_",
    "prune_",
    "pruned_weights",
    "quantise_",
]
