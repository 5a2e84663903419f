"""The training loop: one trial's model from its first epoch to its last, resumable."""

import ctypes
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from secateur.errors import DivergedError
from secateur.experiment.recipe import Training
from secateur.keyed import generator, key_of
from secateur.network import is_due, pruned_weights, settle_
from secateur.tasks import Samples

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


def keep_freed_memory() -> None:
    """Tells glibc to keep freed memory instead of returning it to the system at every step.

    A training step frees and allocates the same tensors again and again; giving the pages back
    and faulting them in anew can double its time. Does nothing where there is no glibc.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return
    mallopt(_M_MMAP_THRESHOLD, 1 << 30)
    mallopt(_M_TRIM_THRESHOLD, 1 << 30)


@dataclass
class Partial:
    """Where a training stands within an epoch.

    Args:
        steps: done in it.
        loss: summed over them, nats.
        right: answers in them.
        seen: samples in them.
        before: the search's counts as the epoch began.
    """

    steps: int
    loss: float
    right: int
    seen: int
    before: dict[str, int]


@dataclass
class Progress:
    """Where a training stands: epochs done, one line of figures for each, and what is begun."""

    history: list[dict[str, Any]]
    partial: Partial | None = None

    @property
    def epoch(self) -> int:
        """Epochs done."""
        return len(self.history)


class Trainer:
    """Trains one model on samples.

    The order of samples is keyed by (seed, epoch), the learning rate by the step, so that a run
    continued from a checkpoint takes the same steps.

    Args:
        model: gives logits; parameters with requires_grad are trained.
        samples: to train on.
        settings: of the loop.
        seed: of the order of samples.
    """

    def __init__(
        self, model: nn.Module, samples: Samples, settings: Training, *, seed: int
    ) -> None:
        self.model, self.samples, self.settings, self.seed = model, samples, settings, seed
        self.progress = Progress([])
        self.optimizer = _optimizer(model, settings)

    @property
    def epochs(self) -> int:
        """Epochs to go through in all: one, for the norms, where no parameter is trained."""
        return self.settings.epochs if self.optimizer else 1

    @property
    def steps(self) -> int:
        """Steps of an epoch; an incomplete last batch is left out."""
        return max(len(self.samples) // self.settings.batch_size, 1)

    def run(
        self, after_epoch: Callable[[dict[str, Any]], None],
        before_pulses: Callable[[], None] | None = None,
    ) -> None:  # fmt: skip
        """Trains from where `progress` stands to the last epoch, and deploys the last scores.

        Args:
            after_epoch: told the epoch's line of figures.
            before_pulses: called before each step that sends pulses, `progress` being up to date:
                where a chip cannot be brought back, the rest must be able to follow it.
        """
        while self.progress.epoch < self.epochs:
            line = self._epoch(self.progress.epoch, before_pulses)
            self.progress.history.append(line)
            self.progress.partial = None
            after_epoch(line)
        settle_(self.model)

    def learning_rate(self, step: int) -> float:
        """Linear warm-up, then half a cosine to zero over all steps."""
        settings = self.settings
        total = self.steps * self.epochs
        warm = settings.warm_up * self.steps
        rise = min(1.0, (step + 1) / (warm + 1.0))
        return settings.learning_rate * rise * 0.5 * (1.0 + math.cos(math.pi * step / total))

    def _epoch(self, epoch: int, before_pulses: Callable[[], None] | None) -> dict[str, Any]:
        self.model.train()
        size = self.settings.batch_size
        key = key_of(self.seed, epoch)
        order = torch.randperm(len(self.samples), generator=generator(key))
        begun = self.progress.partial or Partial(0, 0.0, 0, 0, _search_counts(self.model))
        before = begun.before
        loss_sum = torch.tensor(begun.loss, dtype=torch.float64)
        right = torch.tensor(begun.right)
        rate, seen = 0.0, begun.seen
        for n in range(begun.steps, self.steps):
            if before_pulses is not None and is_due(self.model):
                self.progress.partial = Partial(n, float(loss_sum), int(right), seen, before)
                before_pulses()
            inputs, targets = self.samples.batch(order[n * size : (n + 1) * size], key=key)
            rate = self.learning_rate(epoch * self.steps + n)
            logits, loss = self._step(inputs, targets, rate)
            loss_sum += loss
            right += (logits.argmax(dim=1) == targets).sum()
            seen += targets.numel()
            if n % 100 == 99 or n == self.steps - 1:
                self._check(loss, epoch)
        counts = _search_counts(self.model)
        return {
            "epoch": epoch + 1,
            "train_loss": float(loss_sum) / self.steps,
            "train_accuracy": int(right) / seen,
            "learning_rate": rate,
            **{name: counts[name] - before[name] for name in counts},
            **_kept(self.model),
        }

    def _step(self, inputs: Tensor, targets: Tensor, rate: float) -> tuple[Tensor, Tensor]:
        if self.optimizer is None:
            with torch.no_grad():
                logits = self.model(inputs)
                return logits, F.cross_entropy(logits, targets)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad()
        logits = self.model(inputs)
        loss = F.cross_entropy(logits, targets, label_smoothing=self.settings.label_smoothing)
        loss.backward()  # type: ignore[no-untyped-call,unused-ignore]
        self.optimizer.step()
        return logits.detach(), loss.detach()

    def _check(self, loss: Tensor, epoch: int) -> None:
        if not math.isfinite(float(loss)):
            raise DivergedError(
                f"The loss became {float(loss)} in epoch {epoch + 1}",
                cause="a learning rate that is too high for this network",
                remedy=f"Lower training.learning_rate, now {self.settings.learning_rate}; "
                "the checkpoints before it are kept",
            )


def _optimizer(model: nn.Module, settings: Training) -> torch.optim.Optimizer | None:
    """Gradient descent for weights and scores with decay, for gains and biases without."""
    trained = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.dim() > 1], "weight_decay": settings.weight_decay},
        {"params": [p for p in trained if p.dim() <= 1], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    if not groups:
        return None
    return torch.optim.SGD(groups, lr=settings.learning_rate, momentum=settings.momentum)


def _search_counts(model: nn.Module) -> dict[str, int]:
    weights = pruned_weights(model)
    if not weights:
        return {}
    totals = next(iter(weights.values())).chip.ledger.totals()
    flips = sum(weight.flips for weight in weights.values())
    return {"flips": flips, "set_pulses": totals["set"], "reset_pulses": totals["reset"]}


def _kept(model: nn.Module) -> dict[str, float]:
    weights = pruned_weights(model).values()
    edges = sum(weight.edges for weight in weights)
    kept = sum(int(weight.mask.sum()) for weight in weights)
    return {"keep_fraction": kept / edges} if edges else {}
