"""What a request may say, told from what it cannot: nothing that arrives is taken on trust."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from secateur.chip.window import Window
from secateur.chip.wire import FrameError

# Bytes of a token at least: what cannot be guessed.
_TOKEN = 16
# Bytes that any client must accept in an array.
_LEAST = 1 << 10


@dataclass(frozen=True)
class Greeting:
    """Who comes.

    Args:
        name: for others to read.
        token: known to it alone; never said to anybody.
        most: bytes of an array that it accepts.
        link, line: on which of whose lines; a later line has a higher number.
        ask: to be answered with; None for nothing.
    """

    name: str
    token: bytes
    most: int
    link: bytes
    line: int
    ask: int | None

    @classmethod
    def of(cls, header: dict[str, Any]) -> "Greeting":
        """The greeting of a header.

        Raises:
            FrameError: where it is none.
        """
        name, token, most = header.get("owner"), header.get("token"), header.get("most")
        if not isinstance(name, str) or not 0 < len(name) <= 200:
            raise FrameError("A message was refused: who asks has no name")
        if not isinstance(token, bytes) or not _TOKEN <= len(token) <= 200:
            raise FrameError("A message was refused: who asks has no token of its own")
        if type(most) is not int or most < _LEAST:
            raise FrameError("A message was refused: who asks accepts no arrays")
        link, line, ask = header.get("link", b""), header.get("line", 0), header.get("ask")
        if not isinstance(link, bytes) or len(link) > 200 or type(line) is not int:
            raise FrameError("A message was refused: it came on a line without a number")
        return cls(name, token, most, link, line, ask if isinstance(ask, int) else None)


def cells(array: Tensor) -> Tensor:
    """Numbers of cells, int64 (n,).

    Raises:
        FrameError: where they are something else.
    """
    if array.dtype != torch.int64 or array.dim() != 1:
        raise FrameError("A message was refused: cells are no list of numbers")
    return array


def volts(array: Tensor, *, dimensions: int) -> Tensor:
    """Inputs in V, float32 of so many dimensions.

    Raises:
        FrameError: where they are something else.
    """
    if array.dtype != torch.float32 or array.dim() != dimensions:
        raise FrameError("A message was refused: voltages are no float32 array of that order")
    return array


def window(sizes: Any) -> Window:
    """A window of one to three dimensions, with no more zeros around than its kernel can see.

    Raises:
        FrameError: for sizes that cannot be.
    """
    if not (isinstance(sizes, list) and len(sizes) == 4):
        raise FrameError("A message was refused: a window has four sizes for each dimension")
    kernel, stride, padding, dilation = (tuple(size) for size in sizes)
    for k, s, p, d in zip(kernel, stride, padding, dilation, strict=True):
        whole = all(type(n) is int for n in (k, s, p, d))
        if not whole or min(k, s, d) < 1 or not 0 <= p <= k * d:
            raise FrameError("A message was refused: the sizes of a window cannot be")
    if not 1 <= len(kernel) <= 3:
        raise FrameError(f"A message was refused: a window of {len(kernel)} dimensions")
    return Window(kernel, stride, padding, dilation)


def count(number: Any) -> int:
    """A number of 63 bits, as keys and counts are.

    Raises:
        FrameError: where it is something else.
    """
    if type(number) is not int or not 0 <= number < 1 << 63:
        raise FrameError("A message was refused: a key or count is no number of 63 bits")
    return number
