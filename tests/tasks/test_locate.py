"""A data set is looked for in the documented order, and a refusal lists every way to provide it."""

from collections.abc import Callable
from pathlib import Path

import pytest
from leaves import CONTENTS, Owner

from secateur.errors import FileError, SettingError
from secateur.tasks import TASKS, Task
from secateur.tasks.locate import locate
from secateur.tasks.published import PublishedSet

MakeSet = Callable[..., PublishedSet]
WAYS = ("--data", "$SECATEUR_DATA to a folder that holds", "`apt install dataset-leaves`")


def fill(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names or CONTENTS:
        (folder / name).write_bytes(b"")
    return folder


def test_the_order_is_option_variable_debian_cache_owners(
    owner: Owner, make_set: MakeSet, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data_set = make_set(owner.address)
    assert locate(data_set) == cache
    assert owner.asked == ["images.gz", "labels.gz"]
    assert locate(data_set) == cache
    debian = fill(tmp_path / "debian")
    assert locate(data_set) == debian
    announced = fill(tmp_path / "announced" / "leaves")
    monkeypatch.setenv("SECATEUR_DATA", str(announced.parent))
    assert locate(data_set) == announced
    given = fill(tmp_path / "given" / "leaves")
    assert locate(data_set, given.parent) == given
    assert len(owner.asked) == 2


def test_an_option_names_the_folder_itself_or_the_one_around_it(
    make_set: MakeSet, tmp_path: Path
) -> None:
    folder = fill(tmp_path / "anywhere" / "leaves")
    assert locate(make_set(), folder) == folder
    assert locate(make_set(), str(folder.parent)) == folder


def test_unpacked_files_count(make_set: MakeSet, tmp_path: Path) -> None:
    folder = fill(tmp_path / "unpacked", "images", "labels.gz")
    assert locate(make_set(), folder) == folder


def test_a_home_is_understood(
    make_set: MakeSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = fill(tmp_path / "data" / "leaves")
    monkeypatch.setenv("SECATEUR_DATA", "~/data")
    assert locate(make_set()) == folder


def test_a_variable_for_other_data_sets_does_not_hide_the_next_places(
    make_set: MakeSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path / "announced" / "blossoms", "other.gz")
    monkeypatch.setenv("SECATEUR_DATA", str(tmp_path / "announced"))
    debian = fill(tmp_path / "debian")
    assert locate(make_set()) == debian


def test_an_option_without_the_data_set_stops_instead_of_looking_elsewhere(
    owner: Owner, make_set: MakeSet, tmp_path: Path
) -> None:
    fill(tmp_path / "debian")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileError, match=r"was not found \(looked in .*empty\)"):
        locate(make_set(owner.address), tmp_path / "empty")
    assert owner.asked == []


@pytest.mark.parametrize("way", ["option", "variable"])
def test_a_place_that_is_no_folder_is_refused(
    make_set: MakeSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    fill(tmp_path / "debian")
    nowhere = tmp_path / "nowhere"
    if way == "variable":
        monkeypatch.setenv("SECATEUR_DATA", str(nowhere))
    option = {"option": "--data", "variable": r"\$SECATEUR_DATA"}[way]
    with pytest.raises(FileError, match=rf"{option} does not name a folder \(.*nowhere\)") as no:
        locate(make_set("http://owner.invalid/"), nowhere if way == "option" else None)
    for words in WAYS:
        assert words in str(no.value)


@pytest.mark.parametrize("task", TASKS.values(), ids=lambda task: task.name)
def test_a_place_that_is_no_folder_is_refused_by_every_task(task: Task, tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"--data does not name a folder \(.*nowhere\)"):
        task.load(tmp_path / "nowhere")


def test_a_failed_download_lists_the_other_ways(
    owner: Owner, make_set: MakeSet, cache: Path
) -> None:
    owner.answers.clear()
    with pytest.raises(FileError, match=r"could not be downloaded: .*404") as refusal:
        locate(make_set(owner.address))
    for words in (*WAYS, f"got from {owner.address} by another machine, into {cache}"):
        assert words in str(refusal.value)
    assert "let secateur download" not in str(refusal.value)


def test_an_incomplete_folder_is_refused_with_the_names_of_what_is_missing(
    make_set: MakeSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path / "debian")
    folder = fill(tmp_path / "announced" / "leaves", "images.gz")
    with pytest.raises(FileError, match=r"incomplete: labels\.gz missing \(.*leaves\)"):
        locate(make_set(), folder)
    monkeypatch.setenv("SECATEUR_DATA", str(folder.parent))
    with pytest.raises(FileError, match=r"incomplete: labels\.gz missing"):
        locate(make_set())


def test_a_refusal_lists_all_ways(
    make_set: MakeSet, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECATEUR_DATA", str(tmp_path))
    with pytest.raises(FileError) as refusal:
        locate(make_set("http://owner.invalid/"), allow_download=False)
    message = str(refusal.value)
    looked_in = message[message.index("looked in") : message.index("Do one of these")]
    for place in tmp_path, tmp_path / "debian", cache:
        assert str(place) in looked_in
    for number, way in enumerate(
        [
            "--data",
            "$SECATEUR_DATA to a folder that holds `leaves/`",
            "`apt install dataset-leaves`",
            f"copy the files into {cache}",
            "download them from http://owner.invalid/",
        ],
        start=1,
    ):
        assert f"({number}) " in message
        assert way in message[message.index(f"({number}) ") :]
    assert all(name in message for name in CONTENTS)
    assert "\n" not in message


@pytest.mark.parametrize("word", ["1", "true", "YES"])
def test_nothing_is_downloaded_where_that_is_forbidden(
    owner: Owner, make_set: MakeSet, monkeypatch: pytest.MonkeyPatch, word: str
) -> None:
    with pytest.raises(FileError, match="was not found"):
        locate(make_set(owner.address), allow_download=False)
    monkeypatch.setenv("SECATEUR_OFFLINE", word)
    with pytest.raises(FileError, match="was not found"):
        locate(make_set(owner.address))
    assert owner.asked == []


def test_an_unclear_word_about_the_network_is_refused(
    owner: Owner, make_set: MakeSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECATEUR_OFFLINE", "maybe")
    with pytest.raises(SettingError, match="'maybe', neither yes nor no"):
        locate(make_set(owner.address))
    assert owner.asked == []


def test_a_set_whose_owners_want_a_registration_is_never_downloaded(make_set: MakeSet) -> None:
    with pytest.raises(FileError, match="was not found") as refusal:
        locate(make_set())
    assert "download" not in str(refusal.value)
