"""A recording as a table of reads, so that a technology can be fitted to it."""

from pathlib import Path
from typing import Any

import numpy as np

from secateur.device.recording import Recording

# Of a large array a part tells its statistics: so many cells, and reads of each after a pulse.
_MOST_CELLS, _MOST_READS = 1500, 16


def columns_of(path: Path) -> dict[str, Any]:
    """Columns as `reads_from` takes them, of formed cells evenly spread over a recording.

    As formed is the high state of cycle 0; cycle n of the recording is cycle n + 1.

    Raises:
        FileError, SettingError: as `Recording.open`.
    """
    held = Recording.open(path)
    cells = np.flatnonzero(held.formed)
    cells = cells[:: max(len(cells) // _MOST_CELLS, 1)]
    columns: dict[str, list[Any]] = {"cell": [], "cycle": [], "state": [], "conductance [S]": []}
    for state, array, first in (
        ("high", held.as_formed, 0), ("low", held.reset, 1), ("high", held.set, 1),
    ):  # fmt: skip
        for cycle, reads in enumerate(array if array is not None else ()):
            found = reads[:_MOST_READS][:, cells].astype(np.float64)
            measured = ~np.isnan(found[0])
            flat = found[:, measured].reshape(-1)
            columns["cell"].append(np.tile(cells[measured], len(found)))
            columns["cycle"].append(np.full(len(flat), first + cycle))
            columns["state"].append(np.full(len(flat), state))
            columns["conductance [S]"].append(flat)
    return {name: np.concatenate(parts) for name, parts in columns.items()}
