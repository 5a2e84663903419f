"""Several settings varied jointly: a grid, draws, or a search, on one machine or on a cluster."""

from secateur.experiment.sweep.plan import Plan, counted
from secateur.experiment.sweep.run import run_sweep
from secateur.experiment.sweep.space import Range, Space

__all__ = ["Plan", "Range", "Space", "counted", "run_sweep"]
