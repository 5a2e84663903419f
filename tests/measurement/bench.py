"""A bench: measures a simulated chip, and gives the table that a user would bring."""

import numpy as np
import torch

from secateur.chip import SimulatedChip
from secateur.device import Technology

# Every spread large enough to be told apart from the others.
KNOWN = Technology.load("taox-40nm").with_values(
    stuck_low_fraction=0.0, stuck_high_fraction=0.0, read_noise=0.03, high_cycle_spread=0.08,
    high_device_spread=0.2,
    drift_law={"law": "power", "exponent": 0.03, "exponent_spread": 0.01, "reference_age": 1.0},
)  # fmt: skip


def measured(
    technology: Technology = KNOWN, *, cells: int = 200, cycles: int = 5, reads: int = 4,
    times: tuple[float, ...] = (), seed: int = 0,
) -> dict[str, np.ndarray]:  # fmt: skip
    """Columns by heading, as `reads_from` takes them."""
    chip = SimulatedChip(technology, seed=seed)
    region = chip.place("cells", (cells, 1))
    named = torch.arange(region.cells.start, region.cells.stop)
    rows: list[np.ndarray] = []
    key = iter(range(10**6))

    def look(cycle: int, high: float, time: float) -> None:
        for _ in range(reads):
            found = chip.read(region, key=seed * 10**7 + next(key)).double().view(-1)[::2]
            ones = np.ones(cells)
            rows.append(
                np.stack([np.arange(cells), cycle * ones, high * ones, found, time * ones], axis=1)
            )

    for cycle in range(cycles):
        look(cycle, 1.0, 1.0)
        chip.reset(named)
        look(cycle, 0.0, 1.0)
        chip.set(named)
    if times:
        look(cycles, 1.0, 1.0)
        passed = 1.0
        for time in times:
            chip.advance(time - passed)
            passed = time
            look(cycles, 1.0, time)
    table = np.concatenate(rows)
    formed = chip.conducting(named).view(-1, 2)[:, 0].numpy()
    table = table[formed[table[:, 0].astype(int)]]
    draws = np.random.default_rng(seed)
    volts = technology.breakdown_voltage + technology.breakdown_spread * draws.standard_normal(
        cells
    )
    cell = table[:, 0].astype(int)
    return {
        "cell": cell, "cycle": table[:, 1].astype(int),
        "state": np.where(table[:, 2] > 0.5, "high", "low"), "conductance [uS]": table[:, 3] * 1e6,
        "time [s]": table[:, 4], "forming_voltage [V]": volts[cell],
    }  # fmt: skip
