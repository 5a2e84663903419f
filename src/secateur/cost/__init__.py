"""Counts and shapes in, joules and seconds out."""

from secateur.cost.programming import ProgrammingCost, chip_cost, programming_cost

__all__ = ["ProgrammingCost", "chip_cost", "programming_cost"]
