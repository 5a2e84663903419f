"""What a sweep takes from its data: checked before a trial runs, and the same as a run takes."""

import json

import pictures
import pytest
from test_sweep_run import HerePool

from secateur.errors import FileError, SettingError
from secateur.experiment.sweep import run_sweep
from secateur.tasks import image_folder

LISTS = ("n03,n01,n02", "n02,n03,n01")


@pytest.fixture
def folder(tmp_path):
    return pictures.write_pictures(tmp_path / "imagenet-100")


@pytest.fixture
def lists(tmp_path):
    """Files of class names, each in another order."""
    for number, names in enumerate(LISTS):
        (tmp_path / f"{number}.txt").write_text(names.replace(",", "\n"), encoding="utf-8")
    return [str(tmp_path / f"{number}.txt") for number in range(len(LISTS))]


def test_records_name_the_classes_of_the_data(tmp_path, folder):
    """As those of a run: the task's own names are only placeholders."""
    plan = pictures.plan("training.learning_rate=0.1")
    results = run_sweep(plan, tmp_path / "sweep", pool=HerePool(), data=folder)
    assert results["states"]["finished"] == 1
    record = json.loads((tmp_path / "sweep/runs/0000-digital/record.json").read_text())
    assert record["classes"] == list(pictures.NAMES)


def test_pictures_are_decoded_once_for_all_trials(tmp_path, folder, monkeypatch):
    look, decoded = image_folder._damaged_of, []

    def watched(paths, whole):
        decoded.extend(paths)
        return look(paths, whole)

    monkeypatch.setattr(image_folder, "_damaged_of", watched)
    plan = pictures.plan("training.learning_rate=0.1,0.2", **{"task.skip_corrupt": True})
    results = run_sweep(plan, tmp_path / "sweep", pool=HerePool(), data=folder)
    assert results["states"]["finished"] == 2
    assert len(decoded) == len(set(decoded)) == len(list(folder.rglob("*.png")))


def test_where_classes_are_swept_each_record_names_its_own(tmp_path, folder, lists):
    plan = pictures.plan(f"task.classes={','.join(lists)}")
    run_sweep(plan, tmp_path / "sweep", pool=HerePool(), data=folder)
    for number, names in enumerate(LISTS):
        path = tmp_path / f"sweep/runs/000{number}-digital/record.json"
        assert json.loads(path.read_text())["classes"] == names.split(",")


def test_a_network_with_other_outputs_than_the_data_have_classes_is_refused(tmp_path, folder):
    plan = pictures.plan("network.classes=3,4")
    with pytest.raises(SettingError, match=r"3 classes.*4 outputs.*network\.classes=3"):
        run_sweep(plan, tmp_path / "sweep", pool=HerePool(), data=folder)
    assert not (tmp_path / "sweep").exists()


def test_data_that_one_configuration_lacks_are_told_before_any_runs(tmp_path, folder, lists):
    plan = pictures.plan(f"task.classes={lists[0]},{tmp_path / 'missing.txt'}")
    with pytest.raises(FileError, match=r"list of classes cannot be read.*missing\.txt"):
        run_sweep(plan, tmp_path / "sweep", pool=HerePool(), data=folder)
    assert not (tmp_path / "sweep").exists()
