"""Numbers are written briefly, with real minus signs and their unit."""

import pytest

from secateur.report import numbers
from secateur.report.reading import Statistic


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0.91234, "91.2\u202f%"),
        (0.0, "0.0\u202f%"),
        (None, "–"),
    ],
)
def test_percent(value: float | None, words: str) -> None:
    assert numbers.percent(value) == words


@pytest.mark.parametrize(
    ("value", "words"), [(0.0149, "+1.5"), (-0.011, "−1.1"), (-0.0001, "0.0"), (None, "–")]
)
def test_points_are_signed_unless_they_round_to_nothing(value: float | None, words: str) -> None:
    assert numbers.points(value) == words


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (124544.3, "124\u202f544"),
        (2.914, "2.91"),
        (14.0, "14"),
        (17.33, "17.3"),
        (-0.05, "−0.05"),
        (float("nan"), "–"),
        (None, "–"),
    ],
)
def test_plain(value: float | None, words: str) -> None:
    assert numbers.plain(value) == words


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (1.234e-5, "12.3\u202fµJ"),
        (3.2e-9, "3.2\u202fnJ"),
        (0.0, "0\u202fJ"),
        (2.0, "2\u202fJ"),
        (1e-20, "1e−05\u202ffJ"),
        (None, "–"),
    ],
)
def test_a_quantity_takes_the_prefix_that_suits_it(value: float | None, words: str) -> None:
    assert numbers.with_prefix(value, "J") == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(7.25, "7.2\u202fs"), (81.2, "1 min 21\u202fs"), (5412, "1 h 30 min"), (3599.9, "1 h 0 min")],
)
def test_duration(seconds: float, words: str) -> None:
    assert numbers.duration(seconds) == words


def test_an_interval_needs_both_ends() -> None:
    known = Statistic(mean=0.9, interval95=(0.89, 0.912), n=3)
    assert numbers.interval_percent(known) == "89.0 – 91.2"
    assert numbers.interval_percent(Statistic(mean=0.9, interval95=(None, None), n=1)) == "–"
    assert numbers.interval_percent(Statistic(mean=0.9, n=1)) == "–"


@pytest.mark.parametrize(
    ("value", "words"),
    [(True, "yes"), (None, "none"), (1e-05, "1e−05"), ([512, 512], "512, 512"), ("ramp", "ramp")],
)
def test_settings_are_written_as_words(value: object, words: str) -> None:
    assert numbers.value_words(value) == words
