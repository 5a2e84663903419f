"""Small networks and loops that the tests of this room share."""

import copy
from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from secateur.chip import SimulatedChip
from secateur.device import Technology
from secateur.network import PrunedWeight, prune_, pruned_weights

QUIET = Technology.load("taox-40nm").with_values(read_noise=0.0)


class Holder(nn.Module):
    """A model around one layer, called as that layer."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, *inputs, **keywords):
        return self.layer(*inputs, **keywords)


class Tagger(nn.Module):
    """Uses every kind of layer that has weights on a chip, and norms and biases that have not."""

    def __init__(self) -> None:
        super().__init__()
        self.convolve = nn.Conv1d(3, 8, 3, padding=1)
        self.norm = nn.BatchNorm1d(8)
        self.remember = nn.GRU(8, 4, bidirectional=True, batch_first=True)
        self.attend = nn.MultiheadAttention(8, 2, batch_first=True)
        self.spread = nn.ConvTranspose1d(8, 8, 2, stride=2)
        self.out = nn.Linear(8, 4)

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = torch.relu(self.norm(self.convolve(inputs))).transpose(1, 2)
        hidden, _ = self.remember(hidden)
        hidden = hidden + self.attend(hidden, hidden, hidden, need_weights=False)[0]
        return self.out(self.spread(hidden.transpose(1, 2)).mean(dim=2))


def perceptron(*, seed: int = 0) -> nn.Sequential:
    """Two linear layers, 12 x 24 and 24 x 4 weights."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(12, 24), nn.ReLU(), nn.Linear(24, 4))


def pruned(model: nn.Module | None = None, *, seed: int = 0, technology="taox-40nm", **settings):
    """A model (the perceptron, if none is given) on a chip of its own."""
    chip = SimulatedChip(technology, seed=seed)
    return prune_(perceptron() if model is None else model, chip, seed=seed, **settings)


def batches(count: int, *, size: int = 16, inputs: int = 12) -> Iterator[tuple[Tensor, Tensor]]:
    """Labelled points around four centres, the same at every call."""
    source = torch.Generator().manual_seed(7)
    centres = torch.randn(4, inputs, generator=source)
    for _ in range(count):
        labels = torch.randint(0, 4, (size,), generator=source)
        yield centres[labels] + 0.3 * torch.randn(size, inputs, generator=source), labels


def train(model: nn.Module, steps: int = 5, optimizer: torch.optim.Optimizer | None = None):
    """Takes training steps; returns the losses."""
    model.train()
    optimizer = optimizer or torch.optim.SGD(model.parameters(), lr=0.5)
    losses = []
    for inputs, labels in batches(steps):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(inputs), labels)
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses


def chip_of(model: nn.Module) -> SimulatedChip:
    """The chip of a pruned model."""
    return weights_of(model)[0].chip


def weights_of(model: nn.Module) -> list[PrunedWeight]:
    """The pruned weights of a model."""
    return list(pruned_weights(model).values())


def conductances(model: nn.Module) -> Tensor:
    """All conductances of a model's chip, in the order of its cells."""
    chip = chip_of(model)
    return torch.cat([chip.conductance(r).reshape(-1) for r in chip.placement.regions])


def switching(model: nn.Module) -> int:
    """SET and RESET pulses a model's chip has received."""
    return int(chip_of(model).ledger.switching.sum())


def flat(value) -> list[Tensor]:
    """The floating-point tensors in a nest of tuples, packed sequences included."""
    if isinstance(value, Tensor):
        return [value] if value.is_floating_point() else []
    return [] if value is None else [t for part in value for t in flat(part)]


def run_backward(module: nn.Module, call: Callable, inputs: list[Tensor]):
    """Outputs and gradients (of inputs and parameters by name) of a call of a module."""
    own = [t.detach().clone().requires_grad_() for t in inputs]
    outputs = flat(call(module, *own))
    module.zero_grad()
    source = torch.Generator().manual_seed(3)
    sum(
        (t * torch.randn(t.shape, generator=source, dtype=t.dtype)).sum() for t in outputs
    ).backward()
    named = {name: p.grad for name, p in module.named_parameters()}
    return outputs, [t.grad for t in own], named


def assert_same(plain: nn.Module, swapped: nn.Module, call: Callable, inputs: list[Tensor]) -> None:
    """A plain model and its swapped twin give the same outputs and gradients."""
    expected = run_backward(plain, call, inputs)
    found = run_backward(swapped, call, inputs)
    assert len(found[0]) == len(expected[0]) > 0
    torch.testing.assert_close(found[0], expected[0])
    torch.testing.assert_close(found[1], expected[1])
    # A digital weight sits one name deeper than the parameter it was.
    own = {name.removesuffix(".value"): gradient for name, gradient in found[2].items()}
    assert own.keys() == expected[2].keys()
    for name, gradient in expected[2].items():
        torch.testing.assert_close(own[name], gradient, msg=lambda words, n=name: f"{n}: {words}")


def twin(model: nn.Module) -> nn.Module:
    """A deep copy."""
    return copy.deepcopy(model)
