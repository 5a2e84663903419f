"""DRIVE, vessels of the retina, with the paper's U-Net: 4.31 M weights in 19 layers."""

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from secateur.tasks.data import Data
from secateur.tasks.drive_data import load_drive
from secateur.tasks.patches import Fundi
from secateur.tasks.segmentation import SEGMENTATION, segmented
from secateur.tasks.sizes import check_factor
from secateur.tasks.task import Task

_FLOORS = 4  # halvings of the picture


class _Double(nn.Sequential):
    """Two convolutions of 3 x 3, each normalised and rectified."""

    def __init__(self, entering: int, between: int, leaving: int) -> None:
        super().__init__(
            nn.Conv2d(entering, between, 3, padding=1, bias=False),
            nn.BatchNorm2d(between),
            nn.ReLU(inplace=True),
            nn.Conv2d(between, leaving, 3, padding=1, bias=False),
            nn.BatchNorm2d(leaving),
            nn.ReLU(inplace=True),
        )


class VesselNetwork(nn.Module):
    """A U-Net: down four floors and up again, each floor joined with its picture on the way down.

    Ronneberger et al., "U-Net" (2015), with bilinear enlargement in place of transposed
    convolutions, as in the paper.

    Args:
        width: multiplies the channels, which are 32 at the first floor.

    Raises:
        SettingError: for a width that makes no network.
    """

    def __init__(self, *, width: float = 1.0) -> None:
        super().__init__()
        check_factor("width", width)
        base = max(round(32 * width), 1)
        floors = [base * 2**n for n in range(_FLOORS)]
        self.enter = _Double(1, base, base)
        below = [*floors[1:], floors[-1]]
        self.down = nn.ModuleList(_Double(a, b, b) for a, b in zip(floors, below, strict=True))
        above = [*reversed(floors[:-1]), base]
        self.up = nn.ModuleList(
            _Double(2 * a, a, b) for a, b in zip(reversed(floors), above, strict=True)
        )
        self.leave = nn.Conv2d(base, 2, 1, bias=False)

    def forward(self, patches: Tensor) -> Tensor:
        """Logits (N, 2, H, W) of patches (N, 1, H, W); sides are multiples of 16."""
        x = self.enter(patches)
        floors = []
        for down in self.down:
            floors.append(x)
            x = down(F.max_pool2d(x, 2))
        for up in self.up:
            x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)
            x = up(torch.cat([floors.pop(), x], dim=1))
        logits: Tensor = self.leave(x)
        return logits


def _load(
    data: Path | None,
    *,
    side: int = 48,
    patches_per_image: int = 1000,
    stride: int = 24,
    channel: str = "green",
) -> Data[Fundi]:
    return load_drive(
        data, side=side, patches_per_image=patches_per_image, stride=stride, channel=channel
    )


TASK = Task(
    name="drive",
    title="DRIVE, vessels of the retina",
    classes=("background", "vessel"),
    loader=_load,
    network=VesselNetwork,
    readout="leave",
    input_shape=(1, 64, 64),  # the paper's patches; the shipped recipe trains on smaller ones
    metrics=SEGMENTATION,
    measure=segmented,
)
