"""What a run has worn of its chip: how much, where most, and how many such runs are left."""

import math
from typing import Any

import torch

from secateur.chip import Chip
from secateur.device import projected_life, worn_out_probability

# Of the cells: so many may be worn out at the end of a chip's projected life.
TOLERATED = 1e-3


def wear_of(chip: Chip) -> dict[str, Any]:
    """Figures of a chip's wear, in plain JSON.

    Returns:
        `mean` SET and RESET pulses of a cell in use, the 99 % quantile `p99`; the `worst` cell:
        its number, weight, macro, row, column, pulses, and these over the technology's median
        `endurance`; `worn_share`, expected of the cells by now; `runs`, how many such runs until
        `tolerated` of the cells is worn out, None for no end.
    """
    law, wear = chip.technology, chip.ledger.switching.cpu()
    how = {"median": law.endurance, "spread": law.endurance_spread}
    life = projected_life(wear, tolerated=TOLERATED, **how)
    return {
        "mean": float(wear.double().mean()),
        # Of a large chip torch's quantile would refuse the size.
        "p99": int(wear.kthvalue(max(math.ceil(0.99 * len(wear)), 1)).values),
        "worst": _worst(chip, wear),
        "endurance": law.endurance,
        "worn_share": float(worn_out_probability(wear, **how).mean()),
        "tolerated": TOLERATED,
        "runs": life if math.isfinite(life) else None,
    }


def _worst(chip: Chip, wear: torch.Tensor) -> dict[str, Any]:
    cell, geometry = int(wear.argmax()), chip.placement.geometry
    region = next(r for r in chip.placement.regions if r.cells.start <= cell < r.cells.stop)
    pair = int(region.pair_addresses(geometry)[(cell - region.first_cell) // 2])
    address = 2 * pair + cell % 2
    pulses = int(wear[cell])
    return {
        "cell": cell, "weight": region.name, "macro": address // geometry.cells,
        "row": address % geometry.cells // geometry.columns, "column": address % geometry.columns,
        "pulses": pulses, "of_endurance": pulses / chip.technology.endurance,
    }  # fmt: skip
