"""Where a data set is found: asked for, announced, packaged, cached, else downloaded."""

import os
from collections.abc import Sequence
from pathlib import Path

import platformdirs

from secateur.errors import FileError, SettingError
from secateur.tasks.download import OnBytes, download
from secateur.tasks.published import PublishedSet

DATA_VARIABLE = "SECATEUR_DATA"
OFFLINE_VARIABLE = "SECATEUR_OFFLINE"
_LISTED = 8


def locate(
    data_set: PublishedSet,
    data: str | os.PathLike[str] | None = None,
    *,
    allow_download: bool = True,
    on_bytes: OnBytes | None = None,
) -> Path:
    """The folder that holds all files of `data_set`.

    Looked for in order: `data` (and then nowhere else), `$SECATEUR_DATA`, the place of Debian's
    package, the user's cache. Where none has it, it is downloaded from its owners into the cache,
    unless `allow_download` is false or `$SECATEUR_OFFLINE` is 1. Names are looked at here, contents
    when the files are read.

    Args:
        data_set: what is looked for.
        data: its folder, or a folder that holds its folder.
        allow_download: whether the network may be used.
        on_bytes: told of the progress of a download.

    Raises:
        FileError: not found (the message lists all ways to provide it), or found with files
            missing (the message names them), or the download failed.
        SettingError: `$SECATEUR_OFFLINE` is neither yes nor no.
    """
    if data is not None:
        if folder := _found_in(Path(data), "--data", data_set):
            return folder
        raise _not_found(data_set, [Path(data)])
    announced = os.environ.get(DATA_VARIABLE)
    if announced and (folder := _found_in(Path(announced), f"${DATA_VARIABLE}", data_set)):
        return folder
    cache = cache_folder(data_set)
    places = [place for place in (data_set.debian_folder, cache) if place is not None]
    for folder in places:
        if not data_set.missing_from(folder):
            return folder
    if data_set.addresses and allow_download and not offline():
        try:
            download(data_set, cache, on_bytes)
        except FileError as error:
            error.remedy += f"; otherwise {_ways(data_set, again=False)}"
            raise
        return cache
    raise _not_found(data_set, [*([Path(announced)] if announced else []), *places])


def places_of(data_set: PublishedSet, data: str | os.PathLike[str] | None) -> list[Path]:
    """Where `locate` would look, in its order; a place need not exist."""
    if data is not None:
        return [Path(os.path.expanduser(data))]
    announced = os.environ.get(DATA_VARIABLE)
    found = [Path(os.path.expanduser(announced))] if announced else []
    found += [data_set.debian_folder] if data_set.debian_folder else []
    return [*found, cache_folder(data_set)]


def check_folder(
    given: str | os.PathLike[str], option: str = "--data", *, remedy: str = ""
) -> None:
    """Refuses a place for data that is no folder.

    Args:
        given: the place.
        option: that named it.
        remedy: in place of giving one that is there.

    Raises:
        FileError: naming it.
    """
    if not os.path.isdir(os.path.expanduser(given)):
        raise FileError(
            f"{option} does not name a folder", where=str(given),
            cause="a misspelt path, or a disk that is not mounted",
            remedy=remedy or f"Give a folder that is there, or leave {option} out",
        )  # fmt: skip


def cache_folder(data_set: PublishedSet) -> Path:
    """Where downloads of `data_set` are kept for this user."""
    return platformdirs.user_cache_path("secateur", appauthor=False) / data_set.folder


def offline() -> bool:
    """Whether `$SECATEUR_OFFLINE` forbids downloads; SettingError where it is unclear."""
    word = os.environ.get(OFFLINE_VARIABLE, "").strip().lower()
    if word in {"1", "true", "yes", "on"}:
        return True
    if word in {"", "0", "false", "no", "off"}:
        return False
    raise SettingError(
        f"${OFFLINE_VARIABLE} is {word!r}, neither yes nor no",
        remedy="Set it to 1 to forbid downloads, or to 0",
    )


def _found_in(given: Path, option: str, data_set: PublishedSet) -> Path | None:
    """The data set's folder in or at a place the user named; None where it has none of its files.

    Raises:
        FileError: the place is no folder, or holds only a part of the data set.
    """
    given = Path(os.path.expanduser(given))
    check_folder(given, option, remedy=_sentence(_ways(data_set)))
    for folder in (given / data_set.folder, given):
        missing = data_set.missing_from(folder)
        if not missing:
            return folder
        if len(missing) < len(data_set.files):
            raise FileError(
                f"{data_set.title} is incomplete: {listed(missing)} missing",
                where=str(folder),
                cause="an unfinished copy, or files under other names",
                remedy="Complete the folder with the files as their owners name them",
            )
    return None


def _not_found(data_set: PublishedSet, places: list[Path]) -> FileError:
    return FileError(
        f"{data_set.title} was not found",
        where="looked in " + ", ".join(map(str, places)),
        remedy=_sentence(_ways(data_set)),
    )


def _ways(data_set: PublishedSet, *, again: bool = True) -> str:
    """All ways to provide a data set; a download among them where it was not tried just now."""
    files = listed([file.name for file in data_set.files])
    owners = " or ".join(data_set.addresses)
    fetched = f", got from {owners} by another machine," if owners and not again else ""
    ways = [
        f"give its folder with --data (it must hold {files})",
        f"set ${DATA_VARIABLE} to a folder that holds `{data_set.folder}/`",
    ]
    if data_set.by_hand:
        ways.append(f"get it with {data_set.by_hand}")
    if data_set.archive is not None:
        name, fetched = data_set.archive.name, fetched or ", where you have it,"
        ways.append(f"unpack {name}{fetched} in one of these folders")
    if data_set.debian_package:
        ways.append(f"install Debian's package with `apt install {data_set.debian_package}`")
    ways.append(
        f"copy the files{'' if data_set.archive else fetched} into {cache_folder(data_set)}"
    )
    if owners and again:
        ways.append(
            f"let secateur download them from {owners}: without --data, "
            f"with ${OFFLINE_VARIABLE} unset"
        )
    numbered = "; ".join(f"({number}) {way}" for number, way in enumerate(ways, start=1))
    return f"do one of these: {numbered}"


def _sentence(words: str) -> str:
    return words[0].upper() + words[1:]


def listed(names: Sequence[str]) -> str:
    """All of a few names; of many, the first and how many more."""
    shown = list(names) if len(names) <= _LISTED else [*names[:3], f"{len(names) - 3} more"]
    return ", ".join(shown)
