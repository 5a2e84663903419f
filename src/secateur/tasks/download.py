"""Fetching a data set from its owners: verified, and whole or not at all."""

import http.client
import os
import secrets
import shutil
import tarfile
import time
import urllib.error
import urllib.request
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from secateur.errors import FileError
from secateur.tasks.contents import check_contents
from secateur.tasks.published import PublishedFile, PublishedSet

OnBytes = Callable[[str, int, int | None], None]
"""Called with a file's name, the bytes received so far, and all its bytes (None if unknown)."""

_CHUNK = 1 << 16
_SILENCE = 30.0  # seconds without a byte until an address is given up
_ABANDONED = 3600.0  # seconds after which a partial file can have no living writer


def download(data_set: PublishedSet, folder: Path, on_bytes: OnBytes | None = None) -> None:
    """Fetch the files that `folder` lacks.

    Each file comes into view under its name only when it is complete and verified, so an
    interrupted download leaves whole files or none, and the next one fetches the rest.

    Args:
        data_set: what to fetch, and from where.
        folder: where to put it; made if need be.
        on_bytes: told of the progress.

    Raises:
        FileError: no address gave the right contents (each with its reason), or `folder` cannot
            be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(folder)
        if data_set.archive is not None:
            _fetch(data_set.archive, data_set, folder, on_bytes or _say_nothing, packed=True)
            unpack(data_set, folder / data_set.archive.name, folder)
            (folder / data_set.archive.name).unlink()
            return
        for file in data_set.files:
            if file.path_in(folder) is None:
                _fetch(file, data_set, folder, on_bytes or _say_nothing)
    except FileError:
        raise
    except OSError as error:
        raise FileError(
            f"{data_set.title} cannot be stored: {error.strerror or error}",
            where=str(folder),
            cause="a full disk, or a folder that you may not write to",
            remedy="Make room",
        ) from error


@contextmanager
def download_bar(console: Console | None = None) -> Iterator[OnBytes]:
    """A progress bar per file, to be given to `download` or `locate`."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TimeRemainingColumn(),
    )
    progress = Progress(*columns, console=console or Console(stderr=True))
    bars = {}

    def on_bytes(name: str, received: int, total: int | None) -> None:
        if name not in bars:
            # Begun at the first byte: where nothing is downloaded, nothing is shown.
            progress.start()
            bars[name] = progress.add_task(name, total=total)
        progress.update(bars[name], completed=received, total=total)

    try:
        yield on_bytes
    finally:
        progress.stop()


def unpack(data_set: PublishedSet, archive: Path, folder: Path) -> None:
    """Takes the data set's files, and nothing else, out of its owners' archive.

    A member's path inside the archive is not used: its name decides, so that none can reach
    outside `folder`.

    Raises:
        FileError: for an archive that is damaged or lacks one of them.
    """
    wanted = {file.name: file for file in data_set.files}
    try:
        with tarfile.open(archive) as packed:
            for member in packed:
                file = wanted.pop(Path(member.name).name, None) if member.isfile() else None
                source = packed.extractfile(member) if file else None
                if file is None or source is None:
                    continue
                with _partial(folder / file.name) as partial, source:
                    with partial.open("xb") as sink:
                        shutil.copyfileobj(source, sink)
                    check_contents(partial, file)
                    partial.replace(folder / file.name)
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise FileError(
            f"{archive.name} is no readable archive: {error}", where=str(archive),
            cause="a damaged copy", remedy="Delete it and get it again",
        ) from error  # fmt: skip
    if wanted:
        raise FileError(f"{archive.name} lacks {', '.join(wanted)}", where=str(archive))


def _fetch(
    file: PublishedFile, data_set: PublishedSet, folder: Path, on_bytes: OnBytes, *,
    packed: bool = False,
) -> None:  # fmt: skip
    reasons = []
    for address in data_set.addresses:
        url = f"{address.rstrip('/')}/{file.name}"
        with _partial(folder / file.name) as partial:
            try:
                _receive(url, partial, file, on_bytes)
                check_contents(partial, file, packed=packed)
            except _AddressError as error:
                reasons.append(f"{url}: {error}")
            except FileError as error:
                reasons.append(f"{url}: {error.what}")
            else:
                partial.replace(folder / file.name)
                return
    raise FileError(
        f"{file.name} of {data_set.title} could not be downloaded: {'; '.join(reasons)}",
        cause="no network, a proxy that changes what it passes on, or a server that is down",
        remedy="Try again, as complete files are kept",
    )


class _AddressError(Exception):
    """An address that did not give the whole file."""


def _receive(url: str, partial: Path, file: PublishedFile, on_bytes: OnBytes) -> None:
    """Write what `url` sends to `partial`.

    A zipped file is hardly ever larger than its contents: much more is not the file.

    Raises:
        _AddressError: a fault of the network or the server.
        OSError: a fault of the disk.
    """
    limit = file.size + file.size // 100 + 4096
    received = 0
    with _open_address(url) as response, partial.open("xb") as sink:
        total = response.length
        while chunk := _next_chunk(response):
            received += len(chunk)
            if received > limit:
                raise _AddressError(f"sends more than {limit} bytes")
            sink.write(chunk)
            on_bytes(file.name, received, total)
        # Without this, a power cut after the renaming could leave an empty file under its name.
        sink.flush()
        os.fsync(sink.fileno())
    if total is not None and received != total:
        raise _AddressError(f"broke off after {received} of {total} bytes")


@contextmanager
def _open_address(url: str) -> Iterator[http.client.HTTPResponse]:
    request = urllib.request.Request(url, headers={"User-Agent": "secateur"})
    try:
        response = urllib.request.urlopen(request, timeout=_SILENCE)
    except urllib.error.HTTPError as error:
        error.close()
        raise _AddressError(f"the server answers {error.code} {error.reason}") from error
    except (OSError, http.client.HTTPException) as error:
        raise _AddressError(str(getattr(error, "reason", error))) from error
    with response:
        yield response


def _next_chunk(response: http.client.HTTPResponse) -> bytes:
    try:
        return response.read(_CHUNK)
    except (OSError, http.client.HTTPException) as error:
        raise _AddressError(f"the connection broke: {error}") from error


@contextmanager
def _partial(target: Path) -> Iterator[Path]:
    """A name beside `target` that no other process uses, and that is gone afterwards."""
    partial = target.with_name(f".{target.name}.{secrets.token_hex(6)}.part")
    try:
        yield partial
    finally:
        partial.unlink(missing_ok=True)


def _remove_abandoned(folder: Path) -> None:
    """Remove what a killed download left; a living one has written within the hour."""
    for partial in folder.glob(".*.part"):
        try:
            if time.time() - partial.stat().st_mtime > _ABANDONED:
                partial.unlink()
        except FileNotFoundError:
            continue


def _say_nothing(name: str, received: int, total: int | None) -> None:
    pass
