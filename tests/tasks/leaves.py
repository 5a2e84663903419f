"""The Leaves: a data set of two small files, and an owner who serves it on this machine."""

import struct
from dataclasses import dataclass, field

import numpy as np

CONTENTS = {"images.gz": bytes(range(256)) * 400, "labels.gz": b"a few labels"}


def idx_bytes(values: np.ndarray) -> bytes:
    codes = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}
    header = struct.pack(">BBBB", 0, 0, codes[values.dtype.str[1:]], values.ndim)
    lengths = struct.pack(f">{values.ndim}I", *values.shape)
    return header + lengths + values.astype(values.dtype.newbyteorder(">")).tobytes()


@dataclass
class Owner:
    """A web server whose answers a test chooses: `answers[name]` is (status, length, body)."""

    address: str
    answers: dict[str, tuple[int, int | None, bytes]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def publish(
        self, name: str, body: bytes, *, status: int = 200, length: int | None = -1
    ) -> None:
        self.answers[name] = (status, len(body) if length == -1 else length, body)
