"""A model on a chip that is as a real one: it multiplies itself, and its cells wear out."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from secateur import FlipBudget, Ideal, ReadPerProduct, ReadPerStep, SimulatedChip, prune_
from secateur.chip import FixedVoltage, Journal, JournaledChip
from secateur.circuit import Converters
from secateur.errors import SettingError
from secateur.network import PrunedWeight, load_, pruned_weights, save
from secateur.topology import TopK


class RealChip(SimulatedChip):
    """Cells that nobody knows but by pulses and reads; counts the products it was asked for."""

    saves = False

    def __init__(self, *args, **more):
        super().__init__(*args, **more)
        self.products = 0

    def multiply(self, region, voltages, *, key):
        self.products += 1
        known = SimulatedChip.statistics(self, region)
        del self.statistics
        try:
            return super().multiply(region, voltages, key=key)
        finally:
            assert known is not None
            self.hide()

    def begin_convolve(self, region, maps, window, *, key):
        self.products += 1
        del self.statistics
        try:
            return super().begin_convolve(region, maps, window, key=key)
        finally:
            self.hide()

    def hide(self):
        """From now on it gives no statistics."""
        self.statistics = lambda region: None
        return self


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(2, 6, 3, padding=1, bias=False), nn.ReLU(), nn.Conv2d(6, 4, (2, 1), stride=2),
        nn.Flatten(), nn.Linear(4 * 4 * 4, 5),
    )  # fmt: skip


def on(chip, circuit, make=network, **settings):
    torch.manual_seed(0)  # of the biases, which stay digital
    return prune_(make(), chip, circuit=circuit, **settings)


@pytest.mark.parametrize("pairs", [1, 2])
@pytest.mark.parametrize("input_bits", [None, 4])
@pytest.mark.parametrize("grain", ["pair", "cell"])
def test_without_noise_a_board_gives_what_the_simulation_gives(grain, input_bits, pairs):
    """Outputs and gradients, rounding apart; every product is the board's."""
    models, inputs = {}, torch.randn(3, 2, 8, 8)
    chip = RealChip("ideal", seed=1).hide()
    settings = {"grain": grain, "input_bits": input_bits, "pairs_per_weight": pairs}
    models["board"] = on(chip, ReadPerProduct(), **settings)
    models["simulation"] = on(SimulatedChip("ideal", seed=1), Ideal(), **settings)
    found = {}
    for name, model in models.items():
        outputs = model.train()(inputs)
        outputs.square().sum().backward()
        scores = [weight.scores.grad for weight in pruned_weights(model).values()]
        found[name] = (outputs, *scores, model[2].bias.grad)
    assert chip.products == 3
    for own, other in zip(*found.values(), strict=True):
        assert torch.allclose(own, other, rtol=1e-3, atol=1e-4 * float(other.detach().abs().max()))


def test_the_noise_of_a_boards_products_is_the_read_noise():
    """Variance over many products as of products in the simulation."""
    inputs, spread = torch.randn(1, 12), {}
    for chip, name in ((RealChip(seed=1).hide(), "board"), (SimulatedChip(seed=1), "simulation")):
        model = on(chip, ReadPerProduct(), lambda: nn.Sequential(nn.Linear(12, 40, bias=False)))
        outputs = torch.stack([model.eval()(inputs) for _ in range(200)]).detach()
        spread[name] = outputs.var(dim=0).mean()
        assert outputs.mean(dim=0).abs().max() > 0.0
    assert 0.9 < float(spread["board"] / spread["simulation"]) < 1.1


@pytest.mark.parametrize("circuit", [ReadPerProduct(), ReadPerStep()])
def test_a_mask_update_asks_the_same_of_a_chip_whatever_was_read_before(circuit):
    """A resumed run has read nothing yet; its journal knows what the one before has asked."""
    asked = []
    for been in (True, False):
        chip = RealChip("taox-40nm", seed=1).hide()
        model = on(chip, circuit, input_bits=4)
        if been:
            model.train()(torch.randn(3, 2, 8, 8))
        weights = pruned_weights(model).values()
        read = chip.read_back
        chip.read_back = lambda cells, read=read: asked[-1].append(cells.tolist()) or read(cells)
        asked.append([])
        (search,) = {weight.search for weight in weights}
        search.deploy([~weight.mask for weight in weights])
    assert asked[0] == asked[1]
    assert any(asked[0])


def test_the_gradient_goes_by_the_conductances_last_read():
    """Kept in step with every pulse: as a fresh read of all cells gives them."""
    chip = RealChip(seed=2).hide()
    model = on(chip, ReadPerProduct(), interval=1).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=30.0)
    for n in range(6):
        optimizer.zero_grad()
        F.cross_entropy(model(torch.randn(4, 2, 8, 8)), torch.tensor([0, 1, 2, n % 5])).backward()
        optimizer.step()
    model(torch.randn(1, 2, 8, 8))
    assert sum(weight.flips for weight in pruned_weights(model).values()) > 20
    for weight in pruned_weights(model).values():
        cells = torch.arange(weight.region.cells.start, weight.region.cells.stop)
        assert torch.equal(weight.last_read, chip.read_back(cells))


@pytest.mark.parametrize(
    "make",
    [
        lambda: nn.Sequential(nn.Conv2d(2, 4, 3, groups=2)),
        lambda: nn.Sequential(nn.ConvTranspose2d(2, 3, 2, stride=2)),
        lambda: nn.Sequential(nn.Conv2d(2, 4, 3, padding=1, padding_mode="circular")),
        lambda: nn.Sequential(nn.Conv2d(2, 4, 2, padding="same")),
    ],
)
def test_maps_that_are_not_one_product_are_read_and_computed_here(make):
    chip, inputs = RealChip("ideal", seed=1).hide(), torch.randn(2, 2, 6, 6)
    board, plain = (
        on(chip, ReadPerProduct(), make),
        on(SimulatedChip("ideal", seed=1), Ideal(), make),
    )
    outputs = board(inputs)
    assert chip.products == 0
    assert torch.allclose(outputs, plain(inputs), atol=1e-5)
    outputs.sum().backward()
    assert all(float(p.grad.abs().sum()) > 0.0 for p in board.parameters())


@pytest.mark.parametrize("kind", [nn.GRU, nn.LSTM])
def test_recurrent_networks_and_attention_multiply_on_the_board(kind):
    chip = RealChip("ideal", seed=1).hide()
    board = on(chip, ReadPerProduct(), lambda: nn.Sequential(kind(3, 4)))
    plain = on(SimulatedChip("ideal", seed=1), Ideal(), lambda: nn.Sequential(kind(3, 4)))
    inputs = torch.randn(5, 2, 3)
    assert torch.allclose(board(inputs)[0], plain(inputs)[0], atol=1e-4)
    assert chip.products == 10
    attention = on(
        RealChip("ideal", seed=1).hide(), ReadPerProduct(),
        lambda: nn.Sequential(nn.MultiheadAttention(4, 2)),
    )  # fmt: skip
    outputs, _ = attention[0](*[torch.randn(3, 2, 4)] * 3)
    assert outputs.shape == (3, 2, 4)


def test_levels_that_need_to_know_the_cells_are_refused():
    model = on(RealChip(seed=1).hide(), Converters(ReadPerStep(), output_bits=6), input_bits=4)
    with pytest.raises(SettingError, match="does not know"):
        model(torch.randn(2, 2, 8, 8))


# --- Cells that do not follow ----------------------------------------------------------------


def journaled(tmp_path, *, seed: int = 3, **values) -> JournaledChip:
    law = SimulatedChip().technology.with_values(**values)
    chip = SimulatedChip(law, seed=seed, forming=FixedVoltage())
    return JournaledChip(chip, Journal(tmp_path / "j.sqlite", synchronous="normal"))


@pytest.mark.parametrize("scope", ["layer", "global"])
@pytest.mark.parametrize("dead_band", [0.0, 0.1])
@pytest.mark.parametrize("grain", ["pair", "cell"])
def test_a_search_goes_round_stuck_cells_and_keeps_its_count(tmp_path, grain, dead_band, scope):
    """Of 10 % stuck cells none that was found is ever asked for again, whatever momentum does."""
    chip = journaled(tmp_path, stuck_low_fraction=0.05, stuck_high_fraction=0.05)
    rule = TopK(scope=scope, dead_band=dead_band)
    model = prune_(network(), chip, grain=grain, rule=rule, keep_fraction=0.4).train()
    weights: list[PrunedWeight] = list(pruned_weights(model).values())
    optimizer = torch.optim.SGD(model.parameters(), lr=3.0, momentum=0.9, weight_decay=1e-3)
    for n in range(8):
        optimizer.zero_grad()
        F.cross_entropy(model(torch.randn(4, 2, 8, 8)), torch.tensor([0, 1, 2, n % 5])).backward()
        optimizer.step()
        before = chip.ledger.switching[chip.journal.stuck()].clone()
        stuck = chip.journal.stuck()
        model(torch.randn(4, 2, 8, 8))
        if grain == "cell":
            assert torch.equal(chip.ledger.switching[stuck], before)
        kept = [int(weight.mask.sum()) for weight in weights]
        asked = [round(0.4 * weight.edges) for weight in weights]
        assert sum(kept) == sum(asked)
        assert scope == "global" or kept == asked
        assert all(not bool((weight.mask & ~weight.available).any()) for weight in weights)
    assert len(chip.journal.stuck()) > 10
    assert sum(weight.available.numel() - weight.edges for weight in weights) > 10


def test_cells_that_wear_out_are_found_while_the_search_runs(tmp_path):
    chip = journaled(tmp_path, endurance=6.0, endurance_spread=0.3)
    model = prune_(network(), chip, keep_fraction=0.4).train()
    weights = list(pruned_weights(model).values())
    optimizer = torch.optim.SGD(model.parameters(), lr=100.0)
    lost = []
    for n in range(25):
        optimizer.zero_grad()
        F.cross_entropy(model(torch.randn(4, 2, 8, 8)), torch.tensor([0, 1, 2, n % 5])).backward()
        optimizer.step()
        lost.append(sum(weight.available.numel() - weight.edges for weight in weights))
    assert lost[0] < lost[12] < lost[-1]
    states = torch.cat([chip.status(weight.region).reshape(-1) for weight in weights])
    held = torch.cat([
        weight.mask.repeat_interleave(2).reshape(-1) for weight in weights
    ])  # fmt: skip
    usable = torch.cat([weight.available.repeat_interleave(2).reshape(-1) for weight in weights])
    # What was never pulsed was never looked at.
    usable &= (chip.ledger.switching > 0) & (states != chip.PRISTINE)
    assert torch.equal(states[usable] == chip.HIGH, held[usable])


# --- A run that goes the same way again ------------------------------------------------------


@pytest.mark.parametrize("kept", [3, 99])
def test_a_flip_budget_goes_by_what_the_run_has_asked_for(tmp_path, kept):
    """Killed after a mask update, before the next state was saved: the same update again.

    The chip's own counts are ahead by then, and would free other edges.
    """
    chip, lost = RealChip("ideal", seed=1).hide(), 0

    def begun(name: str) -> tuple[nn.Module, torch.optim.Optimizer, JournaledChip]:
        board = JournaledChip(chip, Journal(tmp_path / name, synchronous="normal"))
        model = on(board, ReadPerProduct(), rule=FlipBudget(TopK(), 2)).train()
        return model, torch.optim.SGD(model.parameters(), lr=100.0), board

    model, optimizer, board = begun("journal")
    for n in range(7):
        save(model, tmp_path / "model")
        inputs = torch.randn(4, 2, 8, 8)
        loss = F.cross_entropy(model(inputs), torch.tensor([0, 1, 2, n % 5]))
        masks = {name: w.mask.clone() for name, w in pruned_weights(model).items()}
        if n % 4 != kept:
            position, pulses = board.position, chip.ledger.totals()
            board.journal.close()
            model, optimizer, board = begun("journal")
            load_(model, tmp_path / "model")
            loss = F.cross_entropy(model(inputs), torch.tensor([0, 1, 2, n % 5]))
            assert board.position == position
            assert chip.ledger.totals() == pulses
            for name, weight in pruned_weights(model).items():
                assert torch.equal(weight.mask, masks[name])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        lost += int((board.spent() >= 2).sum())
    assert torch.equal(board.spent(), chip.ledger.switching)
    assert int(chip.ledger.switching.max()) == 2
    assert lost > 50
