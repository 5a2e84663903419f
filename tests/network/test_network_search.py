"""Pruning is done to the chip, by pulses, and goes on as the scores move."""

import pytest
import torch
import torch.nn.functional as F
from networks import (
    QUIET,
    Holder,
    Tagger,
    batches,
    chip_of,
    conductances,
    perceptron,
    pruned,
    switching,
    train,
    twin,
    weights_of,
)
from torch import nn

from secateur.chip import FixedVoltage, SimulatedChip, VoltageRamp
from secateur.circuit import ReadPerProduct
from secateur.device import Technology
from secateur.errors import DivergedError
from secateur.network import PrunedWeight, prune_, pruned_weights, settle_
from secateur.topology import Annealed, TopK, top_k

STEADY = Technology.load("taox-40nm").with_values(stuck_low_fraction=0.0, stuck_high_fraction=0.0)


def masks(model: nn.Module) -> torch.Tensor:
    return torch.cat([weight.mask.view(-1) for weight in weights_of(model)])


# --- The first mask -------------------------------------------------------------------------------


def test_pruning_an_edge_lowers_both_cells_of_its_pair_and_leaves_a_residue():
    model = pruned(technology=STEADY)
    chip, residues, kept_weights = chip_of(model), [], []
    for weight in weights_of(model):
        cells, status = chip.conductance(weight.region), chip.status(weight.region)
        formed = status != chip.PRISTINE
        kept = weight.mask.unsqueeze(-1).expand_as(status)
        assert (status[kept & formed] == chip.HIGH).all()
        assert (status[~kept & formed] == chip.LOW).all()
        assert cells[kept & formed].min() > 5e-6
        assert cells[~kept & formed].max() < 5e-6
        read = weight().weight.detach() / weight.gain
        residues.append(read[~weight.mask])
        kept_weights.append(read[weight.mask])
    residue, kept = torch.cat(residues), torch.cat(kept_weights)
    assert residue.ne(0.0).all()
    assert residue.abs().mean() < 0.3 * kept.abs().mean()


def test_pruning_a_cell_lowers_that_cell_alone():
    model = pruned(technology=STEADY, grain="cell")
    chip = chip_of(model)
    for weight in weights_of(model):
        status = chip.status(weight.region)
        assert torch.equal(status == chip.HIGH, weight.mask)
        assert torch.equal(status == chip.LOW, weight.available & ~weight.mask)
        # The cells of a pair's two columns have fixed signs: + and -.
        signs = weight.kept_weight.sign()[weight.available]
        expected = torch.tensor([1.0, -1.0]).expand_as(weight.scores)[weight.available]
        assert torch.equal(signs, expected)


@pytest.mark.parametrize("grain", ["pair", "cell"])
@pytest.mark.parametrize("forming", [FixedVoltage(), FixedVoltage(0.5), VoltageRamp()])
def test_the_first_mask_takes_one_reset_for_each_pruned_formed_cell_and_nothing_else(
    grain, forming
):
    chip = SimulatedChip(STEADY, forming=forming)
    model = prune_(perceptron(), chip, grain=grain)
    pruned_cells = 0
    for weight in weights_of(model):
        formed = chip.status(weight.region) != chip.PRISTINE
        off = ~weight.mask if grain == "cell" else ~weight.mask.unsqueeze(-1)
        pruned_cells += int((formed & off).sum())
        assert weight.flips == 0
        assert torch.equal(weight.mask, best(weight))
    totals = chip.ledger.totals()
    assert pruned_cells > 0
    assert (totals["reset"], totals["set"]) == (pruned_cells, 0)
    assert int(chip.ledger.reset.max()) == 1


@pytest.mark.parametrize("start", ["uniform", "constant", "weight"])
def test_scores_start_positive_and_prune_a_share_that_is_exact_in_each_weight(start):
    shares = {"0": 0.3, "2.weight": 0.71}
    model = pruned(keep_fraction=shares, score_start=start)
    kept = {name: int(w.mask.sum()) for name, w in pruned_weights(model).items()}
    assert kept == {"0.weight": round(0.3 * 288), "2.weight": round(0.71 * 96)}
    assert all(w.scores[w.available].gt(0).all() for w in weights_of(model))


def test_keeping_all_sends_no_pulse_but_those_of_forming():
    model = pruned(keep_fraction=1.0)
    train(model)
    assert switching(model) == 0
    assert chip_of(model).ledger.totals()["form"] == 2 * (12 * 24 + 24 * 4)


# --- In training ----------------------------------------------------------------------------------

OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.5),
    "momentum": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=1e-3),
    "adam": lambda p: torch.optim.Adam(p, lr=0.02),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.02, weight_decay=0.1),
    "fused adam": lambda p: torch.optim.Adam(p, lr=0.02, fused=True),
    "rmsprop": lambda p: torch.optim.RMSprop(p, lr=0.01),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("grain", ["pair", "cell"])
def test_masks_follow_the_scores_under_any_optimizer(name, grain):
    model = pruned(grain=grain)
    before, cells, pulses = masks(model), conductances(model), switching(model)
    train(model, 6, OPTIMIZERS[name](model.parameters()))
    model(torch.randn(2, 12))
    flipped = int((masks(model) != before).sum())
    assert flipped > 0
    assert sum(weight.flips for weight in weights_of(model)) >= flipped
    assert switching(model) > pulses
    assert not torch.equal(conductances(model), cells)
    for weight in weights_of(model):
        assert torch.equal(weight.mask, best(weight))


def test_training_learns_and_edges_come_back_after_they_were_pruned():
    model = pruned()
    first = masks(model)
    ever_pruned = ~first
    returned = torch.zeros_like(first)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.3, momentum=0.9)
    losses = []
    for inputs, labels in batches(60):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(inputs), labels)
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
        returned |= ever_pruned & masks(model)
        ever_pruned |= ~masks(model)
    assert sum(losses[-10:]) < 0.3 * sum(losses[:10])
    assert returned.sum() > 10
    assert chip_of(model).ledger.totals()["set"] > 0


def test_only_cells_that_received_a_pulse_have_changed():
    model = pruned()
    chip = chip_of(model)
    for _ in range(3):
        cells, pulses = conductances(model), chip.ledger.switching.clone()
        train(model, 2)
        pulsed = chip.ledger.switching != pulses
        assert 0 < int(pulsed.sum()) < len(pulsed)
        assert torch.equal(conductances(model)[~pulsed], cells[~pulsed])


def by_hand(model: nn.Module) -> None:
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.sub_(0.5 * parameter.grad)


def through_data(model: nn.Module) -> None:
    for parameter in model.parameters():
        parameter.data.sub_(0.5 * parameter.grad)


def new_data(model: nn.Module) -> None:
    for parameter in model.parameters():
        parameter.data = parameter.data - 0.5 * parameter.grad


def as_one_vector(model: nn.Module) -> None:
    vector = nn.utils.parameters_to_vector(model.parameters())
    gradient = nn.utils.parameters_to_vector([p.grad for p in model.parameters()])
    nn.utils.vector_to_parameters(vector - 0.5 * gradient, model.parameters())


@pytest.mark.parametrize("update", [by_hand, through_data, new_data, as_one_vector])
def test_a_training_loop_of_ones_own_is_followed_like_an_optimizer(update):
    own, usual = pruned(), pruned()
    optimizer = torch.optim.SGD(usual.parameters(), lr=0.5)
    for inputs, labels in batches(4):
        for model in (own, usual):
            model.zero_grad()
            F.cross_entropy(model(inputs), labels).backward()
        update(own)
        optimizer.step()
    own(inputs), usual(inputs)
    assert switching(usual) > 0
    assert torch.equal(masks(own), masks(usual))
    assert torch.equal(chip_of(own).ledger.switching, chip_of(usual).ledger.switching)


def test_a_single_score_written_by_hand_is_noticed():
    model = pruned(nn.Sequential(nn.Linear(64, 64)))
    (weight,) = weights_of(model)
    place = int((~weight.mask.view(-1)).nonzero()[5])
    with torch.no_grad():
        weight.scores.view(-1)[place] = 1.0
    model(torch.randn(1, 64))
    assert weight.mask.view(-1)[place]
    assert weight.flips == 2


def test_gradients_accumulate_without_a_flip_until_the_optimizer_steps():
    model = pruned()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    before = switching(model)
    for inputs, labels in batches(3):
        F.cross_entropy(model(inputs), labels).backward()
    assert switching(model) == before
    optimizer.step()
    assert switching(model) == before
    model(inputs)
    assert switching(model) > before


def test_evaluation_sends_no_pulse_even_where_scores_have_changed():
    model = pruned(Tagger())
    with torch.no_grad():
        for weight in weights_of(model):
            weight.scores.copy_(weight.scores.flip(0))
    before, cells = switching(model), conductances(model)
    model.eval()(torch.randn(2, 3, 4))
    assert switching(model) == before
    assert torch.equal(conductances(model), cells)
    model.train()(torch.randn(2, 3, 4))
    assert switching(model) > before


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_a_training_pass_without_gradients_settles_the_chip_too(context):
    model = pruned()
    train(model, 1)
    before = switching(model)
    with context():
        outputs = model(torch.randn(2, 12))
    assert not outputs.requires_grad
    assert switching(model) > before
    train(model, 2)
    model.load_state_dict(twin(model).state_dict())


def test_frozen_scores_stay_where_they_are_while_biases_learn():
    model = pruned()
    for weight in weights_of(model):
        weight.scores.requires_grad_(False)
    before, pulses, bias = masks(model), switching(model), model[0].bias.detach().clone()
    train(model, 3, torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.5))
    assert torch.equal(masks(model), before)
    assert switching(model) == pulses
    assert not torch.equal(model[0].bias, bias)
    assert all(weight.scores.grad is None for weight in weights_of(model))


@pytest.mark.parametrize("grain", ["pair", "cell"])
def test_every_edge_gets_the_gradient_of_its_weight_when_kept(grain):
    model = pruned(Holder(nn.Linear(6, 5, bias=False)), technology=QUIET, grain=grain)
    (weight,) = weights_of(model)
    weight.scores.data.neg_()
    inputs, cotangent = torch.randn(3, 6), torch.randn(3, 5)
    model(inputs).backward(cotangent)
    of_weights = cotangent.T @ inputs
    if grain == "cell":
        of_weights = of_weights.unsqueeze(-1)
    expected = of_weights * weight.kept_weight * weight.scores.sign()
    torch.testing.assert_close(weight.scores.grad, expected)
    assert weight.scores.grad[weight.available].ne(0).all()
    assert weight.scores.grad[~weight.mask & weight.available].ne(0).any()


def test_every_layer_of_every_kind_learns():
    model = pruned(Tagger())
    before = {name: w.mask.clone() for name, w in pruned_weights(model).items()}
    names = {name for name, _ in model.named_parameters() if name.endswith(".scores")}
    assert len(names) == len(before) == 9
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    for _ in range(5):
        optimizer.zero_grad()
        model(torch.randn(8, 3, 6)).square().sum().backward()
        assert all(p.grad is not None for p in model.parameters())
        optimizer.step()
    model(torch.randn(8, 3, 6))
    for name, weight in pruned_weights(model).items():
        assert not torch.equal(weight.mask, before[name]), name


def test_scores_that_are_no_numbers_stop_the_training():
    model = pruned()
    train(model, 1)
    weights_of(model)[0].scores.data.fill_(torch.nan)
    with pytest.raises(DivergedError):
        model(torch.randn(2, 12))


# --- How often, how many, compared with whom ------------------------------------------------------


def test_an_interval_spreads_mask_updates_over_steps():
    model = pruned(interval=3)
    counts = []
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    for inputs, labels in batches(7):
        before = switching(model)
        optimizer.zero_grad()
        F.cross_entropy(model(inputs), labels).backward()
        counts.append(switching(model) - before)
        optimizer.step()
    # The first pass finds nothing changed; the fourth and the seventh see the 3rd and 6th change.
    assert [count > 0 for count in counts] == [False, False, False, True, False, False, True]


def test_the_end_of_a_search_deploys_the_last_scores_whatever_the_interval():
    model = pruned(interval=100)
    train(model, 5)
    before = switching(model)
    assert all(weight.flips == 0 for weight in weights_of(model))
    settle_(model)
    assert switching(model) > before
    for weight in weights_of(model):
        assert torch.equal(weight.mask, best(weight))
    after = switching(model)
    settle_(model)
    model.train()(torch.randn(2, 12))
    assert switching(model) == after


def test_an_annealed_share_falls_update_by_update_to_exact_counts():
    schedule = Annealed(4)
    model = pruned(keep_fraction=0.25, schedule=schedule)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for update, (inputs, labels) in enumerate(batches(7)):
        optimizer.zero_grad()
        F.cross_entropy(model(inputs), labels).backward()
        share = schedule.keep_fraction(0.25, update)
        kept = [int(weight.mask.sum()) for weight in weights_of(model)]
        assert kept == [round(share * weight.edges) for weight in weights_of(model)]
        optimizer.step()
    assert kept == [72, 24]


def test_the_global_scope_compares_all_scores_and_keeps_an_exact_total():
    model = pruned(rule=TopK(scope="global"), keep_fraction=0.4)
    first, second = weights_of(model)
    total = round(0.4 * first.edges) + round(0.4 * second.edges)

    def expected() -> torch.Tensor:
        return top_k(torch.cat([w.scores.view(-1) for w in (first, second)]), total)

    assert torch.equal(masks(model), expected())
    assert int(first.mask.sum()) != round(0.4 * first.edges)
    train(model, 4)
    model(torch.randn(2, 12))
    assert torch.equal(masks(model), expected())


def test_a_dead_band_saves_pulses_without_a_drift_of_the_count():
    plain, banded = pruned(), pruned(rule=TopK(dead_band=0.1))
    for model in (plain, banded):
        train(model, 20, torch.optim.SGD(model.parameters(), lr=0.05))
        kept = [int(weight.mask.sum()) for weight in weights_of(model)]
        assert kept == [round(0.5 * weight.edges) for weight in weights_of(model)]
    flips = [sum(w.flips for w in weights_of(model)) for model in (plain, banded)]
    assert 0 < flips[1] < 0.7 * flips[0]


def best(weight: PrunedWeight) -> torch.Tensor:
    return top_k(weight.scores, round(0.5 * weight.edges))


def test_a_narrowing_band_ends_at_the_best_scores():
    model = pruned(rule=TopK(dead_band=0.3, narrowing=15))
    train(model, 10, torch.optim.SGD(model.parameters(), lr=0.05))
    assert any(not torch.equal(weight.mask, best(weight)) for weight in weights_of(model))
    train(model, 10, torch.optim.SGD(model.parameters(), lr=0.05))
    settle_(model)
    assert all(torch.equal(weight.mask, best(weight)) for weight in weights_of(model))


def test_fresh_noise_for_every_product_trains_as_well():
    model = pruned(circuit=ReadPerProduct(), grain="cell")
    losses = train(model, 60, torch.optim.SGD(model.parameters(), lr=0.3, momentum=0.9))
    assert sum(losses[-10:]) < 0.3 * sum(losses[:10])
    assert chip_of(model).ledger.totals()["set"] > 0
