"""Residual networks as He et al. describe them, for pictures large and small."""

from collections.abc import Sequence

from torch import Tensor, nn

from secateur.tasks.sizes import check_count, check_factor


class Block(nn.Module):
    """Two convolutions of 3 x 3 beside a shortcut; the first takes the stride.

    Args:
        entering: channels.
        inner: channels that it leaves with.
        stride: of the first convolution, and of the shortcut.
        affine: norms learn gains and biases.
    """

    expansion = 1

    def __init__(self, entering: int, inner: int, *, stride: int, affine: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(entering, inner, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(inner, affine=affine)
        self.conv2 = nn.Conv2d(inner, inner, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(inner, affine=affine)
        self.shortcut = _shortcut(entering, inner, stride=stride, affine=affine)

    def forward(self, pictures: Tensor) -> Tensor:
        """(N, entering, H, W) to (N, inner, H / stride, W / stride)."""
        x = self.norm1(self.conv1(pictures)).relu_()
        x = self.norm2(self.conv2(x)) + self.shortcut(pictures)
        rectified: Tensor = x.relu_()
        return rectified


class Bottleneck(nn.Module):
    """Down to fewer channels, a convolution of 3 x 3 there, and up to four times as many.

    Args:
        entering: channels.
        inner: channels of the 3 x 3 convolution; four times as many leave.
        stride: of the first convolution, and of the shortcut.
        affine: norms learn gains and biases.
    """

    expansion = 4

    def __init__(self, entering: int, inner: int, *, stride: int, affine: bool) -> None:
        super().__init__()
        leaving = self.expansion * inner
        self.conv1 = nn.Conv2d(entering, inner, 1, stride, bias=False)
        self.norm1 = nn.BatchNorm2d(inner, affine=affine)
        self.conv2 = nn.Conv2d(inner, inner, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(inner, affine=affine)
        self.conv3 = nn.Conv2d(inner, leaving, 1, bias=False)
        self.norm3 = nn.BatchNorm2d(leaving, affine=affine)
        self.shortcut = _shortcut(entering, leaving, stride=stride, affine=affine)

    def forward(self, pictures: Tensor) -> Tensor:
        """(N, entering, H, W) to (N, 4 x inner, H / stride, W / stride)."""
        x = self.norm1(self.conv1(pictures)).relu_()
        x = self.norm2(self.conv2(x)).relu_()
        x = self.norm3(self.conv3(x)) + self.shortcut(pictures)
        rectified: Tensor = x.relu_()
        return rectified


class ResidualNetwork(nn.Module):
    """A stem, four floors of residual blocks, the mean over each map, and one linear layer.

    He et al., "Deep residual learning for image recognition" (CVPR 2016), table 1: on the second
    to fourth floor the first block halves the sides and doubles the channels.

    Args:
        block: `Block` or `Bottleneck`.
        depths: blocks of each of the four floors.
        classes: outputs.
        width: multiplies the channels, which are 64 on the first floor.
        affine: norms learn gains and biases, which stay digital.
        small_pictures: a stem of one 3 x 3 convolution that keeps the sides, as for pictures of
            32 x 32, in place of 7 x 7 and a maximum that quarter them.

    Raises:
        SettingError: for a width or a number of classes that makes no network.
    """

    def __init__(
        self, block: type[Block] | type[Bottleneck], depths: Sequence[int], *, classes: int,
        width: float = 1.0, affine: bool = True, small_pictures: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        check_factor("width", width)
        check_count("classes", classes, least=2)
        base = max(round(64 * width), 1)
        kernel, stride = (3, 1) if small_pictures else (7, 2)
        self.conv = nn.Conv2d(3, base, kernel, stride, padding=kernel // 2, bias=False)
        self.norm = nn.BatchNorm2d(base, affine=affine)
        self.pool = nn.Identity() if small_pictures else nn.MaxPool2d(3, 2, padding=1)
        floors: list[nn.Module] = []
        entering = base
        for floor, depth in enumerate(depths):
            inner = base * 2**floor
            for n in range(depth):
                halves = 2 if floor and not n else 1
                floors.append(block(entering, inner, stride=halves, affine=affine))
                entering = block.expansion * inner
        self.blocks = nn.Sequential(*floors)
        self.fc = nn.Linear(entering, classes)

    def forward(self, pictures: Tensor) -> Tensor:
        """Logits (N, classes) of pictures (N, 3, H, W)."""
        x = self.pool(self.norm(self.conv(pictures)).relu_())
        logits: Tensor = self.fc(self.blocks(x).mean(dim=(2, 3)))
        return logits


def resnet_18(*, classes: int = 10, width: float = 1.0, affine: bool = True) -> ResidualNetwork:
    """Eighteen layers in the form for pictures of 32 x 32: 11.2 M weights."""
    return ResidualNetwork(
        Block, (2, 2, 2, 2), classes=classes, width=width, affine=affine, small_pictures=True
    )


def resnet_50(*, classes: int = 100, width: float = 1.0, affine: bool = True) -> ResidualNetwork:
    """Fifty layers: 23.7 M weights with 100 classes, 25.5 M with 1 000."""
    return ResidualNetwork(Bottleneck, (3, 4, 6, 3), classes=classes, width=width, affine=affine)


def _shortcut(entering: int, leaving: int, *, stride: int, affine: bool) -> nn.Module:
    """The input as it is, or a projection where the shape changes."""
    if stride == 1 and entering == leaving:
        return nn.Identity()
    return nn.Sequential(
        nn.Conv2d(entering, leaving, 1, stride, bias=False),
        nn.BatchNorm2d(leaving, affine=affine),
    )
