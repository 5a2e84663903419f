"""THE IDEA: one score a connection; keep the best, prune the rest; learn the scores.

    scores ──|·|──> rule ──> mask ──> (a chip prunes) ──> weights
       ^                                                     │
       └───────────── straight-through gradient ─────────────┘

Tensors only: this room knows nothing of chips or devices.
"""

from secateur.topology.anatomy import agreement, degrees, dispersion, kept_by_position
from secateur.topology.budget import FlipBudget
from secateur.topology.rule import Rule, Scope, TopK, swap_across_band
from secateur.topology.schedule import Annealed
from secateur.topology.scores import (
    ScorePer,
    ScoreStart,
    cell_scores,
    initial_scores,
    signed_scores,
)
from secateur.topology.select import flipped_edges, keep_count, kth_largest, top_k
from secateur.topology.straight_through import as_quantised, straight_through

__all__ = [
    "Annealed",
    "FlipBudget",
    "Rule",
    "Scope",
    "ScorePer",
    "ScoreStart",
    "TopK",
    "agreement",
    "as_quantised",
    "cell_scores",
    "degrees",
    "dispersion",
    "flipped_edges",
    "initial_scores",
    "keep_count",
    "kept_by_position",
    "kth_largest",
    "signed_scores",
    "straight_through",
    "swap_across_band",
    "top_k",
]
