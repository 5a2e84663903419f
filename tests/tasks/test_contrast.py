"""Light evened out: against ranks, a slow way pixel by pixel, and what the field must decide."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import rankdata

from secateur.errors import SettingError
from secateur.tasks.contrast import brightened, equalised, grey_of, standardised, stretched


def picture(seed: int, shape: tuple[int, int] = (48, 40)) -> np.ndarray:
    """A slope with noise, from 0 to 1."""
    noise = np.random.default_rng(seed).normal(0.0, 0.05, shape)
    slope = np.linspace(0.2, 0.7, shape[0])[:, None] + noise
    return (slope - slope.min()) / (slope.max() - slope.min())


def everything(values: np.ndarray) -> np.ndarray:
    return np.ones(values.shape, bool)


def test_one_tile_without_a_limit_gives_ranks() -> None:
    values = picture(0)
    found = equalised(values, field=everything(values), tiles=1, clip_limit=math.inf)
    levels = np.minimum((values * 256).astype(int), 255)
    ranks = (rankdata(levels) - 0.5) / levels.size
    np.testing.assert_allclose(found.ravel(), ranks, atol=1e-12)


def test_as_many_pixels_of_every_level_stay_what_they_are() -> None:
    values = (np.arange(256).repeat(4).reshape(32, 32) + 0.5) / 256
    for limit in (1.0, 3.0):
        found = equalised(values, field=everything(values), tiles=1, clip_limit=limit)
        np.testing.assert_allclose(found, values, atol=1e-12)


@given(seed=st.integers(0, 99), limit=st.floats(1.0, 8.0))
def test_contrast_grows_by_no_more_than_the_limit_and_order_stays(seed: int, limit: float) -> None:
    values = picture(seed)
    found = equalised(values, field=everything(values), tiles=1, clip_limit=limit)
    levels = np.minimum((values * 256).astype(int), 255).ravel()
    order = levels.argsort(kind="stable")
    rise, steps = np.diff(found.ravel()[order]), np.diff(levels[order])
    assert (rise >= -1e-12).all()
    # What exceeds the limit is dealt out to all levels: at most one mean share more for each.
    assert (rise <= (limit + 1.0) / 256 * steps + 1e-12).all()


def slow(values: np.ndarray, field: np.ndarray, tiles: int, limit: float) -> np.ndarray:
    """Pixel by pixel, tile by tile."""
    height, width = values.shape
    levels = np.minimum((values * 256).astype(int), 255)
    ranks = {}
    for i in range(tiles):
        for j in range(tiles):
            inside = [
                levels[y, x] for y in range(height) for x in range(width)
                if field[y, x] and y * tiles // height == i and x * tiles // width == j
            ]  # fmt: skip
            # One pixel of every level where there is none.
            counts = np.bincount(inside or range(256), minlength=256)
            low = np.minimum(counts / counts.sum(), limit / 256)
            low = low + (1 - low.sum()) / 256
            ranks[i, j] = [low[:level].sum() + low[level] / 2 for level in range(256)]
    found = np.zeros(values.shape)
    for y in range(height):
        for x in range(width):
            down, right = (y + 0.5) * tiles / height - 0.5, (x + 0.5) * tiles / width - 0.5
            for i in (math.floor(down), math.floor(down) + 1):
                for j in (math.floor(right), math.floor(right) + 1):
                    weight = (1 - abs(down - i)) * (1 - abs(right - j))
                    tile = min(max(i, 0), tiles - 1), min(max(j, 0), tiles - 1)
                    found[y, x] += weight * ranks[tile][levels[y, x]]
    return found


@pytest.mark.parametrize(("tiles", "limit"), [(1, 2.0), (2, 1.5), (3, math.inf)])
def test_it_agrees_with_the_slow_way_also_where_a_tile_sees_nothing(
    tiles: int, limit: float
) -> None:
    values = picture(1, (26, 23))
    field = everything(values)
    field[:9, :8] = False
    found = equalised(values, field=field, tiles=tiles, clip_limit=limit)
    np.testing.assert_allclose(found, slow(values, field, tiles, limit), atol=1e-12)


def test_what_is_outside_the_field_changes_nothing_inside() -> None:
    values = picture(2)
    field = np.hypot(*np.mgrid[-24:24, -20:20]) < 18
    before = equalised(stretched(values, field=field), field=field, tiles=4, clip_limit=2.0)
    values[~field] = 17.0
    after = equalised(stretched(values, field=field), field=field, tiles=4, clip_limit=2.0)
    np.testing.assert_array_equal(before[field], after[field])


def test_an_uneven_light_is_evened_out() -> None:
    detail = np.random.default_rng(3).normal(0.0, 0.05, (64, 64))
    values = np.linspace(0.3, 0.7, 64) + detail
    found = equalised(values, field=everything(values), tiles=8, clip_limit=math.inf)
    # The outermost half tiles have one tile's mapping alone: their slope stays.
    light, before = (v.mean(axis=0)[8:-8] for v in (found, values))
    assert np.ptp(light) / found.std() < 0.3 * np.ptp(before) / detail.std()


def test_stretched_reaches_from_0_to_1_in_the_field_and_is_0_outside() -> None:
    values = 40.0 + 100.0 * picture(4)
    field = values > 60.0
    found = stretched(values, field=field)
    assert (found[field].min(), found[field].max()) == (0.0, 1.0)
    assert not found[~field].any()
    assert not stretched(np.full((3, 3), 7.0), field=np.ones((3, 3), bool)).any()


def test_standardised_has_mean_0_and_deviation_1_in_the_field_and_0_outside() -> None:
    values = picture(5)
    field = values > 0.3
    found = standardised(values, field=field)
    assert found[field].mean() == pytest.approx(0.0, abs=1e-12)
    assert found[field].std() == pytest.approx(1.0)
    assert not found[~field].any()


def test_gamma_spreads_the_dark_part_and_keeps_the_ends() -> None:
    found = brightened(np.array([0.0, 0.25, 1.0]), gamma=2.0)
    np.testing.assert_allclose(found, [0.0, 0.5, 1.0])


@pytest.mark.parametrize("channel", ["green", "grey"])
def test_a_picture_without_colours_keeps_its_grey(channel: str) -> None:
    plain = np.full((4, 5, 3), 99, np.uint8)
    np.testing.assert_allclose(grey_of(plain, channel=channel), 99.0)


def test_green_sees_green_alone() -> None:
    colours = np.random.default_rng(0).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    np.testing.assert_array_equal(grey_of(colours, channel="green"), colours[..., 1])


@pytest.mark.parametrize(
    ("change", "word"),
    [({"tiles": 0}, "1 or more"), ({"clip_limit": 0.5}, "1 or more"),
     ({"clip_limit": math.nan}, "1 or more"), ({"picture": np.full((4, 4), 1.5)}, "from 0 to 1")],
)  # fmt: skip
def test_what_cannot_be_equalised_is_refused(change: dict, word: str) -> None:
    settings = {"picture": np.zeros((4, 4)), "tiles": 2, "clip_limit": 2.0, **change}
    with pytest.raises(SettingError, match=word):
        equalised(settings.pop("picture"), field=np.ones((4, 4), bool), **settings)
