"""Norms with statistics taken anew: those of the finished network, all data alike."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from secateur.chip import SimulatedChip
from secateur.experiment.checkpoint import restore_checkpoint, save_checkpoint
from secateur.experiment.recipe import Training
from secateur.experiment.training import Trainer
from secateur.network import prune_, pruned_weights
from secateur.tasks import Split

DATA = torch.randn(96, 12, generator=torch.Generator().manual_seed(1)), torch.arange(96) % 4


def trainer(*, renew_norms: bool, chip: bool = False) -> Trainer:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(12, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 4))
    if chip:
        prune_(model, SimulatedChip("taox-40nm", seed=0), seed=0)
    settings = Training(epochs=3, batch_size=24, learning_rate=0.5, renew_norms=renew_norms)
    return Trainer(model, Split(*DATA), settings, seed=0)


def statistics(made: Trainer) -> tuple[Tensor, Tensor]:
    norm = made.model[1]
    return norm.running_mean, norm.running_var


def test_they_are_the_means_over_all_batches_of_the_finished_network() -> None:
    made = trainer(renew_norms=True)
    made.run(lambda line: None)
    with torch.no_grad():
        sums = made.model[0](DATA[0]).view(4, 24, 16)
    mean, variance = statistics(made)
    assert torch.allclose(mean, sums.mean(dim=(0, 1)), atol=1e-5)
    assert torch.allclose(variance, sums.var(dim=1).mean(dim=0), atol=1e-5)


def test_unless_asked_for_they_are_the_running_means_of_training() -> None:
    plain, renewed = trainer(renew_norms=False), trainer(renew_norms=True)
    for made in (plain, renewed):
        made.run(lambda line: None)
    assert torch.equal(plain.model[0].weight, renewed.model[0].weight)
    assert not torch.allclose(statistics(plain)[0], statistics(renewed)[0], atol=1e-3)


@pytest.mark.parametrize("chip", [False, True])
def test_the_last_checkpoint_has_them(tmp_path: Path, chip: bool) -> None:
    made = trainer(renew_norms=True, chip=chip)
    made.run(lambda line: save_checkpoint(tmp_path, made))
    again = trainer(renew_norms=True, chip=chip)
    restore_checkpoint(tmp_path, again)
    again.run(lambda line: pytest.fail("nothing is left to train"))
    for own, other in zip(statistics(made), statistics(again), strict=True):
        assert torch.equal(own, other)
    masks = [[w.mask for w in pruned_weights(m.model).values()] for m in (made, again)]
    assert all(torch.equal(a, b) for a, b in zip(*masks, strict=True))
    inputs = DATA[0][:8]
    assert torch.equal(made.model.eval()(inputs), again.model.eval()(inputs))
