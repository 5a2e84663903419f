"""DRIVE: 40 pictures of the retina, each with its field of view and its vessels traced by hand."""

import os
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from secateur.errors import FileError
from secateur.tasks.contrast import (
    Field,
    Picture,
    brightened,
    equalised,
    grey_of,
    standardised,
    stretched,
)
from secateur.tasks.data import Data, stratified
from secateur.tasks.locate import locate
from secateur.tasks.patches import Fundi
from secateur.tasks.published import PublishedFile, PublishedSet

VALIDATION_IMAGES = 4
_WIDTH, _HEIGHT = 565, 584
_NUMBERS = {"training": range(21, 41), "test": range(1, 21)}
_TILES, _CLIP_LIMIT, _GAMMA = 8, 2.0, 1.2
# Of matching files the vessels lie at least 0.58 deviations below their surroundings, of files of
# two eyes at most 0.09 (all 1 600 combinations of the 40 pictures).
_SURROUNDINGS, _LEAST_DARKENING = 25, 0.25
_FLAT = 1e-6  # of 255: what rounding leaves of a picture of one colour
_DAMAGE = (OSError, SyntaxError, ValueError, EOFError, IndexError, TypeError, struct.error,
           Image.DecompressionBombError)  # fmt: skip


def _names(part: str, number: int) -> tuple[str, str, str]:
    """Picture, tracing and field of view of one eye."""
    return (
        f"{part}/images/{number:02d}_{part}.tif",
        f"{part}/1st_manual/{number:02d}_manual1.gif",
        f"{part}/mask/{number:02d}_{part}_mask.gif",
    )


DRIVE = PublishedSet(
    name="drive",
    title="DRIVE",
    folder="DRIVE",
    files=tuple(
        PublishedFile(name)
        for part, numbers in _NUMBERS.items()
        for number in numbers
        for name in _names(part, number)
    ),
    owner="Image Sciences Institute, University Medical Center Utrecht",
    licence="for registered users, not to be passed on",
    by_hand="a registration at https://drive.grand-challenge.org, unpacked so that its folder "
    "DRIVE holds training/images/21_training.tif, training/1st_manual/21_manual1.gif, "
    "training/mask/21_training_mask.gif and so on to 40, and the same in test/ from 01 to 20",
)


@dataclass(frozen=True, eq=False)
class Fundus:
    """One eye as its files show it.

    Args:
        name: such as `21_training`.
        colours: (H, W, 3) bytes.
        vessels: (H, W), as traced.
        field: (H, W), the field of view.
    """

    name: str
    colours: NDArray[np.uint8]
    vessels: Field
    field: Field


def load_drive(
    data: str | os.PathLike[str] | None = None,
    *,
    side: int = 48,
    patches_per_image: int = 1000,
    stride: int = 24,
    channel: str = "green",
) -> Data[Fundi]:
    """Find, check and load DRIVE, which is never downloaded.

    Each picture is made grey, stretched from 0 to 1, equalised (CLAHE, 8 x 8 tiles, limit 2),
    brightened (gamma 1.2) and standardised over its own field of view.

    Args:
        data: its folder or the one around it; see `locate` for where else it is looked for.
        side: of a patch in pixels.
        patches_per_image: drawn in each epoch.
        stride: pixels from patch to patch where whole pictures are predicted.
        channel: "green" or "grey".

    Returns:
        16 training, 4 validation and 20 test pictures. The validation pictures are out of the
        owners' 20 training pictures, the same in every run.

    Raises:
        FileError: not found, incomplete, or a file that cannot be what its name says.
        SettingError: for patches that cannot be.
    """
    folder = locate(DRIVE, data, allow_download=False)

    def part(name: str) -> list[Fundus]:
        return [read_fundus(folder, name, number) for number in _NUMBERS[name]]

    settings = {"side": side, "patches_per_image": patches_per_image, "stride": stride}
    training = prepared(part("training"), channel=channel, **settings)
    everyone = torch.zeros(len(training.names), dtype=torch.int64)
    held_out, rest = stratified(everyone, [[VALIDATION_IMAGES]], name="drive validation 1")
    return Data(
        training=training.chosen(rest),
        validation=training.chosen(held_out),
        test=prepared(part("test"), channel=channel, **settings),
    )


def prepared(
    fundi: list[Fundus], *, channel: str, side: int, patches_per_image: int, stride: int
) -> Fundi:
    """Eyes as samples, their light evened out.

    Raises:
        SettingError: for an unknown channel, or patches that cannot be.
    """
    return Fundi(
        pictures=torch.stack([_tensor(evened(eye, channel=channel)) for eye in fundi]),
        vessels=torch.stack([torch.from_numpy(eye.vessels) for eye in fundi]),
        fields=torch.stack([torch.from_numpy(eye.field) for eye in fundi]),
        names=tuple(eye.name for eye in fundi),
        side=side,
        patches_per_image=patches_per_image,
        stride=stride,
    )


def evened(eye: Fundus, *, channel: str) -> Picture:
    """The eye's picture (H, W) as networks get it: mean 0, deviation 1, and 0 outside the field."""
    grey = stretched(grey_of(eye.colours, channel=channel), field=eye.field)
    even = equalised(grey, field=eye.field, tiles=_TILES, clip_limit=_CLIP_LIMIT)
    return standardised(brightened(even, gamma=_GAMMA), field=eye.field)


def read_fundus(folder: Path, part: str, number: int) -> Fundus:
    """One eye of the data set's folder.

    Args:
        folder: of the data set.
        part: "training" or "test".
        number: of the eye.

    Raises:
        FileError: a file is missing, damaged, of another size or kind, an empty field of view or
            tracing, or a tracing of another eye.
    """
    image, tracing, mask = (folder / name for name in _names(part, number))
    colours = _pixels(image, "RGB")
    field, vessels = _two_valued(mask), _two_valued(tracing)
    _refuse_empty(mask, field, "field of view")
    _refuse_empty(tracing, vessels & field, "traced vessel inside the field of view")
    if colours[field].mean() <= colours[~field].mean():
        raise FileError(
            f"{mask.name} is no field of view of {image.name}, which is darker inside than outside",
            where=str(mask), cause="an inverted mask, or a file under another's name",
            remedy="Put the owners' file in its place",
        )  # fmt: skip
    if not darkening(colours, vessels=vessels, field=field) >= _LEAST_DARKENING:
        raise FileError(
            f"The vessels of {tracing.name} do not lie on those of {image.name}",
            where=str(tracing),
            cause="one of the two is of another eye, under this name, or turned or mirrored",
            remedy="Put the owners' files of this number in place",
        )
    return Fundus(image.stem, colours, vessels, field)


def darkening(colours: NDArray[np.uint8], *, vessels: Field, field: Field) -> float:
    """By how many standard deviations traced vessels are darker than what is not traced.

    Compared are differences in green from the mean of the pixels around, inside the field of view.
    """
    from scipy.ndimage import uniform_filter  # As SciPy's other parts: it takes a while.

    green = grey_of(colours, channel="green")
    seen = uniform_filter(field.astype(np.float64), _SURROUNDINGS)
    around = uniform_filter(np.where(field, green, 0.0), _SURROUNDINGS)
    local = green - around / np.maximum(seen, 1.0 / _SURROUNDINGS**2)
    traced, other = local[field & vessels], local[field & ~vessels]
    spread = local[field].std()
    if not other.size or spread < _FLAT:
        return 0.0
    return float((other.mean() - traced.mean()) / spread)


def _pixels(path: Path, mode: str) -> NDArray[np.uint8]:
    """The bytes of an image file of DRIVE's size."""
    try:
        with Image.open(path) as image:
            size, found = image.size, image.mode
            if size == (_WIDTH, _HEIGHT) and mode in ("L", found):
                return np.array(image.convert(mode))
    except FileNotFoundError as error:
        raise FileError(
            f"{path.name} is missing", where=str(path), cause="an unfinished copy",
            remedy="Complete the folder with the files as their owners name them",
        ) from error  # fmt: skip
    except _DAMAGE as error:
        raise FileError(
            f"{path.name} cannot be read as an image: {error}", where=str(path),
            cause="a copy that was cut off, or a file of another kind under this name",
            remedy="Delete it and get it again",
        ) from error  # fmt: skip
    if size != (_WIDTH, _HEIGHT):
        raise FileError(
            f"{path.name} has {size[0]} x {size[1]} pixels instead of {_WIDTH} x {_HEIGHT}",
            where=str(path), cause="a resized copy, or an image of another data set",
            remedy="Put the owners' file in its place",
        )  # fmt: skip
    raise FileError(
        f"{path.name} is an image of mode {found} instead of {mode}", where=str(path),
        cause="a converted copy, or another file under this name",
        remedy="Put the owners' file in its place",
    )  # fmt: skip


def _two_valued(path: Path) -> Field:
    """White pixels of a black and white image."""
    grey = _pixels(path, "L")
    if ((grey != 0) & (grey != 255)).any():
        raise FileError(
            f"{path.name} is not black and white: it has grey levels between", where=str(path),
            cause="a converted or resized copy, or a photograph under this name",
            remedy="Put the owners' file in its place",
        )  # fmt: skip
    return np.asarray(grey == 255)


def _refuse_empty(path: Path, pixels: Field, what: str) -> None:
    if not pixels.any() or pixels.all():
        amount = "no" if not pixels.any() else "nothing but"
        raise FileError(
            f"{path.name} has {amount} {what}", where=str(path),
            cause="a damaged file, or another one under this name",
            remedy="Put the owners' file in its place",
        )  # fmt: skip


def _tensor(picture: Picture) -> Tensor:
    return torch.from_numpy(picture).to(torch.float32)
