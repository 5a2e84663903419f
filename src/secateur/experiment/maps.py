"""The arrays behind a report's maps: conductances, wear, masks and scores."""

import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from secateur.chip import Chip, SimulatedChip, as_macro
from secateur.files import write_atomically
from secateur.network import ChipWeight, pruned_weights

_SAMPLE = 20_000
Array = NDArray[np.generic]


def save_maps(path: Path, model: nn.Module) -> bool:
    """Writes an npz of plain arrays; layout as the report reads it.

    Returns:
        False where the model is on no chip, and nothing was written.
    """
    chip = next((m.chip for m in model.modules() if isinstance(m, ChipWeight)), None)
    if chip is None:
        return False
    arrays = _of_simulated(chip) if isinstance(chip, SimulatedChip) else _of_any(chip)
    for name, weight in pruned_weights(model).items():
        arrays[f"weight/{name}/mask"] = _as_matrix(weight.mask, weight.region.inputs_first)
        arrays[f"weight/{name}/scores"] = _as_matrix(weight.scores, weight.region.inputs_first)
    save_arrays(path, arrays)
    return True


def _of_simulated(chip: SimulatedChip) -> dict[str, Array]:
    formed = _as_formed(chip)
    arrays: dict[str, Array] = {}
    for macro in range(chip.placement.macros):
        arrays[f"macro/{macro}/as_formed"] = formed.macro_map(macro, "conductance").numpy()
        arrays[f"macro/{macro}/final"] = chip.macro_map(macro, "conductance").numpy()
        arrays[f"macro/{macro}/pulses"] = chip.macro_map(macro, "pulses").numpy()
    return arrays | _cell_samples(chip, formed)


def _of_any(chip: Chip) -> dict[str, Array]:
    """What a chip that only tells what it reads can show."""
    placement = chip.placement
    every = torch.arange(placement.cells, device=chip.ledger.form.device)
    read, pulses = chip.read_back(every), chip.ledger.switching
    pairs = torch.cat([r.pair_addresses(placement.geometry) for r in placement.regions])
    arrays: dict[str, Array] = {}
    for macro in range(placement.macros):
        for name, values, elsewhere in (
            ("final", read, chip.technology.pristine_conductance), ("pulses", pulses, 0.0),
        ):  # fmt: skip
            grid = as_macro(
                values, pairs, macro=macro, geometry=placement.geometry, elsewhere=elsewhere
            )
            arrays[f"macro/{macro}/{name}"] = grid.numpy()
    status = torch.cat([chip.status(region).reshape(-1) for region in placement.regions])
    high = (status == Chip.HIGH) & (chip.ledger.set > 0)
    return arrays | {
        "cells/after_set": _some(read[high].cpu()),
        "cells/after_reset": _some(read[status == Chip.LOW].cpu()),
    }


def save_arrays(path: Path, arrays: Mapping[str, Array | Tensor]) -> None:
    """Writes arrays by name as one npz, atomically."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **{name: np.asarray(array) for name, array in arrays.items()})  # type: ignore[arg-type]
    write_atomically(path, buffer.getvalue())


def _as_formed(chip: SimulatedChip) -> SimulatedChip:
    """The same chip before anything was pruned: draws are keyed, so forming it again tells."""
    twin = SimulatedChip(
        chip.technology, seed=chip.seed, forming=chip.forming, geometry=chip.placement.geometry
    )
    for region in chip.placement.regions:
        twin.place(region.name, region.shape, inputs_first=region.inputs_first)
    return twin


def _cell_samples(chip: SimulatedChip, formed: SimulatedChip) -> dict[str, Array]:
    regions = chip.placement.regions
    now = torch.cat([chip.conductance(region).reshape(-1, 2) for region in regions])
    before = torch.cat([formed.conductance(region).reshape(-1, 2) for region in regions])
    status = torch.cat([chip.status(region).reshape(-1) for region in regions])
    flat = now.reshape(-1)
    was_set = (status == Chip.HIGH) & (chip.ledger.set > 0)
    return {
        "cells/as_formed": _some(before.reshape(-1)),
        "cells/after_set": _some(flat[was_set]),
        "cells/after_reset": _some(flat[status == Chip.LOW]),
        "cells/pair_difference": _some(before[:, 0] - before[:, 1]),
        "cells/pair_difference_final": _some(now[:, 0] - now[:, 1]),
    }


def _some(values: Tensor) -> Array:
    """At most so many values, evenly spaced over the chip: enough for a histogram."""
    stride = max(len(values) // _SAMPLE, 1)
    return values[::stride].numpy()


def _as_matrix(values: Tensor, inputs_first: bool) -> Array:
    matrix = values.detach().reshape(values.shape[0], -1)
    return (matrix.T if inputs_first else matrix).contiguous().numpy()
