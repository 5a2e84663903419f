"""Frames between a board and its user: a MessagePack header, then arrays as raw bytes.

A message has several parts. The first is a map of plain values: the version, the session, the
number of the request in it, what is asked, and the kinds and shapes of the arrays, which are the
other parts, little-endian and in row-major order. Nothing that comes in is trusted: sizes are
limited, kinds are listed, and what does not fit is refused before anything else looks at it.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgpack
import torch
from torch import Tensor

from secateur.errors import ChipError

VERSION = 1
_DTYPES = {
    "b1": torch.bool, "i1": torch.int8, "i4": torch.int32, "i8": torch.int64, "f4": torch.float32,
}  # fmt: skip
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}


class FrameError(ChipError):
    """A message that is none of ours."""


@dataclass(frozen=True)
class Limits:
    """What a message may be at most.

    Args:
        header: bytes of the first part.
        array: bytes of each other part.
        arrays: how many of them.
    """

    header: int = 1 << 20
    array: int = 1 << 28
    arrays: int = 4


def packed(header: Mapping[str, Any], arrays: Sequence[Tensor] = ()) -> list[Any]:
    """The parts of a message.

    Args:
        header: plain values.
        arrays: bool, int8, int32, int64 or float32 tensors.
    """
    whole = [array.detach().cpu().contiguous() for array in arrays]
    kinds = [[_NAMES[array.dtype], list(array.shape)] for array in whole]
    first = msgpack.packb({**header, "v": VERSION, "arrays": kinds}, use_bin_type=True)
    return [first, *(_bytes(array) for array in whole)]


def unpacked(parts: Sequence[Any], limits: Limits) -> tuple[dict[str, Any], list[Tensor]]:
    """Header and arrays of a message; the arrays share its memory.

    Args:
        parts: bytes or memoryviews.
        limits: of what is accepted.

    Raises:
        FrameError: for anything but a message of this version within the limits.
    """
    if not parts or len(parts) > 1 + limits.arrays:
        raise _refused(f"it has {len(parts)} parts")
    if len(parts[0]) > limits.header:
        raise _refused(f"its header has {len(parts[0])} bytes")
    try:
        header = msgpack.unpackb(parts[0], raw=False, strict_map_key=True, max_ext_len=0)
    except (ValueError, TypeError, RecursionError, msgpack.UnpackException) as error:
        raise _refused("its header is no MessagePack map") from error
    if not isinstance(header, dict) or not all(isinstance(key, str) for key in header):
        raise _refused("its header is no map of words")
    if header.get("v") != VERSION:
        raise FrameError(
            f"A message of version {header.get('v')!r} of the protocol, expected {VERSION}",
            cause="board and user run different versions of secateur",
            remedy="Install the same version on both",
        )
    kinds = header.get("arrays")
    if not isinstance(kinds, list) or len(kinds) != len(parts) - 1:
        raise _refused("its header and its parts disagree")
    arrays = [_array(kind, part, limits) for kind, part in zip(kinds, parts[1:], strict=True)]
    return header, arrays


def check_sizes(parts: Sequence[Any], limits: Limits, *, what: str) -> None:
    """Refuses a message of one's own before it is sent: the other end would never answer it.

    Args:
        parts: of the message, as `packed` gives them.
        limits: of who is to get it.
        what: it asks, for the message.

    Raises:
        ChipError: naming the size and the limit.
    """
    for number, part in enumerate(parts):
        most = limits.array if number else limits.header
        if len(part) > most:
            raise ChipError(
                f"{what} takes {len(part)} bytes in one part of a message, and {most} are allowed",
                cause="more cells, inputs or parameters in one request than its other end accepts",
                remedy="Name fewer cells or give fewer inputs at a time; or give larger `Limits` "
                "to the board's `Server` and to `RemoteChip`",
            )  # fmt: skip


def _array(kind: Any, part: Any, limits: Limits) -> Tensor:
    if not (isinstance(kind, list) and len(kind) == 2 and isinstance(kind[0], str)):
        raise _refused("an array has no kind and shape")
    dtype, shape = _DTYPES.get(kind[0]), kind[1]
    if dtype is None:
        raise _refused(f"an array is of kind {kind[0]!r}")
    if not (isinstance(shape, list) and len(shape) <= 8 and all(map(_is_size, shape))):
        raise _refused("an array's shape is none")
    size = math.prod(shape) * dtype.itemsize
    if size > limits.array or size != len(part):
        raise _refused(f"an array of {size} bytes came in {len(part)}")
    if not size:
        # Of no bytes, whatever the other sizes, whose product may exceed what can be counted.
        if math.prod(max(n, 1) for n in shape) > limits.array:
            raise _refused("an empty array's shape is none")
        return torch.zeros(shape, dtype=dtype)
    if dtype == torch.bool and max(bytes(part)) > 1:
        raise _refused("a truth value is neither 0 nor 1")
    return torch.frombuffer(bytearray(part), dtype=dtype).view(shape)


def _bytes(array: Tensor) -> Any:
    """A view of its memory."""
    values: Any = array.numpy()
    return memoryview(values).cast("B") if array.numel() else b""


def _is_size(value: Any) -> bool:
    return type(value) is int and 0 <= value < 1 << 40


def _refused(what: str) -> FrameError:
    return FrameError(
        f"A message was refused: {what}",
        cause="another program speaks at this address, or the message exceeds the limits",
        remedy="Check the address; name fewer cells or inputs in one command",
    )
