"""Weights behind wires: those of the array their cells sit in, found when it has changed."""

import copy

import pytest
import torch
from networks import QUIET, Holder, Tagger, chip_of, twin, weights_of
from torch import nn

from secateur.chip import Geometry, SimulatedChip
from secateur.circuit import (
    Converters,
    Ideal,
    ReadPerProduct,
    ReadPerStep,
    Wired,
    effective_conductance,
    first_order_conductance,
    relative_error,
    wired,
)
from secateur.errors import SettingError
from secateur.network import first_order_errors, prune_, pruned_weights
from secateur.network.wiring import SeenPairs

OHMS = {
    "input_line_resistance": 30.0, "output_line_resistance": 20.0, "source_resistance": 500.0,
    "sense_resistance": 200.0,
}  # fmt: skip
SMALL = Geometry(rows=20, columns=24)


class Crowd(nn.Module):
    """Three weights that share macros: one of several tiles, one of two, a transposed one."""

    def __init__(self) -> None:
        super().__init__()
        self.tall = nn.Linear(45, 15)
        self.convolve = nn.Conv2d(3, 5, 2)
        self.spread = nn.ConvTranspose1d(6, 2, 3)


def crowd(**wires) -> tuple[nn.Module, SimulatedChip]:
    chip = SimulatedChip("taox-40nm", seed=3, geometry=SMALL)
    level = Wired(Ideal(), **{**OHMS, **wires})
    return prune_(Crowd(), chip, circuit=level), chip


def by_whole_macro(weight, *, model=effective_conductance, **settings) -> torch.Tensor:
    """The slow way: every cell of the macro in its place, rows of other tiles switched off."""
    chip, region = weight.chip, weight.region
    inputs, outputs = region.matrix
    grid = torch.zeros(inputs, outputs, dtype=torch.float64)
    for tile in region.tiles:
        cells = chip.macro_map(tile.macro, "conductance").double()
        on = slice(tile.row, tile.row + tile.rows)
        array = torch.zeros_like(cells)
        array[on] = cells[on]
        seen = model(array, **OHMS, **settings)[on]
        pairs = seen.view(tile.rows, -1, 2)[:, tile.pair_column :][:, : tile.pair_columns]
        i, o = tile.first_input, tile.first_output
        grid[i : i + tile.rows, o : o + tile.pair_columns] = pairs[..., 0] - pairs[..., 1]
    return (grid if region.inputs_first else grid.T).reshape(region.shape)


@pytest.mark.parametrize("double_sided", [False, True])
def test_weights_are_those_of_the_whole_macro_with_the_other_rows_off(double_sided):
    model, _ = crowd(double_sided=double_sided)
    model.eval()
    tiles = 0
    for weight in weights_of(model):
        expected = by_whole_macro(weight, double_sided=double_sided) * float(weight.gain)
        scale = float(expected.abs().max())
        torch.testing.assert_close(weight().weight.double(), expected, rtol=0, atol=3e-6 * scale)
        plain = weight.chip.statistics(weight.region).difference * float(weight.gain)
        assert float((weight().weight.detach() - plain).abs().max()) > 0.01 * scale
        tiles += len(weight.region.tiles)
    assert tiles > 6


def test_training_has_the_first_order_and_evaluation_the_exact():
    model, _ = crowd()
    for weight in weights_of(model):
        exact = by_whole_macro(weight) * float(weight.gain)
        first = by_whole_macro(weight, model=first_order_conductance) * float(weight.gain)
        for training, expected in ((True, first), (False, exact)):
            found = weight.train(training)().weight.detach().double()
            torch.testing.assert_close(
                found, expected, rtol=0, atol=3e-6 * float(exact.abs().max())
            )


@pytest.mark.parametrize("level", [Ideal(), ReadPerStep(), ReadPerProduct()])
def test_wires_of_hardly_any_resistance_change_nothing(level):
    inputs = torch.randn(4, 3, 6)
    ohms = {"input_line_resistance": 1e-6, "output_line_resistance": 1e-6}
    outputs = []
    for circuit in (level, Wired(level, **ohms)):
        torch.manual_seed(0)
        model = prune_(Tagger(), SimulatedChip("taox-40nm"), circuit=circuit)
        outputs.append(model.train()(inputs))
    torch.testing.assert_close(*outputs, rtol=1e-4, atol=1e-5)


def test_the_gradient_is_that_of_the_cells_own_weights():
    """Straight through the wires: along what an edge weighs when kept, as without them."""
    model = prune_(Holder(nn.Linear(8, 5)), SimulatedChip(QUIET), circuit=Wired(Ideal(), **OHMS))
    (weight,) = weights_of(model)
    inputs = torch.randn(3, 8)
    outputs = model(inputs)
    upstream = torch.randn_like(outputs)
    outputs.backward(upstream)
    expected = (upstream.T @ inputs) * weight.kept_weight * weight.scores.sign()
    torch.testing.assert_close(weight.scores.grad, expected)


# --- When conductances are found anew ----------------------------------------------------------


@pytest.fixture
def solved(monkeypatch):
    """The shapes of the arrays that were solved exactly."""
    shapes: list[tuple[int, ...]] = []

    def count(conductance, **settings):
        shapes.append(tuple(conductance.shape))
        return effective_conductance(conductance, **settings)

    monkeypatch.setattr(wired, "effective_conductance", count)
    return shapes


def test_an_array_is_solved_once_until_one_of_its_cells_changes(solved):
    model, chip = crowd()
    model.eval()
    weights = weights_of(model)
    for _ in range(3):
        for weight in weights:
            weight()
    assert len(solved) == sum(len(weight.region.tiles) for weight in weights)
    assert set(solved) == {(t.rows, SMALL.columns) for w in weights for t in w.region.tiles}
    solved.clear()
    tile = weights[0].region.tiles[0]
    chip.reset(chip.placement.cells_along(tile)[0, :1])
    for weight in weights:
        weight()
    touched = [
        t for w in weights for t in w.region.tiles
        if t.macro == tile.macro and t.row <= tile.row < t.row + t.rows
    ]  # fmt: skip
    assert len(solved) == len(touched) > 0


def test_a_weight_placed_beside_it_later_loads_its_rows(solved):
    chip = SimulatedChip(QUIET, geometry=SMALL)
    first = prune_(Holder(nn.Linear(18, 3)), chip, circuit=Wired(Ideal(), **OHMS)).eval()
    (weight,) = weights_of(first)
    alone = weight().weight.detach()
    prune_(Holder(nn.Linear(18, 3)), chip)
    crowded = weight().weight.detach()
    assert len(solved) == 2
    assert float(crowded.abs().sum()) < float(alone.abs().sum())
    expected = by_whole_macro(weight) * float(weight.gain)
    torch.testing.assert_close(crowded.double(), expected, rtol=1e-4, atol=1e-6)


def test_a_copy_lives_apart(solved):
    model, chip = crowd()
    model.eval()
    (weight, *_), (other, *_) = weights_of(model), weights_of(twin(model))
    before = weight().weight
    chip.reset(torch.arange(weight.region.cells.start, weight.region.cells.stop))
    assert torch.equal(other().weight, before)
    assert not torch.equal(weight().weight, before)


@pytest.mark.parametrize("training", ["first-order", "exact"])
def test_with_an_interval_training_goes_on_with_what_it_has_seen(training):
    model, chip = crowd(interval=3, training=training)
    (weight, *_) = weights_of(model)
    weight.search = None
    looks = [weight().weight.detach().clone() for _ in range(3)]
    chip.reset(torch.arange(weight.region.cells.start, weight.region.cells.start + 40))
    later = [weight().weight.detach().clone() for _ in range(3)]
    changed = [not torch.equal(looks[-1], seen) for seen in later]
    assert changed.count(True) in {1, 2, 3}
    assert changed == sorted(changed)
    # Evaluation in between looks at the chip and leaves training's view as it is.
    held = copy.deepcopy(weight.state_dict())
    exact = weight.eval()().weight
    torch.testing.assert_close(
        exact.double(), by_whole_macro(weight) * float(weight.gain), rtol=1e-4, atol=1e-6
    )
    assert torch.equal(weight.state_dict()["seen.difference"], held["seen.difference"])


def test_a_resumed_training_goes_on_with_the_same_view():
    model, chip = crowd(interval=100)
    (weight, *_) = weights_of(model)
    weight.search = None
    weight()
    chip.reset(torch.arange(weight.region.cells.start, weight.region.cells.start + 40))
    fresh, _ = crowd(interval=100)
    (resumed, *_) = weights_of(fresh)
    resumed.search = None
    resumed.load_state_dict(weight.state_dict())
    assert torch.equal(resumed().weight, weight().weight)


# --- What is reported --------------------------------------------------------------------------


def test_the_error_of_the_first_order_is_reported_for_every_weight():
    model, _ = crowd()
    found = first_order_errors(model)
    assert set(found) == set(pruned_weights(model))
    for name, weight in pruned_weights(model).items():
        worst = 0.0
        for tile in weight.region.tiles:
            cells = chip_of(model).macro_map(tile.macro, "conductance").double()
            on = slice(tile.row, tile.row + tile.rows)
            array = torch.zeros_like(cells)
            array[on] = cells[on]
            own = slice(2 * tile.pair_column, 2 * (tile.pair_column + tile.pair_columns))
            first = first_order_conductance(array, **OHMS)[:, own]
            worst = max(worst, relative_error(first, effective_conductance(array, **OHMS)[:, own]))
        assert found[name] == pytest.approx(worst, rel=1e-3, abs=1e-6)
        assert 1e-4 < worst < 0.1
    assert not first_order_errors(prune_(Holder(nn.Linear(4, 4)), SimulatedChip()))


def test_a_chip_that_does_not_know_its_cells_refuses_wires_that_it_has_itself():
    class Sealed(SimulatedChip):
        def statistics(self, region):
            return None

        def cell_statistics(self, cells):
            return None

    model = prune_(Holder(nn.Linear(6, 4)), Sealed(QUIET), circuit=Wired(Ideal(), **OHMS)).eval()
    (weight,) = weights_of(model)
    with pytest.raises(SettingError, match="a real chip has its wires and converters itself"):
        weight()
    assert first_order_errors(model) == {}


def test_wires_and_converters_work_in_every_kind_of_layer():
    circuit = Converters(Wired(ReadPerProduct(), **OHMS), gain_spread=0.02, offset_spread=0.01)
    model = prune_(Tagger(), SimulatedChip("taox-40nm"), circuit=circuit, input_bits=6)
    inputs = torch.randn(4, 3, 6)
    for _ in range(3):
        model(inputs).sum().backward()
    assert all(bool(w.scores.grad.isfinite().all()) for w in weights_of(model))
    assert bool(model.eval()(inputs).isfinite().all())
    assert all(isinstance(w.seen, SeenPairs) for w in weights_of(model))
