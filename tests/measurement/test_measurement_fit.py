"""Round trip: measure a known technology, fit, and find its numbers within their intervals."""

import numpy as np
import pytest
import torch
from bench import KNOWN, measured

from secateur.device import Technology
from secateur.device.measurement import components, fit_reads, grouped, reads_from, resampled
from secateur.errors import SettingError

TRUTH = {
    "breakdown_voltage": KNOWN.breakdown_voltage, "breakdown_spread": KNOWN.breakdown_spread,
    "high_conductance": KNOWN.high_conductance, "high_device_spread": KNOWN.high_device_spread,
    "high_cycle_spread": KNOWN.high_cycle_spread, "low_conductance": KNOWN.low_conductance,
    "low_device_spread": KNOWN.low_device_spread, "low_cycle_spread": KNOWN.low_cycle_spread,
    "read_noise": KNOWN.read_noise, "drift_law.exponent": 0.03,
    "drift_law.exponent_spread": 0.01,
}  # fmt: skip


def fitted(seed: int = 0, **measurement):
    columns = measured(seed=seed, **measurement)
    return fit_reads(reads_from(columns, source="bench.csv"), like=KNOWN, name="mine", seed=seed)


@pytest.fixture(scope="module")
def round_trips():
    return [fitted(seed, times=(10.0, 1e3, 1e5)) for seed in range(4)]


@pytest.mark.parametrize("parameter", TRUTH)
def test_what_was_put_in_comes_out_within_its_interval(round_trips, parameter) -> None:
    """95 % intervals: of four fits at least two hold the truth, all are near."""
    truth = TRUTH[parameter]
    estimates = [fit.estimates[parameter] for fit in round_trips]
    assert sum(e.low <= truth <= e.high for e in estimates) >= 2
    for e in estimates:
        assert e.low <= e.value <= e.high
        assert abs(e.value - truth) < 3.0 * (e.high - e.low) / 2.0
        assert e.high - e.low < truth


def test_a_sound_measurement_gives_no_warning_and_passes_its_tests(round_trips) -> None:
    fit = round_trips[0]
    assert fit.warnings == []
    assert set(fit.tests) == {
        "forming voltage", "high state", "high state, cycles", "low state", "low state, cycles",
        "drift exponent",
    }  # fmt: skip
    assert min(test.p_value for test in fit.tests.values()) > 0.01


def test_the_fitted_technology_has_its_origins(round_trips, tmp_path) -> None:
    technology = round_trips[0].technology
    origins = {row[0]: row[4] for row in [*technology.parameters(), *technology.laws()]}
    for parameter in TRUTH:
        assert origins[parameter.partition(".")[0]].startswith("source: fit of bench.csv: ")
    assert origins["endurance"] == "assumption: as taox-40nm; not measured"
    assert technology.read_law.law == "proportional"
    assert technology.drift_law.law == "power"
    path = tmp_path / "mine.toml"
    path.write_text(technology.toml(), encoding="utf-8")
    assert Technology.load(path).high_conductance == technology.high_conductance


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    """Variance components of 25 small measurements: 95 % less what a bootstrap loses."""
    held = np.zeros(3)
    for seed in range(25):
        draws = np.random.default_rng(seed)
        cell = np.repeat(np.arange(80), 4)
        logs = 0.3 * draws.standard_normal(80)[cell] + 0.15 * draws.standard_normal(320)
        groups = grouped(cell, np.tile(np.arange(4), 80), np.exp(logs))
        estimates = resampled(
            lambda w, g=groups: np.array(components(g, w, noise=0.0)), 80, draws=draws
        )
        held += [e.low <= t <= e.high for e, t in zip(estimates, (0, 0.3, 0.15), strict=True)]
    assert (held >= 20).all()


def test_components_are_those_of_the_analysis_of_variance() -> None:
    """Closed form for equal groups: between less within, over the number of cycles."""
    draws = np.random.default_rng(1)
    table = draws.standard_normal((30, 5)) * 0.1 + draws.standard_normal((30, 1)) * 0.2
    cell = np.repeat(np.arange(30), 5)
    groups = grouped(cell, np.tile(np.arange(5), 30), np.exp(table.ravel()))
    mean, device, cycle = components(groups, np.ones(30), noise=0.0)
    within = table.var(axis=1, ddof=1).mean()
    between = 5.0 * table.mean(axis=1).var(ddof=1)
    assert mean == pytest.approx(table.mean())
    assert cycle == pytest.approx(within**0.5)
    assert device == pytest.approx(((between - within) / 5.0) ** 0.5)


def test_noise_that_is_not_proportional_is_recognised() -> None:
    law = {
        "law": "polynomial", "coefficients": (1e-7, 1e-7, 1e-7), "full_scale": 2e-5, "lowest": 0.0,
    }  # fmt: skip
    truth = KNOWN.with_values(read_law=law, low_conductance=3e-6, drift_law={"law": "none"})
    columns = measured(truth, reads=12)
    fit = fit_reads(reads_from(columns, source="bench.csv"), like=KNOWN, name="mine")
    found = fit.technology
    assert found.read_law.law == "polynomial"
    assert fit.noise.exponent.high < 1.0
    for g in (3e-6, 7e-6, 1.2e-5):
        here = torch.tensor([g], dtype=torch.float64)
        assert float(found.read_deviation(here)) == pytest.approx(
            float(truth.read_deviation(here)), rel=0.15
        )


# --- What the data cannot support ---------------------------------------------------------------


def warned(fit, words: str) -> bool:
    return any(words in warning for warning in fit.warnings)


def test_numbers_in_another_unit_than_their_heading_are_doubted() -> None:
    columns = measured(cycles=1, reads=1)
    sound = fit_reads(reads_from(columns, source="bench.csv"), like=KNOWN, name="mine")
    assert not warned(sound, "unit in the heading")
    heading = next(name for name in columns if name.startswith("conductance"))
    columns[heading] = 1e-6 * columns[heading]
    assert warned(
        fit_reads(reads_from(columns, source="bench.csv"), like=KNOWN, name="mine"),
        "unit in the heading",
    )


def test_the_lowest_forming_voltage_is_taken_over_with_the_number_of_cells() -> None:
    columns = measured(cycles=1, reads=1)
    found = fit_reads(reads_from(columns, source="b.csv"), like=KNOWN, name="mine").technology
    assert found.breakdown_lowest == pytest.approx(columns["forming_voltage [V]"].min())
    assert found.breakdown_cells == len(np.unique(columns["cell"]))


def test_a_single_pass_supports_neither_cycles_nor_noise_nor_drift() -> None:
    columns = measured(cycles=1, reads=1)
    for name in ("time [s]", "forming_voltage [V]", "cycle"):
        del columns[name]
    fit = fit_reads(reads_from(columns, source="bench.csv"), like=KNOWN, name="mine")
    assert set(fit.estimates) == {
        "high_conductance", "high_device_spread", "low_conductance", "low_device_spread",
    }  # fmt: skip
    for words in ("read twice", "no cell was cycled", "times were not", "forming voltages were"):
        assert warned(fit, words)
    origins = {row[0]: row[4] for row in fit.technology.parameters()}
    assert origins["read_noise"].startswith("assumption: as taox-40nm")
    # The whole spread less the assumed part of the cycles and the reads.
    assert fit.estimates["high_device_spread"].value == pytest.approx(0.2, rel=0.15)


def test_single_reads_do_not_count_read_noise_as_spread() -> None:
    noisy = KNOWN.with_values(read_noise=0.06, high_cycle_spread=0.05)
    columns = measured(noisy, cells=300, cycles=8, reads=1)
    fit = fit_reads(reads_from(columns, source="bench.csv"), like=noisy, name="mine")
    assert warned(fit, "taken off the spreads")
    # With the noise left in, it would be the root of 0.05^2 + 0.06^2 = 0.078.
    assert fit.estimates["high_cycle_spread"].value == pytest.approx(0.05, abs=0.008)


def test_few_cells_and_few_cycles_are_said_to_be_few() -> None:
    fit = fitted(cells=12, cycles=2)
    assert warned(fit, "cells are few")
    assert warned(fit, "2 cycles of a cell are too few")
    assert warned(fit, "fewer than 3 times")


def test_another_distribution_is_noticed() -> None:
    columns = measured(cells=300, cycles=3)
    weak = columns["cell"] % 3 == 0
    columns["conductance [uS]"] = np.where(weak, 0.25, 1.0) * columns["conductance [uS]"]
    fit = fit_reads(reads_from(columns, source="bench.csv"), like=KNOWN, name="mine")
    assert fit.tests["high state"].p_value < 1e-6
    assert warned(fit, "high state: the data are not lognormal from cell to cell")


def test_a_state_that_was_not_measured_stays_an_assumption() -> None:
    columns = measured(cells=40)
    high = columns["state"] == "high"
    columns = {name: values[high] for name, values in columns.items()}
    fit = fit_reads(reads_from(columns, source="bench.csv"), like=KNOWN, name="mine")
    assert warned(fit, "the low state was not measured")
    assert fit.technology.low_conductance == KNOWN.low_conductance
    assert warned(fit, "too narrow a range")


def test_too_little_to_fit_is_refused() -> None:
    columns = measured(cells=4)
    with pytest.raises(SettingError, match=r"4 cells.*cannot be fitted"):
        fit_reads(reads_from(columns, source="bench.csv"), like=KNOWN, name="mine")
    columns = measured(cells=30)
    columns["forming_voltage [V]"] = columns["forming_voltage [V]"] + 0.01 * (
        np.arange(len(columns["cell"])) == 7
    )
    with pytest.raises(SettingError, match="several forming voltages"):
        fit_reads(reads_from(columns, source="bench.csv"), like=KNOWN, name="mine")
