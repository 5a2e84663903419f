"""A space: all its points once, draws that are keyed, and words that mean one thing."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secateur.errors import SettingError
from secateur.experiment.sweep import Range, Space

VALUES = st.lists(st.integers(-5, 5), min_size=1, max_size=4, unique=True)
SPACES = st.dictionaries(st.sampled_from("abcd"), VALUES.map(tuple), min_size=1).map(Space)


@given(SPACES)
def test_a_grid_is_the_product_of_its_values(space):
    points = list(space.grid())
    assert len(points) == space.size == math.prod(map(len, space.settings.values()))
    product = itertools.product(*space.settings.values())
    assert [tuple(point.values()) for point in points] == list(product)


@given(SPACES, st.integers(0, 3), st.data())
def test_draws_are_different_and_the_first_ones_of_more(space, seed, data):
    number = data.draw(st.integers(1, space.size))
    points = list(space.draws(number, seed=seed))
    assert len({tuple(point.values()) for point in points}) == number
    assert points == list(space.draws(space.size, seed=seed))[:number]
    assert all(point[path] in values for point in points for path, values in space.settings.items())


@given(st.floats(1e-6, 1e6), st.floats(1.001, 1e6), st.booleans(), st.integers(0, 5))
def test_a_range_is_kept_to(low, factor, logarithmic, seed):
    space = Space({"a": Range(low, low * factor, logarithmic)})
    assert space.size is None
    assert all(low <= point["a"] <= low * factor for point in space.draws(5, seed=seed))


def test_a_logarithmic_range_is_drawn_evenly_in_the_logarithm():
    """Kolmogorov-Smirnov against the uniform law; and a plain range in the number itself."""
    from scipy.stats import kstest

    for logarithmic, even in ((True, math.log), (False, float)):
        space = Space({"a": Range(0.001, 10.0, logarithmic)})
        drawn = [even(point["a"]) for point in space.draws(400, seed=1)]
        low, high = even(0.001), even(10.0)
        assert kstest(drawn, "uniform", args=(low, high - low)).pvalue > 0.01


def test_a_range_between_whole_numbers_holds_whole_numbers():
    drawn = {point["a"] for point in Space({"a": Range(2, 5)}).draws(4, seed=0)}
    assert drawn == {2, 3, 4, 5}
    assert all(type(value) is int for value in drawn)


@pytest.mark.parametrize(
    ("text", "size"),
    [("a=2..5", 4), ("a=1..3:log", 3), ("a=1,true", 2), ("a=1,1.0,true", 3), ("a=0,false", 2)],
)
def test_as_many_points_are_drawn_as_there_are_and_no_more(text, size):
    space = Space.from_words([text])
    assert space.size == size
    drawn = [point["a"] for point in space.draws(size, seed=0)]
    assert len({(type(value), value) for value in drawn}) == size
    with pytest.raises(SettingError, match=f"space of {size} combinations"):
        space.draws(size + 1, seed=0)


def test_a_range_of_other_numbers_has_no_size():
    for text in ("a=0.1..0.9", "a=1..2.5", "a=1e-4..1:log"):
        assert Space.from_words([text, "b=1,2"]).size is None


def test_words_become_values_and_ranges():
    texts = ["a.b=1,2.5,full,true", "c=[1, 2]", "d=0.1..0.9", "e=1e-4..1:log", "f=2..8"]
    space = Space.from_words(texts)
    assert space.settings == {
        "a.b": (1, 2.5, "full", True), "c": (1, 2), "d": Range(0.1, 0.9),
        "e": Range(1e-4, 1, True), "f": Range(2, 8),
    }  # fmt: skip
    assert Space.parse(space.table()) == space


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ([], "Nothing is swept"),
        (["a"], "names no values"),
        (["a="], "names no values"),
        (["=1"], "names no values"),
        (["a=1,2", "a=3"], "swept twice"),
        (["a=1,1"], "twice"),
        (["a=[]"], "no values"),
        (["a=[[1]]"], "no single value"),
        (["a=2..1"], "no range"),
        (["a=1..b"], "no range"),
        (["a=1..2:lin"], "no range"),
        (["a=0..2:log"], "logarithm"),
        (["run.seed=1,2"], "no setting of a single trial"),
        (["arms.pruned.search.grain=pair,cell"], "no setting of a single trial"),
    ],
)
def test_what_is_no_space_is_refused(texts, message):
    with pytest.raises(SettingError, match=message):
        Space.from_words(texts)


def test_one_and_true_are_two_values():
    assert Space.from_words(["a=1,true"]).size == 2


def test_a_range_is_no_grid_and_a_small_space_has_no_more_draws_than_points():
    with pytest.raises(SettingError, match="--random"):
        Space({"a": Range(0, 1)}).grid()
    with pytest.raises(SettingError, match="space of 2"):
        Space({"a": (1, 2)}).draws(3, seed=0)
    with pytest.raises(SettingError, match="draws nothing"):
        Space({"a": (1, 2)}).draws(0, seed=0)
