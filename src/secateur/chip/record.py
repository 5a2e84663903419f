"""Recording a chip: its cells read many times as formed, after RESET and after SET."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from secateur.chip.chip import Chip
from secateur.device.recording import RecordingWriter, State
from secateur.errors import ChipError
from secateur.keyed import key_of


def record_chip(
    chip: Chip, path: Path, *, reads: int, cycles: int = 1, source: str, seed: int = 0
) -> None:
    """Reads a chip again and again and writes the recording that `RecordedChip` replays.

    Every formed cell gets a RESET and a SET in each cycle, counted by the chip as any pulse, and
    is high at the end. Pristine cells are read as they are and get no pulse.

    Args:
        chip: fresh, with the weights placed whose cells are to be recorded; in their order.
        path: of the recording.
        reads: of every cell as formed, and after each pulse.
        cycles: of RESET and SET.
        source: which chip it is, in words.
        seed: of the reads' keys.

    Raises:
        ChipError: for a chip without cells in use, or one that has been SET or RESET before.
        SettingError, FileError: as `RecordingWriter`.
    """
    totals = chip.ledger.totals()
    if not chip.placement.cells or totals["set"] or totals["reset"]:
        raise ChipError(
            f"This chip has {chip.placement.cells} cells in use, which have received "
            f"{totals['set'] + totals['reset']} SET and RESET pulses",
            cause="what is recorded first are cells as formed",
            remedy="Place weights on a chip that has only been formed",
        )
    everyone = torch.arange(chip.placement.cells, device=chip.ledger.form.device)
    formed = chip.conducting(everyone)
    shapes: dict[State, tuple[int, int]] = {
        "as_formed": (1, reads), "reset": (cycles, reads), "set": (cycles, reads)
    }  # fmt: skip
    writer = RecordingWriter(
        path, technology=chip.technology, source=source, shapes=shapes,
        formed=formed.cpu().numpy(), form=chip.ledger.form.cpu().numpy(),
    )  # fmt: skip
    with writer:
        for read in range(reads):
            writer.write("as_formed", 0, read, _one_read(chip, key_of(seed, "record", read)))
        for cycle in range(cycles):
            for state, pulse in (("reset", chip.reset), ("set", chip.set)):
                pulse(everyone[formed])
                for read in range(reads):
                    key = key_of(seed, "record", state, cycle, read)
                    found = _one_read(chip, key)
                    found[~formed.cpu().numpy()] = np.nan
                    writer.write(state, cycle, read, found)  # type: ignore[arg-type]


def _one_read(chip: Chip, key: int) -> NDArray[np.float32]:
    parts: list[Tensor] = [
        chip.read(region, key=key_of(key, region.first_cell)).view(-1)
        for region in chip.placement.regions
    ]
    found: NDArray[np.float32] = torch.cat(parts).float().cpu().numpy()
    return found
