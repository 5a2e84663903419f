"""A download is whole and verified, or it is not there."""

import errno
import gzip
import io
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from leaves import CONTENTS, Owner
from rich.console import Console

from secateur.errors import FileError
from secateur.tasks.contents import check_contents
from secateur.tasks.download import download, download_bar
from secateur.tasks.published import PublishedSet

MakeSet = Callable[..., PublishedSet]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "not" / "yet" / "there"


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_all_files_arrive_with_their_contents(
    owner: Owner, make_set: MakeSet, folder: Path
) -> None:
    data_set = make_set(owner.address)
    download(data_set, folder)
    assert names_in(folder) == set(CONTENTS)
    for file in data_set.files:
        check_contents(folder / file.name, file)
        assert gzip.decompress((folder / file.name).read_bytes()) == CONTENTS[file.name]


def test_what_is_there_is_not_fetched_again(owner: Owner, make_set: MakeSet, folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "images").write_bytes(CONTENTS["images.gz"])
    download(make_set(owner.address), folder)
    assert owner.asked == ["labels.gz"]


def test_wrong_contents_are_refused_and_leave_nothing(
    owner: Owner, make_set: MakeSet, folder: Path
) -> None:
    same_size = bytes(len(CONTENTS["images.gz"]))
    owner.publish("images.gz", gzip.compress(same_size))
    with pytest.raises(FileError, match=r"images\.gz of The Leaves.*not the published ones"):
        download(make_set(owner.address), folder)
    assert names_in(folder) == set()


@pytest.mark.parametrize(
    ("body_and_length", "reason"),
    [
        ((gzip.compress(CONTENTS["images.gz"])[:99], 5000), "broke off after 99 of 5000 bytes"),
        ((gzip.compress(CONTENTS["images.gz"])[:99], None), "ends too early"),
        ((gzip.compress(CONTENTS["images.gz"][:-1]), -1), "102399 bytes instead of"),
        ((gzip.compress(CONTENTS["images.gz"] + b"x"), -1), "more than the published 102400"),
        ((bytes(1_000_000), -1), r"sends more than 107520 bytes"),
        ((gzip.compress(bytes(20_000_000)), -1), "more than the published 102400"),
        # Unpacking stops long before the missing end: a bomb is never unpacked whole.
        ((gzip.compress(bytes(20_000_000))[:-9], -1), "more than the published 102400"),
        ((b"<html>Please log in</html>", -1), "26 bytes instead of"),
        ((b"", -1), "0 bytes instead of"),
    ],
    ids=[
        "cut",
        "cut-unannounced",
        "short",
        "long",
        "endless",
        "bomb",
        "cut-bomb",
        "web-page",
        "empty",
    ],
)
def test_a_body_that_is_not_the_file_is_refused_and_leaves_nothing(
    owner: Owner,
    make_set: MakeSet,
    folder: Path,
    body_and_length: tuple[bytes, int | None],
    reason: str,
) -> None:
    body, length = body_and_length
    owner.publish("images.gz", body, length=length)
    with pytest.raises(FileError, match=reason):
        download(make_set(owner.address), folder)
    assert names_in(folder) == set()


def test_a_server_that_refuses_is_quoted(owner: Owner, make_set: MakeSet, folder: Path) -> None:
    owner.publish("images.gz", b"", status=503)
    with pytest.raises(FileError, match=r"data/images\.gz: the server answers 503.*Try again"):
        download(make_set(owner.address), folder)


def test_an_address_that_nobody_answers_is_named(make_set: MakeSet, folder: Path) -> None:
    with pytest.raises(FileError, match=r"http://127\.0\.0\.1:1/images\.gz: .*refused"):
        download(make_set("http://127.0.0.1:1"), folder)
    assert names_in(folder) == set()


def test_the_next_address_is_tried_after_any_fault(
    owner: Owner, make_set: MakeSet, folder: Path
) -> None:
    download(make_set("http://127.0.0.1:1/", owner.address), folder)
    assert names_in(folder) == set(CONTENTS)


def test_an_interrupted_download_leaves_whole_files_only_and_the_next_one_goes_on(
    owner: Owner, make_set: MakeSet, folder: Path
) -> None:
    data_set = make_set(owner.address)

    def interrupt(name: str, received: int, total: int | None) -> None:
        if name == "labels.gz":
            seen = names_in(folder)
            assert "labels.gz" not in seen
            assert sum(name.endswith(".part") for name in seen) == 1
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        download(data_set, folder, interrupt)
    assert names_in(folder) == {"images.gz"}
    assert data_set.missing_from(folder) == ["labels.gz"]
    owner.asked.clear()
    download(data_set, folder)
    assert owner.asked == ["labels.gz"]
    assert names_in(folder) == set(CONTENTS)


def test_what_a_killed_download_left_is_removed_but_a_living_one_is_left_alone(
    owner: Owner, make_set: MakeSet, folder: Path
) -> None:
    folder.mkdir(parents=True)
    dead, alive = folder / ".images.gz.dead.part", folder / ".images.gz.alive.part"
    for partial in dead, alive:
        partial.touch()
    long_ago = time.time() - 7200
    os.utime(dead, (long_ago, long_ago))
    download(make_set(owner.address), folder)
    assert names_in(folder) == {alive.name, *CONTENTS}


def test_a_full_disk_is_told_from_a_fault_of_the_network(
    owner: Owner, make_set: MakeSet, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_space(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("os.fsync", no_space)
    with pytest.raises(FileError, match=r"cannot be stored: No space left.*Make room"):
        download(make_set(owner.address, owner.address), folder)
    assert names_in(folder) == set()
    assert owner.asked == ["images.gz"]


def test_a_folder_that_cannot_be_made_is_named(
    owner: Owner, make_set: MakeSet, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FileError, match=r"cannot be stored.*file.leaves"):
        download(make_set(owner.address), tmp_path / "file" / "leaves")


def test_progress_counts_every_byte(owner: Owner, make_set: MakeSet, folder: Path) -> None:
    told: list[tuple[str, int, int | None]] = []
    download(make_set(owner.address), folder, lambda *news: told.append(news))
    for name in CONTENTS:
        size = (folder / name).stat().st_size
        counts = [received for told_name, received, _ in told if told_name == name]
        assert counts == sorted(counts)
        assert counts[-1] == size
        assert {total for told_name, _, total in told if told_name == name} == {size}


def test_the_bar_shows_each_file(owner: Owner, make_set: MakeSet, folder: Path) -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=100)
    with download_bar(console) as on_bytes:
        download(make_set(owner.address), folder, on_bytes)
    assert "images.gz" in screen.getvalue()
    assert "labels.gz" in screen.getvalue()
