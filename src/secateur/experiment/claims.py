"""What the paper claims pruning gains, as printed; it does not say over what.

"Pruning random resistive memory for optimizing analog AI", arXiv 2311.07164 and Nature
Communications (2026), s41467-025-67960-6: abstracts.
"""

from collections.abc import Mapping

# By task and metric, in points.
CLAIMED_GAINS: Mapping[str, Mapping[str, float]] = {
    "fashion-mnist": {"accuracy": 17.3},
    "spoken-digits": {"accuracy": 19.9},
    "drive": {"roc_auc": 2.0, "pr_auc": 9.8},
}
