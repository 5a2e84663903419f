"""Keyed randomness: known answers, distributions, and independence of everything but the key."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from secateur import keyed

WORDS = st.integers(0, 2**32 - 1)


# Known answers of Philox-4x32-10 from the Random123 distribution (kat_vectors).
@pytest.mark.parametrize(
    ("counter", "key", "words"),
    [
        ("00000000 00000000 00000000 00000000", "00000000 00000000",
         "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff",
         "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0",
         "d16cfe09 94fdcceb 5001e420 24126ea1"),
    ],
)  # fmt: skip
def test_philox_gives_the_published_known_answers(counter: str, key: str, words: str) -> None:
    counters = torch.tensor([[int(word, 16)] for word in counter.split()])
    low, high = (int(word, 16) for word in key.split())
    given_words = keyed.philox(counters, key=high << 32 | low)
    assert [f"{int(word):08x}" for word in given_words[:, 0]] == words.split()


def test_words_do_not_depend_on_the_block_a_counter_falls_into() -> None:
    counters = torch.arange(3 * 20_000).view(3, -1)
    counters = torch.cat([counters, counters[:1]])
    whole = keyed.philox(counters, key=5)
    assert torch.equal(whole, keyed._philox_rounds(counters, 5))
    assert torch.equal(whole[:, 8190:8200], keyed.philox(counters[:, 8190:8200], key=5))


def test_the_first_of_four_normals_is_the_first_row_of_all() -> None:
    words = keyed.philox(torch.arange(4 * 1000).view(4, -1), key=3)
    assert torch.equal(keyed.first_normals(words), keyed.normals(words)[0])


@given(st.lists(st.tuples(WORDS, WORDS, WORDS, WORDS), min_size=1, max_size=20), WORDS, WORDS)
def test_the_torch_path_equals_the_numpy_path(
    rows: list[tuple[int, int, int, int]], low: int, high: int
) -> None:
    counters, key = torch.tensor(rows).T.contiguous(), high << 32 | low
    by_numpy = keyed.philox(counters, key=key)
    by_torch = keyed._philox_rounds(counters, key)
    assert by_numpy.dtype == by_torch.dtype == torch.int64
    assert torch.equal(by_numpy, by_torch)


@given(st.lists(st.integers(0, 2**40), min_size=1, max_size=50, unique=True), st.randoms())
def test_a_cells_words_do_not_depend_on_the_cells_beside_it(cells: list[int], random) -> None:
    whole = keyed.cell_words(torch.tensor(cells), 3, seed=7, purpose=1)
    places = random.sample(range(len(cells)), k=max(1, len(cells) // 2))
    part = keyed.cell_words(torch.tensor(cells)[places], 3, seed=7, purpose=1)
    assert torch.equal(part, whole[:, places])


def test_every_part_of_a_cells_key_matters() -> None:
    cells = torch.arange(2000)
    base = keyed.cell_words(cells, 1, seed=7, purpose=1)
    others = {
        "cell": keyed.cell_words(cells + 2**32, 1, seed=7, purpose=1),
        "count": keyed.cell_words(cells, 2, seed=7, purpose=1),
        "seed": keyed.cell_words(cells, 1, seed=8, purpose=1),
        "purpose": keyed.cell_words(cells, 1, seed=7, purpose=2),
    }
    for part, words in others.items():
        flipped = np.unpackbits((base ^ words).numpy().astype(np.uint32).view(np.uint8)).mean()
        # 256 000 fair bits: five standard deviations are 0.005.
        assert abs(flipped - 0.5) < 0.005, part


def test_counts_may_differ_from_cell_to_cell() -> None:
    cells, counts = torch.tensor([5, 5, 9]), torch.tensor([1, 2, 1])
    words = keyed.cell_words(cells, counts, seed=0, purpose=0)
    for n in range(3):
        alone = keyed.cell_words(cells[n : n + 1], int(counts[n]), seed=0, purpose=0)
        assert torch.equal(words[:, n], alone[:, 0])


@given(WORDS)
def test_uniforms_are_strictly_inside_zero_and_one(word: int) -> None:
    value = float(keyed.uniforms(torch.tensor([word])))
    assert 0.0 < value < 1.0
    assert abs(value - (word + 0.5) / 2**32) <= 2.0**-24


@pytest.mark.parametrize("word", [0, 1, 2**31, 2**32 - 2, 2**32 - 1])
def test_uniforms_keep_the_ends_out_at_the_extremes(word: int) -> None:
    assert 0.0 < float(keyed.uniforms(torch.tensor([word]))) < 1.0
    assert bool(keyed.normals(torch.full((4, 1), word)).isfinite().all())


def test_uniforms_and_normals_follow_their_laws() -> None:
    words = keyed.cell_words(torch.arange(50_000), 0, seed=1, purpose=0)
    normals = keyed.normals(words).double().numpy()
    for row in range(4):
        uniform = keyed.uniforms(words)[row].double().numpy()
        assert stats.kstest(uniform, "uniform").pvalue > 1e-3
        assert stats.kstest(normals[row], "norm").pvalue > 1e-3


def test_the_four_normals_of_a_cell_are_independent() -> None:
    normals = keyed.normals(keyed.cell_words(torch.arange(50_000), 0, seed=2, purpose=0))
    normals = normals.double().numpy()
    # Box and Muller's partners share a radius: their squares must not be correlated either.
    for values in (normals, normals**2, np.abs(normals)):
        correlation = np.corrcoef(values) - np.eye(4)
        assert np.abs(correlation).max() < 5.0 / np.sqrt(50_000)


def test_normals_are_box_and_mullers_transform() -> None:
    words = keyed.cell_words(torch.arange(100), 0, seed=3, purpose=0)
    u = ((words >> 9).double().numpy() + 0.5) / 2**23
    radius = np.sqrt(-2.0 * np.log(u[:2]))
    expected = np.concatenate(
        [radius * np.cos(2 * np.pi * u[2:]), radius * np.sin(2 * np.pi * u[2:])]
    )
    np.testing.assert_allclose(keyed.normals(words).numpy(), expected, atol=3e-6)


def test_a_key_depends_on_every_step_of_its_path() -> None:
    paths = [(), (1,), ("1",), (1, 2), (2, 1), (12,), ("a", "b"), ("a/b",), ("a'/'b",), ("", "")]
    keys = {keyed.key_of(*path) for path in paths}
    assert len(keys) == len(paths)
    assert all(0 <= key < 2**63 for key in keys)


def test_keys_are_the_same_in_every_process_and_version() -> None:
    # Chips are saved as commands and keys: another hash would be another chip.
    assert keyed.key_of(0, "read", 1) == 9120663333234506076


def test_normal_depends_on_its_key_alone() -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first = keyed.normal((100, 3), key=11, device=torch.device("cpu"))
    torch.randn(1000)
    torch.set_rng_state(before)
    again = keyed.normal((100, 3), key=11, device=torch.device("cpu"))
    assert torch.equal(first, again)
    assert torch.equal(torch.get_rng_state(), before)
    assert not torch.equal(first, keyed.normal((100, 3), key=12, device=torch.device("cpu")))


def test_normal_follows_its_law_and_neighbouring_keys_are_independent() -> None:
    device = torch.device("cpu")
    draws = [keyed.normal((40_000,), key=key, device=device).double().numpy() for key in range(3)]
    for draw in draws:
        assert stats.kstest(draw, "norm").pvalue > 1e-3
    assert np.abs(np.corrcoef(draws) - np.eye(3)).max() < 5.0 / np.sqrt(40_000)


@pytest.fixture(scope="module")
def streamed() -> np.ndarray:
    return keyed.NormalStream(3, torch.device("cpu")).draw(4_000_003).double().numpy()


def test_streamed_normals_follow_the_law(streamed: np.ndarray) -> None:
    assert stats.kstest(streamed, "norm").pvalue > 1e-3
    count = len(streamed)
    for power, expected, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
        assert abs((streamed**power).mean() - expected) < 4 * np.sqrt(variance / count)
    for far in (3.0, 4.0):
        beyond = 2 * stats.norm.sf(far) * count
        assert abs((np.abs(streamed) > far).sum() - beyond) < 4 * np.sqrt(beyond)


def test_streamed_normals_are_independent_of_their_neighbours(streamed: np.ndarray) -> None:
    for values in (streamed, streamed**2):
        centred = values - values.mean()
        for lag in (1, 2, 3, 4, 5, 8):
            correlation = (centred[lag:] * centred[:-lag]).mean() / centred.var()
            assert abs(correlation) < 4 / np.sqrt(len(values))


def test_the_values_of_streamed_normals_are_quantiles_of_a_normal() -> None:
    values = torch.unique(keyed.NormalStream(1, torch.device("cpu")).draw(3_000_000)).double()
    assert len(values) == 1 << 16
    expected = (torch.arange(1 << 16, dtype=torch.float64) + 0.5) / (1 << 16)
    assert float((torch.special.ndtr(values) - expected).abs().max()) < 2.0**-17
    assert float(values.square().mean()) == pytest.approx(1, abs=1e-6)


def test_a_stream_goes_on_and_belongs_to_its_key() -> None:
    cpu = torch.device("cpu")
    stream = keyed.NormalStream(1, cpu)
    whole = torch.cat([stream.draw(count) for count in (8, 1, 0, 5)])
    assert torch.equal(whole[:8], keyed.NormalStream(1, cpu).draw(8))
    assert len(whole) == 14
    assert len(whole.unique()) == 14
    assert not torch.equal(whole[:8], keyed.NormalStream(2, cpu).draw(8))
