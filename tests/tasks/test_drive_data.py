"""DRIVE: the 40 eyes, or a refusal that names the file."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from eyes import black_and_white, eye, paths, write_eye
from PIL import Image

from secateur.errors import FileError, SettingError
from secateur.tasks.data import Data
from secateur.tasks.drive_data import DRIVE, darkening, evened, load_drive, prepared, read_fundus

IMAGE, TRACING, MASK = paths("training", 21)


@pytest.fixture
def one(tmp_path: Path) -> Path:
    """A folder with number 21 alone."""
    write_eye(tmp_path, "training", 21)
    return tmp_path


@pytest.fixture(scope="module")
def loaded(everyone: Path) -> Data:
    return load_drive(everyone.parent, patches_per_image=5)


def test_the_owners_40_eyes_are_16_to_train_4_to_validate_and_20_to_test(loaded: Data) -> None:
    parts = (loaded.training, loaded.validation, loaded.test)
    assert [len(part) for part in parts] == [16 * 5, 4 * 5, 20 * 5]
    training = [*loaded.training.names, *loaded.validation.names]
    assert sorted(training) == [f"{number}_training" for number in range(21, 41)]
    assert list(loaded.test.names) == [f"{number:02d}_test" for number in range(1, 21)]
    joined = loaded.training_and_validation
    assert list(joined.names) == training
    assert torch.equal(joined.vessels[16:], loaded.validation.vessels)


def test_the_validation_eyes_are_the_same_for_ever(loaded: Data) -> None:
    # A change of this list makes all earlier results incomparable.
    assert [int(name[:2]) for name in loaded.validation.names] == [28, 30, 33, 34]


def test_each_eye_keeps_its_own_vessels_and_field(loaded: Data) -> None:
    for part in loaded.training, loaded.validation, loaded.test:
        for n, name in enumerate(part.names):
            _, vessels, field = eye(int(name[:2]))
            assert np.array_equal(part.vessels[n].numpy(), vessels)
            assert np.array_equal(part.fields[n].numpy(), field)


def test_each_picture_is_standardised_over_its_own_field(loaded: Data) -> None:
    for part in loaded.training, loaded.validation, loaded.test:
        assert part.pictures.dtype == torch.float32
        for picture, field in zip(part.pictures, part.fields, strict=True):
            inside = picture[field].double()
            assert inside.mean().item() == pytest.approx(0.0, abs=1e-6)
            assert inside.std(correction=0).item() == pytest.approx(1.0, abs=1e-6)
            assert not picture[~field].any()


def test_the_field_of_view_alone_decides_what_a_picture_becomes(one: Path) -> None:
    fundus = read_fundus(one, "training", 21)
    before = evened(fundus, channel="green")
    fundus.colours[~fundus.field] = 77
    np.testing.assert_array_equal(evened(fundus, channel="green"), before)


def test_green_and_grey_are_two_pictures_and_blue_is_none(one: Path) -> None:
    fundus = read_fundus(one, "training", 21)
    settings = {"side": 32, "patches_per_image": 1, "stride": 16}
    green, grey = (prepared([fundus], channel=c, **settings).pictures for c in ("green", "grey"))
    assert not torch.equal(green, grey)
    with pytest.raises(SettingError, match=r"channel is 'blue'.*green"):
        prepared([fundus], channel="blue", **settings)


def test_vessels_traced_are_darker_and_those_of_another_eye_are_not(one: Path) -> None:
    colours, vessels, field = eye(21)
    assert darkening(colours, vessels=vessels, field=field) > 1.0
    assert abs(darkening(colours, vessels=eye(22)[1], field=field)) < 0.25
    assert darkening(255 - colours, vessels=vessels, field=field) < -1.0
    assert darkening(np.full_like(colours, 9), vessels=vessels, field=field) == 0.0


def test_without_it_the_message_tells_where_to_register_and_how_to_lay_it_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("DRIVE must never be downloaded")

    monkeypatch.setattr("urllib.request.urlopen", refuse)
    monkeypatch.setattr("secateur.tasks.locate.download", refuse)
    for place in (tmp_path, None):
        with pytest.raises(FileError, match="DRIVE was not found") as refusal:
            load_drive(place)
        for word in ("https://drive.grand-challenge.org", "registration", IMAGE, TRACING, MASK,
                     "--data", "$SECATEUR_DATA", "`DRIVE/`"):  # fmt: skip
            assert word in str(refusal.value)
        assert "download" not in str(refusal.value)


@pytest.mark.parametrize("gone", [IMAGE, paths("test", 7)[1], paths("test", 20)[2]])
def test_a_missing_file_is_named(everyone: Path, tmp_path: Path, gone: str) -> None:
    shutil.copytree(everyone, tmp_path / "DRIVE", copy_function=os.link)
    (tmp_path / "DRIVE" / gone).unlink()
    with pytest.raises(FileError, match=f"DRIVE is incomplete: {gone} missing"):
        load_drive(tmp_path)


@pytest.mark.parametrize("name", [IMAGE, TRACING, MASK])
@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.9])
def test_a_truncated_file_is_named(one: Path, name: str, share: float) -> None:
    whole = (one / name).read_bytes()
    (one / name).write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(FileError, match=rf"{Path(name).name} cannot be read.*cut off.*again"):
        read_fundus(one, "training", 21)


@pytest.mark.parametrize("name", [IMAGE, TRACING, MASK])
def test_a_file_of_another_kind_is_named(one: Path, name: str) -> None:
    (one / name).write_text("<html>Please log in</html>" * 99, encoding="utf-8")
    with pytest.raises(FileError, match=f"{Path(name).name} cannot be read as an image"):
        read_fundus(one, "training", 21)


@pytest.mark.parametrize("name", [IMAGE, TRACING, MASK])
def test_a_file_of_another_size_is_named_with_both_sizes(one: Path, name: str) -> None:
    Image.open(one / name).resize((584, 565)).save(one / name)
    with pytest.raises(FileError, match=rf"{Path(name).name} has 584 x 565 pixels instead of 565 "):
        read_fundus(one, "training", 21)


def test_a_picture_without_colours_is_refused(one: Path) -> None:
    Image.open(one / IMAGE).convert("L").save(one / IMAGE)
    with pytest.raises(FileError, match=r"21_training\.tif is an image of mode L instead of RGB"):
        read_fundus(one, "training", 21)


@pytest.mark.parametrize(
    ("name", "words"),
    [(MASK, "no field of view"), (TRACING, "no traced vessel inside the field of view")],
)
def test_an_empty_field_of_view_or_tracing_is_named(one: Path, name: str, words: str) -> None:
    black_and_white(np.zeros((584, 565), bool)).save(one / name)
    with pytest.raises(FileError, match=f"{Path(name).name} has {words}"):
        read_fundus(one, "training", 21)


def test_vessels_beyond_the_field_of_view_alone_are_none(one: Path) -> None:
    black_and_white(~eye(21)[2]).save(one / TRACING)
    with pytest.raises(FileError, match=r"21_manual1\.gif has no traced vessel inside"):
        read_fundus(one, "training", 21)


def test_a_field_of_view_that_is_everything_is_refused(one: Path) -> None:
    black_and_white(np.ones((584, 565), bool)).save(one / MASK)
    with pytest.raises(FileError, match=r"21_training_mask.gif has nothing but field of view"):
        read_fundus(one, "training", 21)


def test_an_inverted_field_of_view_is_refused(one: Path) -> None:
    black_and_white(~eye(21)[2] | eye(21)[1]).save(one / MASK)
    with pytest.raises(FileError, match=r"21_training_mask.gif is no field of view of 21_training"):
        read_fundus(one, "training", 21)


@pytest.mark.parametrize("name", [TRACING, MASK])
def test_what_is_not_black_and_white_is_refused(one: Path, name: str) -> None:
    Image.open(one / IMAGE).convert("L").save(one / name)
    with pytest.raises(FileError, match=f"{Path(name).name} is not black and white"):
        read_fundus(one, "training", 21)


@pytest.mark.parametrize("name", [IMAGE, TRACING])
def test_a_file_of_another_eye_under_this_name_is_refused(one: Path, name: str) -> None:
    write_eye(one, "training", 22)
    shutil.copy(one / name.replace("21", "22"), one / name)
    with pytest.raises(FileError, match=r"vessels of 21_manual1.gif do not lie on .*another eye"):
        read_fundus(one, "training", 21)


def test_a_mirrored_tracing_is_refused(one: Path) -> None:
    black_and_white(eye(21)[1][:, ::-1]).save(one / TRACING)
    with pytest.raises(FileError, match=r"do not lie on those of 21_training\.tif.*mirrored"):
        read_fundus(one, "training", 21)


def test_the_real_eyes_tell_their_own_tracing_from_all_others(real_drive: Path) -> None:
    eyes = [read_fundus(real_drive, "training", number) for number in range(21, 25)]
    found = np.array(
        [[darkening(a.colours, vessels=b.vessels, field=a.field) for b in eyes] for a in eyes]
    )
    assert found.diagonal().min() > 0.5
    assert found[~np.eye(len(eyes), dtype=bool)].max() < 0.15


def test_the_real_vessels_are_an_eighth_of_the_field(real_drive: Path) -> None:
    data = load_drive(real_drive)
    for part, count in ((data.training, 16), (data.validation, 4), (data.test, 20)):
        assert part.pictures.shape == (count, 584, 565)
        share = part.vessels[part.fields].double().mean().item()
        assert 0.11 < share < 0.14
    assert DRIVE.missing_from(real_drive) == []
