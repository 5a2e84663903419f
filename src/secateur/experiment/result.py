"""What a finished trial leaves for the record."""

from dataclasses import asdict
from typing import Any

from torch import nn

from secateur.chip import RecordedChip
from secateur.experiment.anatomy import anatomy_of
from secateur.experiment.arms import circuit_from
from secateur.experiment.endurance import wear_of
from secateur.experiment.evaluate import chip_of, programming_energy_of, pulses_of
from secateur.experiment.recipe import Recipe
from secateur.experiment.setting import Trial
from secateur.experiment.training import Trainer
from secateur.network import (
    ChipWeight,
    ProgrammedWeight,
    PrunedWeight,
    Saturation,
    first_order_errors,
    pruned_weights,
    saturations,
)
from secateur.tasks import Measured

# Share of the sums beyond their converters' range from which a run says so.
_MUCH_SATURATED = 0.1


def result_of(
    trial: Trial, recipe: Recipe, trainer: Trainer, found: Measured, *, seed: int,
    notes: list[str],
) -> dict[str, Any]:  # fmt: skip
    """Figures, effort, wear, physics and what was learned, in plain JSON.

    Args:
        trial: which.
        recipe: as its arm sees it.
        trainer: that has finished.
        found: by the task's measure.
        seed: of the trial.
        notes: of what happened on the way.
    """
    model = trainer.model
    weights = pruned_weights(model)
    chip, physics = chip_of(model), _physics(recipe, model)
    edges = sum(weight.edges for weight in weights.values())
    flips = sum(weight.flips for weight in weights.values())
    return {
        **asdict(trial),
        "seed": seed,
        "figures": dict(found.figures),
        "confusion": found.confusion,
        "history": trainer.progress.history,
        "pulses": pulses_of(chip),
        "edges": edges or None,
        "kept": _connections(model),
        "flips_per_edge": flips / edges if edges else None,
        "most_worn_cell": chip.ledger.most_worn if chip else None,
        "wear": wear_of(chip) if chip else None,
        "keep_fraction": {name: _kept(weight) for name, weight in weights.items()},
        "placement": chip and {
            "macros": chip.placement.macros,
            "utilisation": chip.placement.utilisation,
            "text": str(chip.placement),
        },
        "programming_energy_J": programming_energy_of(chip),
        "physics": physics,
        "notes": [*notes, *_on_saturation(trial, physics)],
        "anatomy": {name: anatomy_of(w) for name, w in weights.items() if not _keeps_all(w)},
        "maps": None,
        "masks": None,
        "arrays": None,
    }  # fmt: skip


def _connections(model: nn.Module) -> int:
    """Kept edges, and every other weight of two dimensions or more."""
    held = [module for module in model.modules() if isinstance(module, ChipWeight)]
    pruned = {id(weight.scores) for weight in held if isinstance(weight, PrunedWeight)}
    digital = sum(p.numel() for p in model.parameters() if p.dim() > 1 and id(p) not in pruned)
    return digital + sum(
        int(weight.mask.sum()) if isinstance(weight, PrunedWeight) else weight.shape.numel()
        for weight in held
    )


def _kept(weight: PrunedWeight) -> float:
    return int(weight.mask.sum()) / weight.edges


def _keeps_all(weight: PrunedWeight) -> bool:
    return int(weight.mask.sum()) == weight.edges


def _physics(recipe: Recipe, model: nn.Module) -> dict[str, Any]:
    chip = chip_of(model)
    quantised = any(hasattr(module, "full_scale") for module in model.modules())
    physics: dict[str, Any] = {
        "input_bits": recipe.converters.input_bits if quantised else "float32"
    }
    if chip is None:
        return {**physics, "weights": "digital, float32"}
    law = chip.technology
    written = any(isinstance(module, ProgrammedWeight) for module in model.modules())
    recorded = isinstance(chip, RecordedChip)
    return {
        **physics,
        "technology": law.name,
        "forming": "full" if written else "as recorded" if recorded else _forming_words(recipe),
        "circuit": _stored_words(recipe) if recorded else circuit_from(recipe).label,
        "read_noise": law.read_noise,
        "device_spread_high": law.high_device_spread,
        "device_spread_low": law.low_device_spread,
        "cycle_spread_high": law.high_cycle_spread,
        "cycle_spread_low": law.low_cycle_spread,
        "stuck_fraction": law.stuck_low_fraction + law.stuck_high_fraction,
        **({"programming_error": law.programming_error} if written else {}),
        **({} if written else _edges(recipe, model)),
        **_errors_of_circuit(model),
    }


def _edges(recipe: Recipe, model: nn.Module) -> dict[str, Any]:
    """What an edge is, and how many pairs a weight: one number, or those of each weight."""
    pairs = {name: weight.pairs for name, weight in pruned_weights(model).items()}
    numbers = set(pairs.values())
    alike = numbers.pop() if len(numbers) == 1 else pairs
    per = {weight.score_per for weight in pruned_weights(model).values()}
    return {
        "grain": recipe.search.grain, "pairs_per_weight": alike,
        **({"score_per": "weight"} if per == {"weight"} else {}),
    }  # fmt: skip


def _errors_of_circuit(model: nn.Module) -> dict[str, float]:
    """What converters have cut off in the evaluation, and how wrong first-order wires were."""
    counts = saturations(model).values()
    errors = first_order_errors(model).values()
    found = {}
    if counts:
        total = Saturation(sum(c.conversions for c in counts), sum(c.saturated for c in counts))
        found["saturated_share"] = total.share
    if errors:
        found["first_order_error"] = max(errors)
    return found


def _on_saturation(trial: Trial, physics: dict[str, Any]) -> list[str]:
    share = physics.get("saturated_share", 0.0)
    if share < _MUCH_SATURATED:
        return []
    return [
        f"{trial.arm}: {share:.0%} of the sums were beyond their converters' last level, and were "
        "cut to it. Raise converters.output_headroom, if the ranges are too small."
    ]


def _stored_words(recipe: Recipe) -> str:
    step = recipe.chip.circuit == "read-per-step"
    return f"stored reads, one {'per step' if step else 'for every multiplication'}"


def _forming_words(recipe: Recipe) -> str:
    if recipe.chip.address is not None:
        return "the board's own"
    chip = recipe.chip
    asked = ((chip.forming_voltage, "V"), (chip.forming_width, "s"), (chip.forming_compliance, "A"))
    words = [f"{value:g} {unit}" for value, unit in asked if value is not None]
    return ", ".join(words if chip.forming_voltage is not None else [chip.forming, *words])
