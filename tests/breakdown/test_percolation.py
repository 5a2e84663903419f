"""Breakdown as percolation: the closed form, the slope law, area, voltage, and Kirchhoff."""

import math
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from secateur.device.breakdown import (
    CONDUCTANCE_QUANTUM,
    Oxide,
    column_failure,
    form_oxide,
    grown,
    network_conductance,
    percolates,
    site_times,
    spanning_cluster,
    thresholds,
    weibull_slope,
)
from secateur.errors import SettingError


def lattices(cells: int, layers: int, side: int, *, seed: int = 0, exponent: float = 1.0):
    draws = np.random.default_rng(seed)
    return site_times(draws.random((cells, layers, side, side)), exponent=exponent)


# --- Thresholds ---------------------------------------------------------------------------------


def slow_threshold(times: np.ndarray) -> float:
    """Defect by defect, in the order of their times, until a path joins the electrodes."""
    for level in np.sort(times.ravel()):
        if percolates((times <= level)[None])[0]:
            return float(level)
    raise AssertionError("a full lattice percolates")


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 4), st.integers(1, 4), st.integers(0, 10_000))
def test_thresholds_are_those_found_defect_by_defect(layers: int, side: int, seed: int) -> None:
    times = lattices(3, layers, side, seed=seed)
    assert thresholds(times).tolist() == [slow_threshold(one) for one in times]


def test_one_layer_breaks_at_its_first_defect() -> None:
    times = lattices(50, 1, 5)
    assert np.array_equal(thresholds(times), times.reshape(50, -1).min(axis=1))


def test_one_column_breaks_at_its_last_defect() -> None:
    times = lattices(50, 6, 1)
    assert np.array_equal(thresholds(times), times.reshape(50, -1).max(axis=1))


def test_one_column_obeys_the_closed_form() -> None:
    for exponent in (0.5, 1.0):
        found = thresholds(lattices(3000, 3, 1, exponent=exponent))
        law = partial(column_failure, layers=3, columns=1, exponent=exponent)
        assert stats.kstest(found, law).pvalue > 1e-3


def test_diagonal_paths_only_make_breakdown_earlier() -> None:
    times = lattices(300, 3, 8)
    straight = times.max(axis=1).reshape(300, -1).min(axis=1)
    assert bool((thresholds(times) <= straight).all())
    law = partial(column_failure, layers=3, columns=64, exponent=1.0)
    assert stats.kstest(straight, law).pvalue > 1e-3


def test_the_spanning_cluster_has_the_paths_and_no_more() -> None:
    defects = np.zeros((3, 4, 4), dtype=bool)
    defects[:, 0, 0] = True
    defects[1, 3, 3] = True
    cluster = spanning_cluster(defects)
    assert cluster.sum() == 3
    assert not cluster[1, 3, 3]
    defects[2, 0, 0] = False
    assert not spanning_cluster(defects).any()


# --- Laws of theory ------------------------------------------------------------------------------


def test_the_closed_forms_weibull_slope_is_proportional_to_thickness() -> None:
    """While defects are rare: exponent x layers."""
    times = np.logspace(-12, 0, 8000)
    for exponent in (0.5, 1.0):
        for layers in (2, 4, 8):
            failed = column_failure(times, layers=layers, columns=10**9, exponent=exponent)
            inside = (failed > 0.1) & (failed < 0.9)
            weibit = np.log(-np.log1p(-failed[inside]))
            slope = np.polyfit(np.log(times[inside]), weibit, 1)[0]
            assert slope == pytest.approx(exponent * layers, rel=0.06)


def test_the_lattices_weibull_slope_grows_with_thickness_and_with_the_exponent() -> None:
    """Proportional while defects are rare; slower once they crowd a small window."""
    slopes = {n: weibull_slope(thresholds(lattices(500, n, 16))) for n in (1, 2, 4, 8)}
    assert slopes[1] == pytest.approx(1.0, rel=0.12)
    assert slopes[2] == pytest.approx(2.0, rel=0.15)
    assert 0.6 * 8 < slopes[8] < 8.0
    assert slopes[1] < slopes[2] < slopes[4] < slopes[8]
    halved = weibull_slope(thresholds(lattices(500, 4, 16, exponent=0.5)))
    assert halved == pytest.approx(slopes[4] / 2.0, rel=0.12)


def test_a_larger_area_breaks_down_earlier_by_the_weakest_link() -> None:
    """ln t falls by ln(area ratio) / slope."""
    small, large = (thresholds(lattices(700, 3, side, seed=side)) for side in (10, 20))
    shift = np.median(np.log(small)) - np.median(np.log(large))
    assert shift == pytest.approx(math.log(4.0) / weibull_slope(large), rel=0.2)
    # Four small areas side by side are a large one, but for paths across their borders.
    four = thresholds(lattices(1600, 3, 10, seed=3)).reshape(400, 4).min(axis=1)
    assert np.median(four) == pytest.approx(np.median(large), rel=0.12)


def test_voltage_and_heat_accelerate_defects_exponentially() -> None:
    oxide = Oxide.of()
    efold = oxide.volts_per_efold
    assert oxide.generation_time(3.0 + efold) == pytest.approx(oxide.generation_time(3.0) / math.e)
    hot = Oxide.of(temperature=400.0)
    expected = math.exp(0.7 / 8.617333262e-5 * (1 / 400 - 1 / 300))
    assert hot.generation_time(3.0) / oxide.generation_time(3.0) == pytest.approx(expected)


def test_the_breakdown_voltage_is_where_a_pulse_lasts_as_long_as_the_threshold() -> None:
    oxide = Oxide.of()
    threshold = np.array([0.05, 0.1, 0.5])
    volts = oxide.breakdown_voltage(threshold, np.ones(3))
    np.testing.assert_allclose(oxide.generation_time(volts) * threshold, oxide.width)
    longer = Oxide.of(width=10 * oxide.width).breakdown_voltage(threshold, np.ones(3))
    np.testing.assert_allclose(volts - longer, oxide.volts_per_efold * math.log(10.0))


# --- Filaments ------------------------------------------------------------------------------------


def test_a_chain_conducts_as_its_hops_in_series() -> None:
    for layers in (1, 3, 8):
        chain = np.array([(n, 0, 0) for n in range(layers)])
        conductance = network_conductance(chain, layers=layers, hop=2e-5)
        assert conductance == pytest.approx(2e-5 / (layers + 1))


def test_chains_far_apart_conduct_in_parallel_and_loose_ends_not_at_all() -> None:
    chain = np.array([(n, 0, 0) for n in range(4)])
    both = np.concatenate([chain, chain + np.array([0, 5, 0])])
    once = network_conductance(chain, layers=4, hop=1e-5)
    assert network_conductance(both, layers=4, hop=1e-5) == pytest.approx(2 * once)
    loose = np.concatenate([chain, [(1, 5, 5), (2, 5, 5)]])
    assert network_conductance(loose, layers=4, hop=1e-5) == pytest.approx(once, rel=1e-9)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000))
def test_another_defect_never_lowers_the_conductance(seed: int) -> None:
    """Rayleigh's monotonicity."""
    draws = np.random.default_rng(seed)
    sites = np.unique(draws.integers(0, 4, size=(25, 3)), axis=0)
    draws.shuffle(sites)
    conductances = [network_conductance(sites[:n], layers=4, hop=1e-5) for n in range(1, 20, 3)]
    assert bool((np.diff(conductances) > -1e-15).all())


def test_growth_stops_at_the_compliance_and_keeps_what_was_born() -> None:
    chain = np.array([(n, 0, 0) for n in range(5)])
    draws = np.random.default_rng(0)
    filament = grown(chain, layers=5, stop=3e-5, hop=CONDUCTANCE_QUANTUM, draws=draws)
    assert np.array_equal(filament.sites[: filament.born], chain)
    assert filament.conductance >= 3e-5
    before = network_conductance(filament.sites[:-1], layers=5, hop=CONDUCTANCE_QUANTUM)
    assert before < 3e-5
    assert len(np.unique(filament.sites, axis=0)) == len(filament.sites)
    assert set(filament.sites[:, 0]) <= set(range(5))


def test_a_compliance_out_of_reach_is_refused() -> None:
    with pytest.raises(SettingError, match="do not make a filament"):
        grown(
            np.array([(0, 0, 0)]), layers=1, stop=1.0, hop=1e-5, draws=np.random.default_rng(0),
            limit=5,
        )  # fmt: skip


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"thickness": -1e-9}, "thickness = -1e-09"),
        ({"thikness": 8e-9}, "thikness"),
        ({"site": 8e-9}, "has no path"),
        ({"width": float("nan")}, "width"),
    ],
)
def test_impossible_oxides_are_refused(values: dict[str, float], words: str) -> None:
    with pytest.raises(SettingError, match=words):
        Oxide.of(**values)


def test_too_few_cells_are_refused() -> None:
    with pytest.raises(SettingError, match="say nothing"):
        form_oxide(Oxide.of(), cells=5)
