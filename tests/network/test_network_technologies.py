"""Every shipped memory can be pruned on, programmed, and aged under a network."""

import pytest
import torch
from torch import nn

import secateur as st
from secateur.device import presets

DAY = 86400.0


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(24, 32, bias=False), nn.ReLU(), nn.Linear(32, 4, bias=False))


@pytest.mark.parametrize("name", presets())
def test_a_network_is_searched_on_it_and_outlives_a_year(name: str) -> None:
    chip = st.SimulatedChip(name, seed=0, forming=st.FixedVoltage(0.5))
    model = st.prune_(network(), chip, keep_fraction=0.5)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    inputs = torch.rand(64, 24, generator=torch.Generator().manual_seed(1))
    classes = (inputs[:, :4]).argmax(dim=1)
    losses = []
    for _ in range(40):
        loss = nn.functional.cross_entropy(model(inputs), classes)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert sum(losses[-5:]) < 0.93 * sum(losses[:5])
    model.eval()
    pulses = chip.ledger.totals()
    chip.advance(365 * DAY)
    assert bool(model(inputs).isfinite().all())
    assert chip.ledger.totals() == pulses


@pytest.mark.parametrize("name", presets())
def test_trained_weights_are_written_to_it_and_read_back_near(name: str) -> None:
    plain, model = network().requires_grad_(False), network()
    chip = st.SimulatedChip(name, seed=0)
    st.program_(model, chip)
    error = model[0].weight.plain() - plain[0].weight
    largest = float(plain[0].weight.abs().max())
    # Two states are all a magnetic cell has; the others come near.
    allowed = 0.5 if name == "stt-mram" else 0.15
    assert 0.0 < float(error.square().mean().sqrt()) / largest < allowed or name == "ideal"
    chip.advance(365 * DAY)
    aged = model[0].weight.plain() - plain[0].weight
    assert bool(aged.isfinite().all())
