"""Patches: drawn by key, fairly, in all eight positions; and laid over whole pictures."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare
from torch import Tensor

from secateur.errors import SettingError
from secateur.tasks.patches import Fundi

SIDE, HEIGHT, WIDTH = 16, 40, 37


def numbered(count: int = 3, **settings: Any) -> Fundi:
    """Pictures of which no two pixels of a field are alike; odd ones are vessels."""
    fields = torch.zeros(count, HEIGHT, WIDTH, dtype=torch.bool)
    for n in range(count):
        fields[n, 2 + n : 36, 3 : 34 - n] = True
    pixels = torch.arange(1, count * HEIGHT * WIDTH + 1).view(count, HEIGHT, WIDTH)
    wanted = {"side": SIDE, "patches_per_image": 50, "stride": 8, **settings}
    return Fundi(
        pictures=torch.where(fields, pixels, 0).float(), vessels=fields & (pixels % 2 == 1),
        fields=fields, names=[f"eye {n}" for n in range(count)], **wanted,
    )  # fmt: skip


def all_of(fundi: Fundi, key: int) -> tuple[Tensor, Tensor]:
    return fundi.batch(torch.arange(len(fundi)), key=key)


def test_an_epoch_takes_as_many_patches_of_every_picture() -> None:
    fundi = numbered()
    inputs, targets = all_of(fundi, key=1)
    assert inputs.shape == (150, 1, SIDE, SIDE)
    assert targets.shape == (150, SIDE, SIDE)
    assert (inputs.dtype, targets.dtype) == (torch.float32, torch.int64)
    largest = inputs.amax(dim=(1, 2, 3)).long()
    image = (largest - 1) // (HEIGHT * WIDTH)
    assert image.tolist() == [n // 50 for n in range(150)]


def test_the_same_key_and_place_give_the_same_patch_whatever_else_is_drawn() -> None:
    fundi = numbered()
    inputs, targets = all_of(fundi, key=7)
    places = torch.tensor([149, 3, 70, 3])
    again, answers = fundi.batch(places, key=7)
    assert torch.equal(again, inputs[places])
    assert torch.equal(answers, targets[places])


def test_other_epochs_have_other_patches() -> None:
    fundi = numbered()
    first, second = all_of(fundi, key=1)[0], all_of(fundi, key=2)[0]
    same = (first == second).flatten(1).all(dim=1)
    assert same.double().mean() < 0.05


def positions(window: Tensor) -> list[Tensor]:
    turned = [torch.rot90(window, n) for n in range(4)]
    return [*turned, *(turn.flip(1) for turn in turned)]


def where_from(fundi: Fundi, patch: Tensor, image: int) -> tuple[int, int, int]:
    """Row and column of a patch's centre in its picture, and its position, found by search."""
    canvas = F.pad(fundi.pictures[image], (SIDE,) * 4)
    number = int(patch.max())
    row, column = divmod((number - 1) % (HEIGHT * WIDTH), WIDTH)
    # The largest number of a patch is in its last row and column that lie in the field.
    for top in range(row + 1, row + SIDE + 1):
        for left in range(column + 1, column + SIDE + 1):
            window = canvas[top : top + SIDE, left : left + SIDE]
            for position, turned in enumerate(positions(window)):
                if torch.equal(turned, patch):
                    return top - SIDE // 2, left - SIDE // 2, position
    raise AssertionError("the patch is not of its picture")


def test_every_patch_is_a_window_around_a_pixel_of_the_field_in_one_of_eight_positions() -> None:
    fundi = numbered(patches_per_image=12)
    inputs, targets = all_of(fundi, key=3)
    seen = set()
    for n, patch in enumerate(inputs[:, 0]):
        row, column, position = where_from(fundi, patch, n // 12)
        assert fundi.fields[n // 12, row, column]
        seen.add(position)
    assert len(seen) == 8
    # Pixels and answers are turned alike.
    assert torch.equal(targets, (inputs[:, 0].long() % 2 == 1).long())


def test_centres_and_positions_are_drawn_with_equal_chance() -> None:
    fields = torch.zeros(1, 20, 20, dtype=torch.bool)
    fields[0, 4:16, 5:15] = True
    pixels = torch.arange(1, 401).view(1, 20, 20).float()
    fundi = Fundi(
        pictures=pixels, vessels=fields, fields=fields, names=["one"], side=SIDE,
        patches_per_image=24_000, stride=8,
    )  # fmt: skip
    inputs, _ = all_of(fundi, key=0)
    # The largest of the four middle pixels is the centre; where it lies, and between whom, tells
    # the position.
    half = SIDE // 2
    middle = inputs[:, 0, half - 1 : half + 1, half - 1 : half + 1].flatten(1)
    centre = middle.amax(dim=1).long() - 1
    counts = torch.bincount(centre, minlength=400)[fields.flatten()]
    assert counts.sum() == 24_000
    assert chisquare(counts.numpy()).pvalue > 1e-3
    at = middle.argmax(dim=1, keepdim=True)
    beside, above = middle.gather(1, at ^ 1), middle.gather(1, at ^ 2)
    position = (2 * at + (beside > above)).flatten()
    assert chisquare(torch.bincount(position, minlength=8).numpy()).pvalue > 1e-3


def test_beyond_the_border_there_is_nothing() -> None:
    fields = torch.zeros(1, HEIGHT, WIDTH, dtype=torch.bool)
    fields[0, 0, 0] = True
    ones = torch.ones(1, HEIGHT, WIDTH)
    fundi = Fundi(
        pictures=ones, vessels=ones.bool(), fields=fields, names=["corner"], side=SIDE,
        patches_per_image=8, stride=8,
    )  # fmt: skip
    inputs, targets = all_of(fundi, key=0)
    assert inputs.sum(dim=(1, 2, 3)).tolist() == [(SIDE // 2) ** 2] * 8
    # What was traced outside the field of view is no vessel that a network could see.
    assert targets.sum(dim=(1, 2)).tolist() == [1] * 8
    assert bool((targets <= inputs[:, 0]).all())


def test_joined_pictures_keep_their_order() -> None:
    fundi = numbered()
    joined = fundi.chosen(torch.tensor([2])).joined(fundi.chosen(torch.tensor([0, 1])))
    assert joined.names == ("eye 2", "eye 0", "eye 1")
    assert torch.equal(joined.pictures, fundi.pictures[[2, 0, 1]])
    assert torch.equal(joined.vessels, fundi.vessels[[2, 0, 1]])
    assert len(joined) == len(fundi)
    with pytest.raises(SettingError, match="two kinds"):
        fundi.joined(numbered(stride=4))


def test_examples_are_a_picture_its_vessels_and_its_field() -> None:
    fundi = numbered()
    prepared, vessels, field = fundi.examples(("background", "vessel")).values()
    assert (prepared.min(), prepared.max()) == (0, 1)
    assert torch.equal(vessels.bool(), fundi.vessels[0])
    assert torch.equal(field.bool(), fundi.fields[0])


@given(stride=st.integers(1, SIDE), image=st.integers(0, 2))
def test_tiles_cover_the_field_evenly(stride: int, image: int) -> None:
    fundi = numbered(stride=stride)
    times, pixels = fundi.blank(), fundi.blank()
    for inputs, places in fundi.tiles(image, 7):
        assert len(inputs) <= 7
        times.view(-1).index_add_(0, places.flatten(), torch.ones(places.numel()))
        pixels.view(-1)[places] = inputs.flatten(1)
    times, pixels = fundi.without_margin(times), fundi.without_margin(pixels)
    field = fundi.fields[image]
    assert torch.equal(pixels[field], fundi.pictures[image][field])
    low, high = SIDE // stride, -(-SIDE // stride)
    assert times[field].min() >= low**2
    assert times[field].max() <= high**2


@pytest.mark.parametrize(
    ("settings", "words"),
    [({"side": 40}, "task.side is 40.*multiple of 16"), ({"side": 0}, "multiple of 16"),
     ({"stride": 0}, "goes nowhere"), ({"stride": 17}, "leaves gaps.*1 to 16"),
     ({"patches_per_image": 0}, "patches_per_image is 0")],
)  # fmt: skip
def test_patches_that_cannot_be_are_refused(settings: dict[str, int], words: str) -> None:
    with pytest.raises(SettingError, match=words):
        numbered(**settings)


def test_an_empty_field_of_view_is_refused_by_the_pictures_name() -> None:
    blank = torch.zeros(2, 20, 20)
    fields = blank.bool()
    fields[0] = True
    with pytest.raises(SettingError, match="field of view of second is empty"):
        Fundi(
            pictures=blank, vessels=fields, fields=fields, names=["first", "second"], side=SIDE,
            patches_per_image=1, stride=8,
        )  # fmt: skip
