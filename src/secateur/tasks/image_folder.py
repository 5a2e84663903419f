"""Pictures in files, one folder a class: found, checked, decoded by worker processes, cropped."""

import math
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from joblib import Parallel, delayed
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from secateur.errors import FileError, SettingError
from secateur.keyed import cell_words, uniforms
from secateur.tasks.data import Samples
from secateur.tasks.locate import listed
from secateur.tasks.sound_pictures import SoundPictures, marks_of

SUFFIXES = (".jpeg", ".jpg", ".png")
# Of ImageNet's pictures, red, green and blue from 0 to 1: what networks for it are fed with.
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
# The usual random crop: of this share of the picture's area, at these ratios of width to height.
_AREA, _RATIO = (0.08, 1.0), (3.0 / 4.0, 4.0 / 3.0)
_CENTRE = 224 / 256
_TRIES = 10
_SHOWN = 10
# What Pillow raises for a file that is damaged, beside what it is meant to raise.
_DAMAGE = (OSError, SyntaxError, ValueError, EOFError, IndexError, TypeError, AttributeError,
           Image.DecompressionBombError)  # fmt: skip


def files_of(folder: Path, classes: Sequence[str]) -> tuple[list[Path], list[int], int]:
    """The pictures of the given classes, in the order of their names.

    Args:
        folder: that has a folder for each class.
        classes: names of these folders; a picture's label is its class's place among them.

    Returns:
        Paths, labels, and how many files there are that are no pictures by their names.

    Raises:
        FileError: for classes without a folder, or without a picture.
    """
    missing = [name for name in classes if not (folder / name).is_dir()]
    if missing:
        raise FileError(
            f"{len(missing)} of {len(classes)} classes have no folder: {listed(missing)}",
            where=str(folder),
            cause="an unfinished copy, or a list of classes of another data set",
            remedy="Complete the folder, or name the classes that are there with task.classes",
        )
    paths: list[Path] = []
    labels: list[int] = []
    others = 0
    for label, name in enumerate(classes):
        there = [p for p in sorted((folder / name).iterdir()) if not p.name.startswith(".")]
        pictures = [path for path in there if path.suffix.lower() in SUFFIXES]
        if not pictures:
            raise FileError(
                "A class has no picture", where=str(folder / name),
                cause="an unfinished copy, or pictures in folders further down",
                remedy=f"Put its pictures ({', '.join(SUFFIXES)}) right into its folder",
            )  # fmt: skip
        others += len(there) - len(pictures)
        paths += pictures
        labels += [label] * len(pictures)
    return paths, labels, others


def damaged(paths: Sequence[Path], *, folder: Path, whole: bool, workers: int) -> dict[Path, str]:
    """The files that cannot be read as pictures, each with the reason.

    Those that an earlier call has found sound, and that have not changed since, are passed over.

    Args:
        paths: of the files.
        folder: in which all of them are.
        whole: every picture is decoded; otherwise only that each begins as one is looked at.
        workers: processes that look.
    """
    # Before they are looked at: one that is changed meanwhile is looked at again.
    marks, memory = marks_of(paths), SoundPictures(folder, whole=whole)
    unknown = memory.unknown(marks, paths)
    size = max(math.ceil(len(unknown) / max(4 * workers, 1)), 1)
    parts = [unknown[n : n + size] for n in range(0, len(unknown), size)]
    jobs = (delayed(_damaged_of)(part, whole) for part in parts)
    found: dict[Path, str] = {}
    for part in Parallel(n_jobs=max(workers, 1))(jobs):
        found |= part
    sound = {p: marks[p] for p in unknown if p in marks and p not in found}
    if sound:
        memory.keep(sound)
    return found


def _damaged_of(paths: Sequence[Path], whole: bool) -> dict[Path, str]:
    found = {}
    for path in paths:
        try:
            with Image.open(path) as picture:
                if whole:
                    picture.load()
        except _DAMAGE as error:
            found[path] = str(error) or type(error).__name__
    return found


class Photographs(Samples):
    """Pictures in files, decoded when they are asked for.

    Where augmented, a sample is a random part of its picture, of 8 to 100 % of its area, made
    square, and mirrored by half: a function of the epoch's key and the sample's place alone.
    Otherwise it is the middle of the picture. Standardised by ImageNet's mean and deviation.

    Args:
        paths: of the pictures.
        targets: (N,) int64.
        side: of a sample in pixels.
        augmented: whether parts are drawn.
        workers: processes that decode ahead; 0 decodes in this one. Results do not depend on it.

    Raises:
        SettingError: for a side or workers that cannot be, or targets of another number.
    """

    def __init__(
        self, paths: Sequence[Path], targets: Tensor, *, side: int, augmented: bool, workers: int
    ) -> None:
        if side < 1 or workers < 0:
            raise SettingError(
                f"task.side is {side}, task.workers {workers}",
                remedy="Give a side of 1 or more, and 0 or more workers",
            )
        if len(paths) != len(targets):
            raise SettingError(f"{len(paths)} pictures have {len(targets)} targets")
        self.paths, self.targets = list(paths), targets
        self.side, self.augmented, self.workers = side, augmented, workers

    def __len__(self) -> int:
        return len(self.paths)

    def batch(self, places: Tensor, *, key: int) -> tuple[Tensor, Tensor]:
        """See `Samples.batch`: inputs (B, 3, side, side) float32, targets (B,).

        Raises:
            FileError: for a picture that cannot be decoded, by its path.
        """
        return next(_delivered([self._decoder(key)[n] for n in places.tolist()]))

    def stream(self, chunks: Iterable[Tensor], *, key: int) -> Iterator[tuple[Tensor, Tensor]]:
        """See `Samples.stream`: worker processes decode ahead.

        Raises:
            FileError: as `batch`.
        """
        loader: DataLoader[Any] = DataLoader(
            self._decoder(key),
            batch_sampler=[chunk.tolist() for chunk in chunks],
            num_workers=self.workers,
            collate_fn=list,
            # Otherwise the loader would draw from, and so move, torch's own generator.
            generator=torch.Generator(),
        )
        for items in loader:
            yield from _delivered(items)

    def joined(self, other: "Photographs") -> "Photographs":
        """See `Samples.joined`: augmented as these are."""
        return Photographs(
            [*self.paths, *other.paths], torch.cat([self.targets, other.targets]),
            side=self.side, augmented=self.augmented, workers=self.workers,
        )  # fmt: skip

    def examples(self, classes: Sequence[str]) -> dict[str, Tensor]:
        """See `Samples.examples`: the middle of the first picture of each of the first classes."""
        found = {}
        for label, name in list(enumerate(classes))[:_SHOWN]:
            places = (self.targets == label).nonzero()
            if len(places):
                picture = _opened(self.paths[int(places[0])])
                grey = picture.convert("L").resize((96, 96), box=_middle(picture.size, 1.0))
                found[name] = torch.from_numpy(np.asarray(grey, dtype=np.float32) / 255.0)
        return found

    def _decoder(self, key: int) -> "_Decoder":
        return _Decoder(self.paths, self.targets, self.side, self.augmented, key)


class _Decoder(Dataset[Any]):
    """Samples by their places; a file that cannot be decoded comes as its error."""

    def __init__(
        self, paths: list[Path], targets: Tensor, side: int, augmented: bool, key: int
    ) -> None:
        self.paths, self.targets, self.side = paths, targets, side
        self.augmented, self.key = augmented, key

    def __getitem__(self, place: int) -> "tuple[Tensor, int] | FileError":
        try:
            picture = _opened(self.paths[place])
        except FileError as error:
            return error
        box, mirrored = _middle(picture.size, _CENTRE), False
        if self.augmented:
            box, mirrored = part_of(picture.size, place, key=self.key)
        resized = picture.resize((self.side, self.side), Image.Resampling.BILINEAR, box=box)
        values = np.asarray(resized, dtype=np.float32).transpose(2, 0, 1) / np.float32(255.0)
        mean, deviation = (np.array(v, np.float32)[:, None, None] for v in (_MEAN, _DEVIATION))
        values = (values - mean) / deviation
        values = values[:, :, ::-1] if mirrored else values
        return torch.from_numpy(np.ascontiguousarray(values)), int(self.targets[place])


def part_of(
    size: tuple[int, int], place: int, *, key: int
) -> tuple[tuple[float, float, float, float], bool]:
    """A random part of a picture: left, top, right, bottom; and whether it is mirrored.

    Area and the logarithm of the ratio are uniform; the first of ten draws that fits counts, and
    the largest part in the middle where none does.

    Args:
        size: width and height.
        place: of the sample.
        key: of the epoch.
    """
    tries = torch.arange(_TRIES + 1)
    words = cell_words(torch.full((_TRIES + 1,), place), tries, seed=key, purpose=0)
    draws = uniforms(words).tolist()
    mirrored = draws[0][_TRIES] < 0.5
    wide, high = size
    for area, ratio, left, top in zip(*(row[:_TRIES] for row in draws), strict=True):
        share = _AREA[0] + area * (_AREA[1] - _AREA[0])
        low, top_ratio = (math.log(bound) for bound in _RATIO)
        shape = math.exp(low + ratio * (top_ratio - low))
        width, height = (math.sqrt(share * wide * high * f) for f in (shape, 1.0 / shape))
        if width <= wide and height <= high:
            x, y = left * (wide - width), top * (high - height)
            return (x, y, x + width, y + height), mirrored
    return _middle(size, 1.0), mirrored


def _middle(size: tuple[int, int], share: float) -> tuple[float, float, float, float]:
    """The square in the middle whose side is a share of the shorter side."""
    side = share * min(size)
    left, top = ((length - side) / 2.0 for length in size)
    return left, top, left + side, top + side


def _opened(path: Path) -> Image.Image:
    try:
        with Image.open(path) as picture:
            return picture.convert("RGB")
    except _DAMAGE as error:
        raise FileError(
            f"A picture cannot be decoded: {error}", where=os.fspath(path),
            cause="a file that was cut off or damaged",
            remedy="Get it again, or leave such pictures out with --set task.skip_corrupt=true, "
            "which decodes every one before the run begins",
        ) from error  # fmt: skip


def _delivered(items: Sequence[Any]) -> Iterator[tuple[Tensor, Tensor]]:
    for item in items:
        if isinstance(item, FileError):
            raise item
    yield torch.stack([item[0] for item in items]), torch.tensor([item[1] for item in items])
