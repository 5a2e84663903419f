"""Patches of pictures: drawn at random for training, laid over whole pictures for prediction."""

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from secateur.errors import SettingError
from secateur.keyed import key_of, philox
from secateur.tasks.data import Samples

_FLOORS = 16  # a network of four halvings takes sides that are multiples of this
_TURNS = 8  # four quarter rotations, each of them mirrored or not


class Fundi(Samples):
    """Pictures of the retina, handed out in square patches.

    A sample is a patch whose centre lies anywhere in its picture's field of view with equal
    chance, turned by a random quarter rotation and mirrored or not. What a patch shows from beyond
    the picture's border is 0 and no vessel, as is what lies outside the field of view.

    Args:
        pictures: (N, H, W) float32, 0 outside the field of view.
        vessels: (N, H, W) bool, the right answers.
        fields: (N, H, W) bool, the fields of view.
        names: of the pictures.
        side: of a patch in pixels.
        patches_per_image: samples that an epoch takes from each picture.
        stride: pixels from patch to patch where whole pictures are predicted.

    Raises:
        SettingError: for shapes that do not agree, an empty field of view, or patches that a
            network cannot take, that leave gaps, or of which there are none.
    """

    def __init__(
        self, *, pictures: Tensor, vessels: Tensor, fields: Tensor, names: Sequence[str],
        side: int, patches_per_image: int, stride: int,
    ) -> None:  # fmt: skip
        _check(side=side, patches_per_image=patches_per_image, stride=stride)
        if not pictures.shape == vessels.shape == fields.shape or len(names) != len(pictures):
            raise SettingError("Pictures, vessels, fields of view and names differ in number")
        self.pictures, self.vessels, self.fields = pictures, vessels, fields
        self.names = tuple(names)
        self.side, self.patches_per_image, self.stride = side, patches_per_image, stride
        self._canvas = F.pad(pictures, (side,) * 4)
        self._answers = F.pad((vessels & fields).to(torch.uint8), (side,) * 4)
        self._centred, counts = _corners_around_centres(fields, side)
        if not bool((counts > 0).all()):
            empty = self.names[int((counts == 0).nonzero()[0])]
            raise SettingError(f"The field of view of {empty} is empty")
        self._counts, self._starts = counts, counts.cumsum(0) - counts
        self._turned = _turned(side, self._canvas.shape[2])

    def __len__(self) -> int:
        return len(self.pictures) * self.patches_per_image

    def batch(self, places: Tensor, *, key: int) -> tuple[Tensor, Tensor]:
        """See `Samples.batch`: other patches in every epoch.

        Returns:
            Inputs (B, 1, side, side) float32 and targets (B, side, side) int64, 1 for a vessel.
        """
        image = places // self.patches_per_image
        counters = torch.stack([places, *[torch.zeros_like(places)] * 3])
        words = philox(counters, key=key_of(key, "patch"))
        # The high word of a 32-bit draw times a count is a fair draw below that count.
        picked = self._starts[image] + (words[0] * self._counts[image] >> 32)
        index = self._centred[picked].unsqueeze(1) + self._turned[words[1] % _TURNS]
        shape = (len(places), self.side, self.side)
        inputs = self._canvas.take(index).view(len(places), 1, self.side, self.side)
        return inputs, self._answers.take(index).view(shape).to(torch.int64)

    def joined(self, other: "Fundi") -> "Fundi":
        """See `Samples.joined`.

        Raises:
            SettingError: for patches of another kind.
        """
        if self._settings != other._settings:
            raise SettingError("Pictures with patches of two kinds cannot be joined")
        return Fundi(
            pictures=torch.cat([self.pictures, other.pictures]),
            vessels=torch.cat([self.vessels, other.vessels]),
            fields=torch.cat([self.fields, other.fields]),
            names=(*self.names, *other.names),
            **self._settings,
        )

    def chosen(self, images: Tensor) -> "Fundi":
        """Some of the pictures, by their numbers (int64)."""
        return Fundi(
            pictures=self.pictures[images],
            vessels=self.vessels[images],
            fields=self.fields[images],
            names=[self.names[n] for n in images.tolist()],
            **self._settings,
        )

    def examples(self, classes: Sequence[str]) -> dict[str, Tensor]:
        """See `Samples.examples`: the first picture, its vessels and its field of view."""
        name, picture = self.names[0], self.pictures[0]
        low, high = picture.min(), picture.max()
        return {
            f"{name}, prepared": (picture - low) / (high - low),
            f"{name}, {classes[-1]}": self.vessels[0].to(torch.float32),
            f"{name}, field of view": self.fields[0].to(torch.float32),
        }

    def tiles(self, image: int, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Overlapping patches that cover the field of view of one picture.

        They begin at every `stride`-th pixel, from before the picture's border on: where the
        stride divides the side, each pixel is in (side / stride) squared patches.

        Args:
            image: its number.
            size: patches of one batch.

        Yields:
            Inputs (B, 1, side, side), and where their pixels are in `self.blank()`, (B, side^2).
        """
        field = F.pad(self.fields[image], (self.side,) * 4)
        height, width = field.shape
        first = self.side % self.stride or self.stride
        rows, columns = (torch.arange(first, n - self.side, self.stride) for n in (height, width))
        corners = (rows[:, None] * width + columns).flatten()
        index = corners.unsqueeze(1) + self._turned[0]
        index = index[field.take(index).any(dim=1)]
        for places in torch.split(index, size):
            yield self._canvas[image].take(places).view(-1, 1, self.side, self.side), places

    def blank(self) -> Tensor:
        """Zeros for one picture with the margin that patches may reach into."""
        return torch.zeros(self._canvas.shape[1:])

    def without_margin(self, canvas: Tensor) -> Tensor:
        """The picture (H, W) in what `blank` gave."""
        return canvas[self.side : -self.side, self.side : -self.side]

    @property
    def _settings(self) -> dict[str, int]:
        names = ("side", "patches_per_image", "stride")
        return {name: getattr(self, name) for name in names}


def _corners_around_centres(fields: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """Where in the padded pictures patches around the fields' pixels begin; pixels per field."""
    _, height, width = fields.shape
    image, row, column = fields.nonzero(as_tuple=True)
    tall, wide = height + 2 * side, width + 2 * side
    before = side - side // 2
    corners = (image * tall + row + before) * wide + column + before
    return corners, torch.bincount(image, minlength=len(fields))


def _turned(side: int, width: int) -> Tensor:
    """Offsets (8, side^2) of a patch's pixels from its corner, in each of the eight positions."""
    along = torch.arange(side)
    plain = along[:, None] * width + along
    turned = [torch.rot90(plain, turns) for turns in range(4)]
    return torch.stack([*turned, *(grid.flip(1) for grid in turned)]).flatten(1)


def _check(*, side: int, patches_per_image: int, stride: int) -> None:
    if side < _FLOORS or side % _FLOORS:
        raise SettingError(
            f"task.side is {side}", remedy=f"Give a multiple of {_FLOORS}, which halves four times"
        )
    if not 0 < stride <= side:
        raise SettingError(
            f"task.stride is {stride}, which {'leaves gaps' if stride > 0 else 'goes nowhere'}",
            remedy=f"Give 1 to {side}, the side of a patch",
        )
    if patches_per_image < 1:
        raise SettingError(
            f"task.patches_per_image is {patches_per_image}", remedy="Give 1 or more"
        )
