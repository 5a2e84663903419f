"""A hundred classes of ImageNet, from folders of pictures that the user has."""

import os
from collections.abc import Sequence
from pathlib import Path

import torch

from secateur.errors import FileError, SettingError
from secateur.tasks.data import Data, stratified
from secateur.tasks.image_folder import Photographs, damaged, files_of
from secateur.tasks.locate import DATA_VARIABLE, check_folder, listed, places_of
from secateur.tasks.published import PublishedSet

IMAGENET = PublishedSet(
    name="imagenet-100",
    title="ImageNet",
    folder="imagenet-100",
    files=(),
    owner="Stanford Vision Lab",
    licence="for registered users, not to be passed on",
    by_hand="a registration at https://image-net.org",
)
_FOLDERS = ("imagenet-100", "imagenet")
_REMEDY = (
    f"Give a folder with --data, or set ${DATA_VARIABLE} to one, that holds train/ and val/, each "
    "with a folder for every class, named as its synset, such as n02869837"
)


def load_imagenet_100(
    data: str | os.PathLike[str] | None = None,
    *,
    classes: str | list[str] = "",
    side: int = 224,
    validation_per_class: int = 50,
    workers: int = 2,
    skip_corrupt: bool = False,
) -> Data[Photographs]:
    """Find and check folders `train/CLASS/` and `val/CLASS/` of pictures.

    Args:
        data: the folder with `train/` and `val/`, or the one around it.
        classes: names of the class folders, or the path of a text file with one a line; all that
            are in `train/` where empty.
        side: of a sample in pixels.
        validation_per_class: pictures of each class out of `train/`, the same in every run.
        workers: processes that decode.
        skip_corrupt: decodes every picture once and leaves out those that cannot be.

    Returns:
        Training and validation out of `train/`; the test part is `val/`, whose answers are known.

    Raises:
        FileError: for folders, classes or pictures that are missing or damaged.
        SettingError: for a list that names a class twice, or parts that cannot be had.
    """
    folder = _found(data)
    names = _chosen(classes, folder)
    notes: list[str] = []
    parts = {}
    for part in ("train", "val"):
        paths, labels, others = files_of(folder / part, names)
        bad = damaged(paths, folder=folder / part, whole=skip_corrupt, workers=workers)
        if bad and not skip_corrupt:
            raise _refused(bad)
        if bad:
            notes.append(f"{len(bad)} corrupt pictures left out of {part}: {_told(bad)}")
        if others:
            notes.append(f"{others} files of {part} are no pictures by their names")
        kept = [n for n, path in enumerate(paths) if path not in bad]
        parts[part] = [paths[n] for n in kept], torch.tensor([labels[n] for n in kept])
    paths, targets = parts["train"]
    counts = [[validation_per_class]] * len(names)
    held, rest = stratified(targets, counts, name="imagenet-100 validation 1")

    def photographs(chosen: torch.Tensor, augmented: bool) -> Photographs:
        some = [paths[n] for n in chosen.tolist()]
        return Photographs(some, targets[chosen], side=side, augmented=augmented, workers=workers)

    test = Photographs(*parts["val"], side=side, augmented=False, workers=workers)
    return Data(
        training=photographs(rest, True), validation=photographs(held, False), test=test,
        classes=tuple(names), notes=tuple(notes),
    )  # fmt: skip


def _found(data: str | os.PathLike[str] | None) -> Path:
    if data is not None:
        check_folder(data, remedy=_REMEDY)
    places = places_of(IMAGENET, data)
    for place in places:
        for folder in (*(place / name for name in _FOLDERS), place):
            if (folder / "train").is_dir() and (folder / "val").is_dir():
                return folder
    raise FileError(
        "Folders of ImageNet's pictures were not found",
        where="looked in " + ", ".join(map(str, places)),
        cause="it is given to registered users only (https://image-net.org), never downloaded here",
        remedy=_REMEDY,
    )


def _chosen(classes: str | Sequence[str], folder: Path) -> list[str]:
    if isinstance(classes, str) and not classes:
        return sorted(path.name for path in (folder / "train").iterdir() if path.is_dir())
    if isinstance(classes, str):
        try:
            lines = Path(classes).expanduser().read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise FileError(
                f"The list of classes cannot be read: {error}", where=classes,
                remedy="Give task.classes a text file with the name of a class folder on each line",
            ) from error  # fmt: skip
        # What follows a name, such as the class in words, is for people.
        names = [line.split()[0] for line in lines if line.strip() and line[0] != "#"]
    else:
        names = [str(name) for name in classes]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice or not names:
        raise SettingError(
            f"task.classes names {listed(twice)} twice" if twice else "task.classes names none",
            remedy="Name every class folder once",
        )
    return names


def _told(bad: dict[Path, str]) -> str:
    return listed([str(path) for path in bad])


def _refused(bad: dict[Path, str]) -> FileError:
    first = next(iter(bad))
    return FileError(
        f"{len(bad)} pictures cannot be read: {_told(bad)}; the first because: {bad[first]}",
        cause="files that were cut off, or are no pictures",
        remedy="Get them again, or leave them out with --set task.skip_corrupt=true",
    )
