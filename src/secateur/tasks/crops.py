"""Small coloured pictures in memory, shifted and mirrored by key."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from secateur.errors import SettingError
from secateur.keyed import key_of, philox
from secateur.tasks.data import Samples

_MARGIN = 4


class Crops(Samples):
    """Coloured pictures; where augmented, seen through a window shifted by up to 4 pixels.

    The usual augmentation of small pictures: zeros around, a window of the picture's own size
    anywhere in it, mirrored by half. A picture's window is a function of the epoch's key and its
    place alone.

    Args:
        pictures: (N, 3, H, W) bytes.
        targets: (N,) int64.
        augmented: whether they are shifted and mirrored.

    Raises:
        SettingError: where pictures and targets differ in number.
    """

    def __init__(self, pictures: Tensor, targets: Tensor, *, augmented: bool) -> None:
        if len(pictures) != len(targets):
            raise SettingError(f"{len(pictures)} pictures have {len(targets)} targets")
        self.pictures, self.targets, self.augmented = pictures, targets, augmented

    def __len__(self) -> int:
        return len(self.targets)

    def batch(self, places: Tensor, *, key: int = 0) -> tuple[Tensor, Tensor]:
        """See `Samples.batch`: inputs (B, 3, H, W) float32 from -1 to 1, targets (B,)."""
        pictures = self.pictures[places]
        if self.augmented:
            pictures = shifted(pictures, places, key=key)
        return pictures.to(torch.float32).div_(127.5).sub_(1.0), self.targets[places]

    def joined(self, other: "Crops") -> "Crops":
        """See `Samples.joined`: augmented as these are."""
        pictures = torch.cat([self.pictures, other.pictures])
        return Crops(pictures, torch.cat([self.targets, other.targets]), augmented=self.augmented)

    def examples(self, classes: Sequence[str]) -> dict[str, Tensor]:
        """See `Samples.examples`: the first picture of each class, grey."""
        found = {}
        for label, name in enumerate(classes):
            places = (self.targets == label).nonzero()
            if len(places):
                picture = self.pictures[int(places[0])].to(torch.float32)
                found[name] = picture.mean(dim=0) / 255.0
        return found


def shifted(pictures: Tensor, places: Tensor, *, key: int) -> Tensor:
    """Pictures seen through windows shifted by -4 to 4 pixels, half of them mirrored.

    Args:
        pictures: (B, C, H, W).
        places: (B,) int64, which of the samples they are.
        key: of the epoch.

    Returns:
        The same shape; 0 where a window reaches beyond its picture.
    """
    counters = torch.stack([places, *[torch.zeros_like(places)] * 3])
    words = philox(counters, key=key_of(key, "crop"))
    # The high word of a 32-bit draw times a count is a fair draw below that count.
    down, right = (words[:2] * (2 * _MARGIN + 1)) >> 32
    height, width = pictures.shape[-2:]
    columns = torch.arange(width).expand(len(places), width)
    mirrored = (words[2] & 1).bool().unsqueeze(1)
    columns = torch.where(mirrored, width - 1 - columns, columns) + right.unsqueeze(1)
    rows = torch.arange(height) + down.unsqueeze(1)
    padded = F.pad(pictures, (_MARGIN,) * 4)
    sample = torch.arange(len(places)).view(-1, 1, 1, 1)
    channel = torch.arange(pictures.shape[1]).view(1, -1, 1, 1)
    return padded[sample, channel, rows[:, None, :, None], columns[:, None, None, :]]
