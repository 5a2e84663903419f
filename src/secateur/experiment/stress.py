"""What finished models are put through: age and failing cells, each on a copy of model and chip."""

import copy
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn

from secateur.chip import SimulatedChip
from secateur.experiment.evaluate import chip_of
from secateur.experiment.recipe import Stress
from secateur.experiment.remedies import Means, Renew, remedy_named
from secateur.keyed import generator, key_of
from secateur.network import calibration_currents

Figures = dict[str, float]


def stressed(
    model: nn.Module, stress: Stress, *, measure: Callable[[nn.Module], Figures],
    renew: Renew, seed: int,
) -> list[dict[str, Any]]:  # fmt: skip
    """Figures after each hardship: as it is, and with each remedy.

    Args:
        model: trained; left as it is.
        stress: ages in seconds, shares of cells that fail, and what is tried against it.
        measure: figures of a model.
        renew: takes a model's norm statistics anew, without a pulse.
        seed: of the cells that fail.

    Returns:
        `kind`, `value`, `figures` and `remedied`, figures by the names of remedies, of each
        hardship; none for a model without a chip.

    Raises:
        SettingError: for an unknown remedy.
    """
    remedies = {name: remedy_named(name) for name in stress.remedies}
    if not isinstance(chip_of(model), SimulatedChip):
        return []
    found = []
    means: Means | None = None
    for kind, value, hardship in _hardships(stress, seed):
        means = means or Means(calibration_currents(copy.deepcopy(model)), renew)
        twin = copy.deepcopy(model)
        chip = chip_of(twin)
        assert isinstance(chip, SimulatedChip)
        hardship(chip)
        remedied = {}
        for name, remedy in remedies.items():
            helped = copy.deepcopy(twin)
            remedy.apply(helped, means)
            remedied[name] = measure(helped)
        found.append({"kind": kind, "value": value, "figures": measure(twin), "remedied": remedied})
    return found


def fail_cells(chip: SimulatedChip, share: float, *, seed: int) -> None:
    """Brings a random share of the placed cells to the low or the high state, half of them each.

    What a failed cell looks like from then on, since a finished model is sent no pulses. The
    pulses that bring it there are counted: a RESET, and for the high ones a SET from there, so
    that what they fail to is drawn anew. Pristine cells stay pristine.

    Args:
        chip: whose cells fail.
        share: of the cells, 0 to 1.
        seed: of the choice; cells that fail at a small share fail at a larger one too.
    """
    count = chip.ledger.form.numel()
    draw = torch.rand(count, generator=generator(key_of(seed, "fail"))).to(chip.device)
    low, high = draw < share / 2, draw > 1.0 - share / 2
    chip.reset((low | high).nonzero().view(-1))
    chip.set(high.nonzero().view(-1))


def _hardships(
    stress: Stress, seed: int
) -> Iterator[tuple[str, float, Callable[[SimulatedChip], None]]]:
    for seconds in stress.ages:
        yield "age", seconds, lambda chip, s=seconds: chip.advance(s)  # type: ignore[misc]
    for share in stress.failed:
        yield "failed", share, lambda chip, s=share: fail_cells(chip, s, seed=seed)  # type: ignore[misc]
