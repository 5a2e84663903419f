"""The Leaves and their owner, made-up eyes, and the places where real data sets may be.

No test here may find this machine's own data sets or reach the network: every place where `locate`
looks is set to a temporary one.
"""

import gzip
import hashlib
import os
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from eyes import PARTS, write_eye
from leaves import CONTENTS, Owner

from secateur.tasks.drive_data import DRIVE
from secateur.tasks.fashion_mnist_data import FASHION_MNIST
from secateur.tasks.published import PublishedFile, PublishedSet
from secateur.tasks.spoken_digits_authors import AUTHORS
from secateur.tasks.spoken_digits_data import FSDD


@pytest.fixture
def owner(monkeypatch: pytest.MonkeyPatch) -> Iterator[Owner]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name = self.path.rsplit("/", 1)[1]
            served.asked.append(name)
            status, length, body = served.answers.get(name, (404, 0, b""))
            self.send_response(status)
            if length is not None:
                self.send_header("Content-Length", str(length))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served = Owner(f"http://127.0.0.1:{server.server_port}/data/")
    for name, contents in CONTENTS.items():
        served.publish(name, gzip.compress(contents))
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield served
    server.shutdown()
    server.server_close()


@pytest.fixture
def make_set(tmp_path: Path) -> Callable[..., PublishedSet]:
    """A data set of two small files, known to Debian under `tmp_path/debian`."""

    def make(*addresses: str) -> PublishedSet:
        return PublishedSet(
            name="leaves",
            title="The Leaves",
            folder="leaves",
            files=tuple(
                PublishedFile(name, len(contents), hashlib.sha256(contents).hexdigest())
                for name, contents in CONTENTS.items()
            ),
            owner="a gardener",
            licence="MIT",
            addresses=addresses,
            debian_package="dataset-leaves",
            debian_folder=tmp_path / "debian",
        )

    return make


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's cache of The Leaves, empty; nothing announced."""
    monkeypatch.delenv("SECATEUR_DATA", raising=False)
    monkeypatch.delenv("SECATEUR_OFFLINE", raising=False)
    monkeypatch.setattr("platformdirs.user_cache_path", lambda name, **_: tmp_path / "cache" / name)
    return tmp_path / "cache" / "secateur" / "leaves"


def _real(data_set: PublishedSet) -> Path | None:
    beside = Path(__file__).resolve().parents[3] / "shared" / "data"
    announced = os.environ.get("SECATEUR_DATA")
    places = [Path(announced)] if announced else []
    folders = [place / data_set.folder for place in [*places, beside]]
    folders += [*places, *([data_set.debian_folder] if data_set.debian_folder else [])]
    return next((folder for folder in folders if not data_set.missing_from(folder)), None)


# Looked for before any test sets the environment to a temporary one.
_REAL = {data_set.name: _real(data_set) for data_set in (FASHION_MNIST, FSDD, AUTHORS, DRIVE)}


def _folder(data_set: PublishedSet) -> Path:
    found = _REAL[data_set.name]
    if found is None:
        pytest.skip(
            f"needs {data_set.title}: set SECATEUR_DATA to a folder with {data_set.folder}/"
        )
    return found


@pytest.fixture(scope="session")
def real_fashion_mnist() -> Path:
    return _folder(FASHION_MNIST)


@pytest.fixture(scope="session")
def real_fsdd() -> Path:
    """The folder of the recordings."""
    return _folder(FSDD) / "recordings"


@pytest.fixture(scope="session")
def real_authors() -> Path:
    return _folder(AUTHORS)


@pytest.fixture(scope="session")
def real_maps(real_authors: Path) -> tuple[np.ndarray, np.ndarray]:
    """The authors' maps (3000, 23, 20) and labels, training first."""
    parts = [np.load(real_authors / file.name, allow_pickle=False) for file in AUTHORS.files]
    maps, labels = (np.concatenate([part[key] for part in parts]) for key in ("features", "labels"))
    return maps, labels


@pytest.fixture(scope="session")
def real_drive() -> Path:
    return _folder(DRIVE)


@pytest.fixture(scope="session")
def everyone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete DRIVE folder of made-up eyes: not to be written to."""
    folder = tmp_path_factory.mktemp("data") / "DRIVE"
    for part, numbers in PARTS.items():
        for number in numbers:
            write_eye(folder, part, number)
    return folder
