"""The whole account of a pruned model in plain JSON values: what `secateur cost` prints."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from secateur.chip import Chip
from secateur.cost.constants import constants
from secateur.cost.inference import COST_MODELS, Calibrated, CostModel, InferenceCost, planes
from secateur.cost.programming import (
    ProgrammingCost,
    as_pulsed,
    break_even,
    cost_of_writing,
    formed_cells,
    programming_cost,
)
from secateur.cost.published import comparison_of_counts, conclusions, verdicts
from secateur.cost.tornado import tornado
from secateur.network.trace import Product, Trace

# Scale, shift and activation of every column output.
_OPERATIONS_PER_OUTPUT = 3


@dataclass(frozen=True)
class Search:
    """The SET and RESET pulses of a whole search, its first masks included.

    Args:
        pulses: how many.
        origin: where the number comes from.
    """

    pulses: float
    origin: str


def usual_search(chip: Chip) -> Search:
    """The pulses of a search as long as usual, on a chip that holds its first masks.

    A flip pulses the formed cells of its edge, so that flips per edge are pulses per formed cell.
    """
    flips = constants("search")["flips_per_edge"]
    begun = int(chip.ledger.switching.sum())
    return Search(begun + flips.value * formed_cells(chip), flips.provenance)


def statement(
    model: CostModel, trace: Trace, chip: Chip, *, task: str, search: Search,
    writing: Mapping[str, float],
) -> dict[str, Any]:  # fmt: skip
    """All figures of one model; joules, seconds and square metres, shares in percent.

    Args:
        model: of cost.
        trace: of one inference.
        chip: that holds the pruned model.
        task: its name, to find what was published about it.
        search: pulses of the search.
        writing: pulses of writing trained weights instead, as `pulses_to_write`.
    """
    law = chip.technology
    cost = model.inference(trace, law)
    area = model.area(chip.placement)
    return {
        "task": task,
        "model": model.name,
        "summary": model.summary,
        "technology": law.name,
        "counts": counts(trace),
        "macros": chip.placement.macros,
        "cells": chip.placement.cells,
        "energy_J": cost.energy,
        "time_s": cost.time,
        "area_m2": sum(area.values()) if area else None,
        "saving_percent": 100 * model.saving(trace, law),
        "references_J": model.references(trace),
        "parts_J": cost.parts,
        "areas_m2": area,
        "layers": _layers(trace, cost),
        "models": {name: _in_short(kind.load(), trace, chip) for name, kind in COST_MODELS.items()},
        "programming": _programming(chip, search, writing),
        "break_even": _break_even(model, trace, chip, search),
        "tornado": [_percent(asdict(bar)) for bar in tornado(model, trace, law)],
        "published": [
            {**asdict(v), "follows": v.follows} for v in verdicts(Calibrated.load())
        ],
        "notes": _notes(model, trace, task),
        "constants": [asdict(constant) for constant in model.constants().values()],
    }  # fmt: skip


def counts(trace: Trace) -> dict[str, int]:
    """What one inference counts, over all layers."""
    rows = [_counts(product) for product in trace.products]
    total = {key: sum(row[key] for row in rows) for key in rows[0]} if rows else {}
    total["bit_planes"] = max((row["bit_planes"] for row in rows), default=0)
    total["macs"] = trace.macs
    total["digital_operations"] = total.get("digital_operations", 0) + 2 * trace.other_macs
    return total


def _counts(product: Product) -> dict[str, int]:
    """Of one product; what is digital converts nothing and reads nothing."""
    usage = product.usage
    bits = planes(product) if usage else 0
    digital = _OPERATIONS_PER_OUTPUT * product.column_outputs if usage else 2 * product.macs
    return {
        "macs": product.macs,
        "column_outputs": product.column_outputs,
        "conversions": bits * usage.conversions if usage else 0,
        "bit_planes": bits,
        "read_pulses": bits * usage.lines if usage else 0,
        "digital_operations": digital,
    }


def _layers(trace: Trace, cost: InferenceCost) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = [_counts(product) for product in trace.products]
    rows += [{"macs": trace.other_macs}] * (len(cost.layers) - len(rows))
    return [
        {
            "name": layer.name, **row, "energy_J": layer.joules, "time_s": layer.time,
            "parts_J": dict(layer.energy),
        }
        for layer, row in zip(cost.layers, rows, strict=True)
    ]  # fmt: skip


def _in_short(model: CostModel, trace: Trace, chip: Chip) -> dict[str, Any]:
    cost = model.inference(trace, chip.technology)
    area = model.area(chip.placement)
    return {
        "energy_J": cost.energy,
        "saving_percent": 100 * model.saving(trace, chip.technology),
        "time_s": cost.time,
        "area_m2": sum(area.values()) if area else None,
    }


def _programming(chip: Chip, search: Search, writing: Mapping[str, float]) -> dict[str, Any]:
    law = chip.technology
    form = int(chip.ledger.form.sum())
    written = cost_of_writing(law, pulses=writing)
    return {
        "forming": _entry(form, forming_cost(chip)),
        "search": {
            **_entry(search.pulses, programming_cost(law, set_=search.pulses)),
            "origin": search.origin,
        },
        "write_and_verify": _entry(sum(writing.values()), written),
    }


def forming_cost(chip: Chip) -> ProgrammingCost:
    """The cost of a chip's forming pulses alone."""
    form = int(chip.ledger.form.sum())
    return programming_cost(as_pulsed(chip), formed=formed_cells(chip), form=form)


def _entry(pulses: float, cost: ProgrammingCost) -> dict[str, Any]:
    return {"pulses": round(pulses), "energy_J": cost.energy, "time_s": cost.time}


def _break_even(model: CostModel, trace: Trace, chip: Chip, search: Search) -> dict[str, Any]:
    """Against the reference GPU; a training step computes two digital products for each on chip."""
    law, gpu = chip.technology, model.references(trace)["gpu"]
    inference = model.inference(trace, law).energy
    pulsed = forming_cost(chip) + programming_cost(law, set_=search.pulses)
    saved = gpu - inference
    return {
        "saved_J": saved,
        "inferences": break_even(pulsed.energy, saved=saved),
        "inferences_per_training_sample": break_even(inference + 2 * gpu, saved=saved),
    }


def _percent(bar: dict[str, Any]) -> dict[str, Any]:
    ends = {f"saving_percent_{end}": 100 * bar.pop(f"at_{end}") for end in ("low", "high")}
    return {**bar, **ends}


def _notes(model: CostModel, trace: Trace, task: str) -> list[str]:
    counted = comparison_of_counts(task, trace)
    notes = [] if counted is None else [counted]
    return notes + (conclusions(model) if isinstance(model, Calibrated) else [])
