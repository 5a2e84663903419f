"""The pruning plan: from a finished search to what a chip programmer needs."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from secateur.chip import Chip
from secateur.chip.order import PulseOrder, half_selected, line_switches, pulse_order
from secateur.cost import programming_cost
from secateur.device import Technology
from secateur.errors import SettingError
from secateur.experiment.arms import chip_from
from secateur.experiment.boards import board_at
from secateur.experiment.finished import Finished, finished_trial
from secateur.experiment.plan_file import (
    Command,
    MacroPlan,
    Plan,
    Pulse,
    Steps,
    Totals,
)

# Of the lines and their drivers when another one is chosen: an assumption, `settling` replaces it.
SETTLING = 1e-6

ORDER = (
    "RESETs before SETs, macro by macro, column by column, rows down one column and up the next. "
    "Gates run along rows, the pulse's voltage along a column. The cells of a column that are not "
    "pulsed see its voltage with closed gates: how often follows from the pulses the column "
    "carries, which no order changes and pulses for several of its cells at once lower. The order "
    "makes the voltage move to another line as seldom as can be."
)


def make_plan(
    directory: Path, *, arm: str | None = None, chip: int = 0, variant: str = "",
    at_once: int = 1, settling: float = SETTLING,
) -> Plan:  # fmt: skip
    """What brings a run's chip from as it was formed to what its search has found.

    Of a board, which is as its search has left it, all cells to be low are listed; `apply_plan`
    spares those that are.

    Args:
        directory: of a finished run.
        arm: that searched; the run's only one where None.
        chip: number of the chip.
        variant: of the arm, where a setting was varied.
        at_once: cells of a column that one pulse may serve.
        settling: seconds that a line takes when it switches.

    Raises:
        FileError, SettingError: as `finished_trial`; for a settling time below 0.
    """
    if not settling >= 0.0:
        raise SettingError(f"settling is {settling} s", remedy="Give 0 s or more")
    done = finished_trial(directory, arm=arm, chip=chip, variant=variant)
    address = done.recipe.chip.address
    held = chip_from(done.recipe.chip, done.seed) if address is None else board_at(done.recipe.chip)
    weights = done.weights_on(held)
    cells = torch.arange(held.placement.cells)
    high = torch.cat([held.status(region).view(-1) for region in held.placement.regions])
    wanted = torch.full((len(cells),), -1, dtype=torch.int8)
    for name, weight in weights.items():
        mask = done.masks[name]
        kept = mask.view(-1) if weight.grain == "cell" else mask.view(-1).repeat_interleave(2)
        wanted[weight.region.cells] = torch.where(kept, Chip.HIGH, Chip.LOW).to(torch.int8)
    formed = high != Chip.PRISTINE
    macros = _Macros(held, held.read_back(cells), at_once=at_once, settling=settling)
    # A board is as its search has left it: what it was as formed is known no more.
    fresh = torch.full_like(high, Chip.HIGH) if address is not None else high
    commands: dict[str, Tensor] = {
        "RESET": cells[formed & (wanted == Chip.LOW) & (fresh == Chip.HIGH)],
        "SET": cells[formed & (wanted == Chip.HIGH) & (high == Chip.LOW)],
    }
    law, identity = held.technology, held.identity()
    held.close()
    return Plan(
        schema_="secateur.plan", version=1, run=str(directory.resolve()), trial=done.folder.name,
        arm=done.arm, variant=variant, chip=chip, seed=done.seed, identity=identity,
        pulse=Pulse(
            voltage=law.switching_voltage, width=law.switching_width,
            current_limit=law.switching_current, read_voltage=law.read_voltage,
            settling=settling, at_once=at_once,
        ),
        order=ORDER, macros=(planned := macros.plans(commands)),
        totals=_totals(planned), checks=_checks(law, done),
    )  # fmt: skip


class _Macros:
    """Cells of a chip by macro, and what pulses to them take."""

    def __init__(self, chip: Chip, read: Tensor, *, at_once: int, settling: float) -> None:
        self.chip, self.read, self.at_once, self.settling = chip, read, at_once, settling
        geometry = chip.placement.geometry
        pairs = torch.cat([r.pair_addresses(geometry) for r in chip.placement.regions])
        addresses = torch.stack([2 * pairs, 2 * pairs + 1], dim=1).view(-1)
        self.macro = addresses // geometry.cells
        self.row = addresses % geometry.cells // geometry.columns
        self.column = addresses % geometry.columns
        self.names = [r.name for r in chip.placement.regions]
        starts = torch.tensor([r.cells.start for r in chip.placement.regions])
        self.owner = torch.searchsorted(starts, torch.arange(len(addresses)), right=True) - 1

    def plans(self, commands: dict[str, Tensor]) -> list[MacroPlan]:
        """One for each macro in use."""
        return [
            self._plan(macro, {name: c[self.macro[c] == macro] for name, c in commands.items()})
            for macro in range(self.chip.placement.macros)
        ]

    def _plan(self, macro: int, commands: dict[str, Tensor]) -> MacroPlan:
        law, geometry = self.chip.technology, self.chip.placement.geometry
        stress = torch.zeros((geometry.rows, geometry.columns), dtype=torch.int64)
        steps: dict[str, Steps] = {}
        switches = pulses = 0
        for name, cells in commands.items():
            rows, columns = self.row[cells], self.column[cells]
            order = pulse_order(rows, columns, at_once=self.at_once)
            stress += half_selected(rows, columns, order, shape=(geometry.rows, geometry.columns))
            switches += line_switches(rows, columns, order)
            pulses += order.pulses
            steps[name] = self._steps(cells[order.places], order, law)
        counts = {name: len(cells) for name, cells in commands.items()}
        cost = programming_cost(law, reset=counts["RESET"], set_=counts["SET"])
        return MacroPlan(
            macro=macro, reset=steps["RESET"], set=steps["SET"], pulses=pulses,
            line_switches=switches, energy=cost.energy,
            time=pulses * law.switching_width + switches * self.settling,
            half_selected_most=int(stress.max()), half_selected_mean=_mean_placed(
                stress, self.row, self.column, self.macro == macro
            ),
        )  # fmt: skip

    def _steps(self, cells: Tensor, order: PulseOrder, law: Technology) -> Steps:
        read = self.read[cells].double().clamp_min(0.0)
        current = (read * law.switching_voltage).clamp_max(law.switching_current)
        return Steps(
            cell=cells.tolist(), row=self.row[cells].tolist(), column=self.column[cells].tolist(),
            weight=[self.names[n] for n in self.owner[cells].tolist()],
            pulse=order.pulse.tolist(), conductance=_rounded(read),
            current=_rounded(current), read_current=_rounded(read * law.read_voltage),
        )  # fmt: skip


def threshold(law: Technology) -> float:
    """Siemens between the low and the high state: their geometric mean."""
    return float((law.low_conductance * law.high_conductance) ** 0.5)


def columns_of(plan: Plan, command: Command) -> list[Tensor]:
    """Cells that a command is sent to, a tensor of cell numbers for each column, all in order."""
    found: list[Tensor] = []
    for macro in plan.macros:
        steps = macro.reset if command == "RESET" else macro.set
        cells, column = torch.tensor(steps.cell), torch.tensor(steps.column)
        if len(cells):
            ends = (column[1:] != column[:-1]).nonzero().view(-1) + 1
            found += torch.tensor_split(cells, ends)
    return found


# --- Inside -----------------------------------------------------------------------------------


def _mean_placed(stress: Tensor, row: Tensor, column: Tensor, here: Tensor) -> float:
    return float(stress[row[here], column[here]].double().mean())


def _rounded(values: Tensor) -> list[float]:
    """Four digits: a read has no more."""
    return [float(f"{value:.4g}") for value in values.tolist()]


def _totals(macros: list[MacroPlan]) -> Totals:
    return Totals(
        reset=sum(len(m.reset.cell) for m in macros), set=sum(len(m.set.cell) for m in macros),
        pulses=sum(m.pulses for m in macros), line_switches=sum(m.line_switches for m in macros),
        energy=sum(m.energy for m in macros), time=sum(m.time for m in macros),
    )  # fmt: skip


def _checks(law: Technology, done: Finished) -> list[dict[str, Any]]:
    between = float(f"{threshold(law) * law.read_voltage:.4g}")
    low = float(f"{law.low_conductance * law.read_voltage:.4g}")
    return [
        {"check": "identity", "what": "The chip is the one of this plan, before the first pulse"},
        {
            "check": "low", "what": "Every cell that was RESET carries less than the threshold at "
            "the read voltage", "read_current_below_A": between, "read_current_expected_A": low,
        },
        {
            "check": "high", "what": "Every kept cell carries more than the threshold at the read "
            "voltage", "read_current_above_A": between,
        },
        {"check": "counts", "what": "As many pulses as listed were counted, cell by cell"},
        {
            "check": "accuracy", "what": "Of the network on the test set, as the run has measured",
            "reported": {name: float(np.float64(v)) for name, v in done.figures.items()},
        },
    ]  # fmt: skip
