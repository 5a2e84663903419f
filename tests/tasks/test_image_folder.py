"""Folders of pictures: classes found, damage named and counted, crops by key, workers or none."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from secateur.errors import FileError, SettingError
from secateur.experiment.recipe import Recipe
from secateur.experiment.runner import run_experiment
from secateur.tasks import image_folder
from secateur.tasks.image_folder import Photographs, part_of
from secateur.tasks.imagenet_100_data import load_imagenet_100

NAMES = ("n01", "n02", "n03")
PER_CLASS = {"train": 8, "val": 4}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Small pictures in three classes, each of its own colour, of several shapes."""
    place = tmp_path / "data" / "imagenet-100"
    draw = np.random.default_rng(0)
    for part, count in PER_CLASS.items():
        for label, name in enumerate(NAMES):
            (place / part / name).mkdir(parents=True)
            for n in range(count):
                high, wide = draw.integers(40, 60, 2)
                pixels = draw.integers(0, 90, (high, wide, 3), dtype=np.uint8)
                pixels[..., label] += 150
                suffix = ("JPEG", "png")[n % 2]
                Image.fromarray(pixels).save(place / part / name / f"{name}_{n}.{suffix}")
    return place


def load(folder: Path, **settings):
    return load_imagenet_100(folder, **{"side": 32, "validation_per_class": 2, "workers": 0,
                                        **settings})  # fmt: skip


def test_folders_are_classes_and_parts(folder: Path) -> None:
    data = load(folder.parent)
    assert data.classes == NAMES
    assert [len(part) for part in (data.training, data.validation, data.test)] == [18, 6, 12]
    assert data.validation.targets.bincount().tolist() == [2, 2, 2]
    inputs, targets = data.test.batch(torch.arange(12), key=0)
    assert inputs.shape == (12, 3, 32, 32)
    # The colour that a class is brightest in.
    assert inputs.mean(dim=(2, 3)).argmax(dim=1).tolist() == targets.tolist()
    assert data.notes == ()
    assert set(data.training.examples(NAMES)) == set(NAMES)


def test_classes_are_chosen_by_a_list_or_a_file_in_their_order(
    folder: Path, tmp_path: Path
) -> None:
    path = tmp_path / "classes.txt"
    path.write_text("# two of them\nn03 a shark\n\nn01\n", encoding="utf-8")
    for classes in (["n03", "n01"], str(path)):
        data = load(folder, classes=classes)
        assert data.classes == ("n03", "n01")
        assert {p.parent.name for p in data.test.paths} == {"n01", "n03"}
        assert int(data.test.targets[0]) == 0
        assert data.test.paths[0].parent.name == "n03"


def test_missing_classes_are_named_and_counted(folder: Path) -> None:
    with pytest.raises(FileError, match="2 of 3 classes have no folder: n07, n08"):
        load(folder, classes=["n01", "n07", "n08"])
    for path in (folder / "val" / "n02").iterdir():
        path.unlink()
    with pytest.raises(FileError, match="has no picture"):
        load(folder)


@pytest.mark.parametrize(
    ("classes", "words"),
    [(["n01", "n01"], "n01 twice"), ([], "names none"), ("nowhere.txt", "cannot be read")],
)
def test_a_list_that_is_none_is_refused(folder: Path, classes: object, words: str) -> None:
    with pytest.raises((FileError, SettingError), match=words):
        load(folder, classes=classes)


def test_without_the_folders_every_place_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="train/ and val/"):
        load(tmp_path)


def test_corrupt_pictures_are_named_counted_and_skipped_only_if_asked(folder: Path) -> None:
    cut = folder / "train" / "n01" / "n01_0.JPEG"
    cut.write_bytes(cut.read_bytes()[:400])
    other = folder / "val" / "n02" / "n02_1.png"
    other.write_bytes(b"<html>not found</html>")
    with pytest.raises(FileError, match=r"1 pictures cannot be read: .*n01_0\.JPEG.*skip_corrupt"):
        load(folder)
    data = load(folder, skip_corrupt=True)
    assert len(data.training_and_validation) + len(data.test) == 34
    assert sum("1 corrupt pictures left out" in note for note in data.notes) == 2
    assert any("n01_0.JPEG" in note for note in data.notes)


@pytest.fixture
def looked_at(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the pictures that are opened to see whether they are sound."""
    names: list[str] = []
    look = image_folder._damaged_of

    def watched(paths: list[Path], whole: bool) -> dict[Path, str]:
        names.extend(path.name for path in paths)
        return look(paths, whole)

    monkeypatch.setattr(image_folder, "_damaged_of", watched)
    return names


@pytest.mark.parametrize("skip_corrupt", [False, True])
def test_sound_pictures_are_looked_at_once_and_changed_ones_again(
    folder: Path, looked_at: list[str], skip_corrupt: bool
) -> None:
    first = load(folder, skip_corrupt=skip_corrupt)
    assert len(looked_at) == len(set(folder.rglob("n0?_*"))) == 36
    looked_at.clear()
    again = load(folder, skip_corrupt=skip_corrupt)
    assert looked_at == []
    assert again.training.paths == first.training.paths
    changed, touched = folder / "val" / "n01" / "n01_0.JPEG", folder / "train" / "n02" / "n02_1.png"
    changed.write_bytes(b"<html>not found</html>")
    os.utime(touched, ns=(1, touched.stat().st_mtime_ns + 1))
    if not skip_corrupt:
        with pytest.raises(FileError, match=r"1 pictures cannot be read: .*n01_0\.JPEG"):
            load(folder)
    else:
        assert changed not in load(folder, skip_corrupt=True).test.paths
    assert sorted(looked_at) == ["n01_0.JPEG", "n02_1.png"]


def test_one_that_was_looked_at_is_decoded_before_it_is_called_sound(
    folder: Path, looked_at: list[str]
) -> None:
    cut = folder / "val" / "n01" / "n01_0.JPEG"
    cut.write_bytes(cut.read_bytes()[:900])
    assert cut in load(folder).test.paths
    looked_at.clear()
    for _ in range(2):
        assert cut not in load(folder, skip_corrupt=True).test.paths
    # Damaged ones are looked at each time: some are only out of reach for a while.
    assert (len(looked_at), looked_at[-1]) == (37, "n01_0.JPEG")


def test_a_cache_that_is_lost_or_cannot_be_written_costs_time_only(
    folder: Path, tmp_path: Path, looked_at: list[str]
) -> None:
    place = tmp_path / "cache" / "secateur" / "sound-pictures"
    load(folder)
    for path in place.iterdir():
        path.write_text("[1]")
    load(folder)
    assert len(looked_at) == 2 * 36
    for path in place.iterdir():
        path.unlink()
    place.rmdir()
    place.write_text("a file in its place")
    assert len(load(folder).test) == 12
    assert len(looked_at) == 3 * 36


def test_pictures_are_counted_and_a_few_of_many_named(folder: Path) -> None:
    for path in (folder / "train" / "n01").iterdir():
        path.write_bytes(b"")
    with pytest.raises(FileError, match=r"^8 pictures cannot be read: .*n01_0"):
        load(folder)


def test_a_picture_cut_off_further_down_is_named_when_it_is_decoded(folder: Path) -> None:
    cut = folder / "val" / "n01" / "n01_0.JPEG"
    cut.write_bytes(cut.read_bytes()[:900])
    data = load(folder)
    with pytest.raises(FileError, match=r"n01_0\.JPEG.*skip_corrupt"):
        data.test.batch(torch.arange(4), key=0)


def test_files_that_are_no_pictures_by_name_are_counted(folder: Path) -> None:
    (folder / "train" / "n01" / "readme.txt").write_text("hello", encoding="utf-8")
    (folder / "train" / "n01" / ".hidden").write_text("", encoding="utf-8")
    assert load(folder).notes == ("1 files of train are no pictures by their names",)


def test_workers_change_nothing_but_who_decodes(folder: Path) -> None:
    chunks = [torch.tensor([3, 1, 7]), torch.tensor([0, 16])]
    state = torch.get_rng_state()
    streams = [
        list(load(folder, workers=workers).training.stream(chunks, key=9)) for workers in (0, 2)
    ]
    assert torch.equal(torch.get_rng_state(), state)
    for alone, helped in zip(*streams, strict=True):
        assert torch.equal(alone[0], helped[0])
        assert torch.equal(alone[1], helped[1])
    again, _ = load(folder).training.batch(torch.tensor([1]), key=9)
    assert torch.equal(again[0], streams[0][0][0][1])


def test_damage_in_a_worker_comes_back_as_the_refusal_it_is(folder: Path) -> None:
    cut = folder / "val" / "n01" / "n01_0.JPEG"
    cut.write_bytes(cut.read_bytes()[:900])
    data = load(folder, workers=1)
    with pytest.raises(FileError, match=r"n01_0\.JPEG"):
        list(data.test.stream([torch.arange(4)], key=0))


def test_random_parts_have_the_areas_and_ratios_asked_for_and_lie_inside() -> None:
    boxes, mirrored = zip(*(part_of((400, 300), n, key=1) for n in range(4000)), strict=True)
    left, top, right, bottom = np.array(boxes).T
    assert (left >= 0).all()
    assert (top >= 0).all()
    assert (right <= 400 + 1e-9).all()
    assert (bottom <= 300 + 1e-9).all()
    share = (right - left) * (bottom - top) / (400 * 300)
    ratio = (right - left) / (bottom - top)
    assert share.min() == pytest.approx(0.08, abs=0.005)
    assert ratio.min() == pytest.approx(0.75, abs=0.01)
    assert ratio.max() == pytest.approx(4 / 3, abs=0.02)
    # Small parts always fit: below half of the area it is uniform.
    small = share[share < 0.5]
    assert small.mean() == pytest.approx(0.29, abs=4 * 0.42 / 12**0.5 / len(small) ** 0.5)
    assert np.mean(mirrored) == pytest.approx(0.5, abs=4 * 0.5 / 4000**0.5)
    assert part_of((400, 300), 7, key=1) != part_of((400, 300), 7, key=2)


def test_where_no_part_fits_the_largest_square_in_the_middle_is_taken() -> None:
    assert {part_of((1000, 10), n, key=0)[0] for n in range(20)} == {(495.0, 0.0, 505.0, 10.0)}


def test_sides_and_workers_that_cannot_be_are_refused() -> None:
    with pytest.raises(SettingError, match="0 or more workers"):
        Photographs([], torch.zeros(0), side=8, augmented=False, workers=-1)


def test_a_run_takes_its_classes_from_the_data(folder: Path, tmp_path: Path) -> None:
    recipe = Recipe.parse(
        {"task": {"name": "imagenet-100", "side": 32, "validation_per_class": 2, "workers": 0},
         "run": {"arms": ["pruned"]}, "network": {"width": 0.0625, "classes": 3},
         "training": {"epochs": 1, "batch_size": 6, "label_smoothing": 0.1, "warm_up": 0.5},
         "search": {"keep_fraction": 0.3}, "chip": {"forming": "ramp"}}, where="test",
    )  # fmt: skip
    record = run_experiment(recipe, tmp_path / "run", data=folder)
    assert record["classes"] == list(NAMES)
    (trial,) = record["results"][0]["trials"]
    assert sum(map(sum, trial["confusion"])) == 12
    assert json.loads((tmp_path / "run/record.json").read_text())["classes"] == list(NAMES)
    chosen = recipe.with_settings({"task.classes": ["n03", "n01"], "network.classes": 2})
    assert run_experiment(chosen, tmp_path / "chosen", data=folder)["classes"] == ["n03", "n01"]
    with pytest.raises(SettingError, match=r"task\.classes"):
        run_experiment(recipe.with_settings({"task.classes": 3}), tmp_path / "wrong", data=folder)
    other = recipe.with_settings({"network.classes": 4})
    with pytest.raises(SettingError, match=r"3 classes.*4 outputs.*network\.classes=3"):
        run_experiment(other, tmp_path / "other", data=folder)
    assert not (tmp_path / "other").exists()
