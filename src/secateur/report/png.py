"""Maps as small PNG images: one byte a cell, a palette of few colours, alpha for the paper."""

import base64
import struct
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

Rgba = tuple[int, int, int, int]


def data_uri(levels: NDArray[np.uint8], palette: list[Rgba]) -> str:
    """A palette image as a `data:` address.

    Args:
        levels: (rows, columns), places in the palette.
        palette: at most 256 colours, 0 to 255 each; the last number is the opacity.
    """
    rows, columns = levels.shape
    # Every line of a PNG begins with the number of its filter: 0, none.
    lines = np.concatenate([np.zeros((rows, 1), np.uint8), levels], axis=1).tobytes()
    head = struct.pack(">IIBBBBB", columns, rows, 8, 3, 0, 0, 0)
    chunks = [
        _chunk(b"IHDR", head),
        _chunk(b"PLTE", bytes(part for colour in palette for part in colour[:3])),
        _chunk(b"tRNS", bytes(colour[3] for colour in palette)),
        _chunk(b"IDAT", zlib.compress(lines, 9)),
        _chunk(b"IEND", b""),
    ]
    png = b"\x89PNG\r\n\x1a\n" + b"".join(chunks)
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")


def _chunk(kind: bytes, body: bytes) -> bytes:
    crc = zlib.crc32(kind + body)
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", crc)


def to_levels(values: NDArray[Any], low: float, high: float, number: int) -> NDArray[np.uint8]:
    """Values sorted into `number` equal steps from `low` to `high`; those outside take the ends."""
    span = high - low if high > low else 1.0
    share = (np.nan_to_num(values.astype(np.float64), nan=low) - low) / span
    return np.clip(np.floor(share * number), 0, number - 1).astype(np.uint8)


def block_means(values: NDArray[Any], rows: int, columns: int) -> NDArray[np.float64]:
    """The array reduced to at most (rows, columns) by means over blocks of whole cells."""
    down = -(-values.shape[0] // rows)
    across = -(-values.shape[1] // columns)
    reduced = values.astype(np.float64)
    if down > 1:
        starts = np.arange(0, reduced.shape[0], down)
        counts = np.diff([*starts, reduced.shape[0]])
        reduced = np.add.reduceat(reduced, starts, axis=0) / counts[:, None]
    if across > 1:
        starts = np.arange(0, reduced.shape[1], across)
        counts = np.diff([*starts, reduced.shape[1]])
        reduced = np.add.reduceat(reduced, starts, axis=1) / counts[None, :]
    return reduced
