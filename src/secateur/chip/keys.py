"""Keys of a board and of its user: CurveZMQ pairs in a folder, secrets readable by their owner."""

import os
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

import zmq
from zmq.utils import z85

from secateur.errors import FileError, SettingError

_ENDINGS = {"public": ".public", "secret": ".secret"}


@dataclass(frozen=True)
class KeyPair:
    """A pair of keys, 40 characters (Z85) each."""

    public: str
    secret: str


def make_keys(folder: Path) -> list[Path]:
    """Writes the pairs `board` and `client` to a folder; returns the files.

    Raises:
        FileError: where one of them is there already, or the folder cannot be written to.
    """
    paths = [folder / f"{name}{end}" for name in ("board", "client") for end in _ENDINGS.values()]
    for path in paths:
        if path.exists():
            raise FileError(
                "There are keys already", where=str(path),
                remedy="Give another folder: who has the old ones would be locked out",
            )  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("board", "client"):
        public, secret = zmq.curve_keypair()
        _write(folder / f"{name}.public", public, mode=0o644)
        _write(folder / f"{name}.secret", secret, mode=0o600)
    return paths


def key_pair(folder: Path, name: str) -> KeyPair:
    """A pair of a folder.

    Raises:
        FileError: where it is not there, or is no key.
    """
    return KeyPair(*(read_key(folder / f"{name}{ending}") for ending in _ENDINGS.values()))


def known_clients(folder: Path) -> dict[bytes, str]:
    """Names by public keys: every public key in the folder but the board's."""
    found = {}
    for path in sorted(folder.glob("*.public")):
        if path.stem != "board":
            found[z85.decode(read_key(path))] = path.stem
    return found


def read_key(path: Path) -> str:
    """A key of a file.

    Raises:
        FileError: where it is not there, or is no key.
    """
    try:
        text = path.read_text(encoding="ascii").strip()
        if len(text) != 40 or len(z85.decode(text)) != 32:
            raise ValueError("no 40 characters of Z85")
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise FileError(
            f"This key cannot be read: {error}", where=str(path),
            remedy="Make keys with `secateur chip keys`, and copy board.public to the user's "
            "machine, client.public to the board's",
        ) from error  # fmt: skip
    return text


def is_loopback(address: str) -> bool:
    """Whether an address can be reached from its own machine only.

    Raises:
        SettingError: for an address that is none.
    """
    kind, sign, rest = address.partition("://")
    if not sign or kind not in ("tcp", "ipc") or not rest:
        raise SettingError(
            f"{address!r} is no address", remedy="Write tcp://127.0.0.1:5757 or ipc://path"
        )
    host = rest.rpartition(":")[0].strip("[]")
    if kind == "ipc" or host == "localhost":
        return True
    try:
        # Names that begin like a number, as 127.example.org, are anybody's.
        return ip_address(host).is_loopback
    except ValueError:
        return False


def check_secured(address: str, keys: Path | None) -> None:
    """Refuses an address that others can reach, without keys.

    Raises:
        SettingError: naming the remedy.
    """
    if keys is None and not is_loopback(address):
        raise SettingError(
            f"{address} can be reached from other machines, and there are no keys",
            cause="whoever reaches a board could pulse its cells",
            remedy="Make keys with `secateur chip keys FOLDER` and give the folder",
        )


def _write(path: Path, key: bytes, *, mode: int) -> None:
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(handle, "wb") as file:
            file.write(key + b"\n")
    except OSError as error:
        raise FileError(
            f"The key could not be written: {error.strerror}", where=str(path),
            remedy="Give a folder that you may write to",
        ) from error  # fmt: skip
