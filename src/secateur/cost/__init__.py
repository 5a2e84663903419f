"""Counts and shapes in; joules, seconds, square metres and pulses out."""

from secateur.cost.constants import Claim, Constant, claims, constants
from secateur.cost.inference import (
    COST_MODELS,
    Calibrated,
    Components,
    CostModel,
    InferenceCost,
    LayerCost,
    cost_model,
    read_energy,
)
from secateur.cost.programming import (
    ProgrammingCost,
    break_even,
    chip_cost,
    cost_of_writing,
    programming_cost,
    pulses_to_write,
)
from secateur.cost.published import Verdict, verdicts
from secateur.cost.statement import Search, counts, statement, usual_search
from secateur.cost.tornado import Bar, tornado

__all__ = [
    "COST_MODELS",
    "Bar",
    "Calibrated",
    "Claim",
    "Components",
    "Constant",
    "CostModel",
    "InferenceCost",
    "LayerCost",
    "ProgrammingCost",
    "Search",
    "Verdict",
    "break_even",
    "chip_cost",
    "claims",
    "constants",
    "cost_model",
    "cost_of_writing",
    "counts",
    "programming_cost",
    "pulses_to_write",
    "read_energy",
    "statement",
    "tornado",
    "usual_search",
    "verdicts",
]
