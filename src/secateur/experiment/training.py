"""The training loop: one trial's model from its first epoch to its last, resumable."""

import ctypes
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from secateur.errors import DivergedError, SettingError
from secateur.experiment.norms import renew_norms
from secateur.experiment.processes import Alone, Processes, check_alike
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
        settings: of the loop; `batch_size` is what a step takes, in all processes together.
        seed: of the order of samples.
        together: the processes that share each step's batch; one where None.

    Raises:
        SettingError: for a batch larger than the data, or that cannot be shared out evenly.
    """

    def __init__(
        self, model: nn.Module, samples: Samples, settings: Training, *, seed: int,
        together: Processes | None = None,
    ) -> None:  # fmt: skip
        self.model, self.samples, self.settings, self.seed = model, samples, settings, seed
        self.together = together or Alone()
        self.progress = Progress([])
        self.trains = any(p.requires_grad for p in model.parameters())
        self._momenta: dict[int, dict[str, Tensor]] = {}
        self._called = self.together.joined(model) if self.trains else model
        check_batch(settings.batch_size, len(samples))
        _check_shares(settings.batch_size, self.together.count, settings.accumulation)

    @property
    def epochs(self) -> int:
        """Epochs to go through in all: one, for the norms, where no parameter is trained."""
        return self.settings.epochs if self.trains else 1

    @cached_property
    def optimizer(self) -> torch.optim.Optimizer | None:
        """Of the trained parameters, or None; made when it is needed, as that takes a second."""
        made = _optimizer(self.model, self.settings)
        if made is not None and self._momenta:
            groups = made.state_dict()["param_groups"]
            made.load_state_dict({"state": self._momenta, "param_groups": groups})
        return made

    def go_on(self, progress: Progress, momenta: dict[int, dict[str, Tensor]]) -> None:
        """Goes on from where another trainer of such a model has stood.

        Args:
            progress: where.
            momenta: of its optimizer, by the parameters' numbers.
        """
        self.progress, self._momenta = progress, momenta
        vars(self).pop("optimizer", None)

    def identity(self) -> dict[str, Any]:
        """What its steps follow from besides the model, in plain JSON."""
        settings = self.settings.model_dump(mode="json")
        return {**settings, "seed": self.seed, "samples": len(self.samples)}

    @property
    def steps(self) -> int:
        """Steps of an epoch; an incomplete last batch is left out."""
        return len(self.samples) // self.settings.batch_size

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
            if self.progress.epoch == self.epochs:
                self._end()
            after_epoch(line)

    def learning_rate(self, step: int) -> float:
        """Linear warm-up, then half a cosine to zero over all steps."""
        settings = self.settings
        total = self.steps * self.epochs
        warm = settings.warm_up * self.steps
        rise = min(1.0, (step + 1) / (warm + 1.0))
        return settings.learning_rate * rise * 0.5 * (1.0 + math.cos(math.pi * step / total))

    def _epoch(self, epoch: int, before_pulses: Callable[[], None] | None) -> dict[str, Any]:
        self._called.train()
        size = self.settings.batch_size
        key = key_of(self.seed, epoch)
        order = torch.randperm(len(self.samples), generator=generator(key))
        begun = self.progress.partial or Partial(0, 0.0, 0, 0, _search_counts(self.model))
        before, rate = begun.before, 0.0
        sums = torch.tensor([begun.loss, begun.right, begun.seen], dtype=torch.float64)
        sums = sums.to(self.together.device)
        chunks = [order[n * size : (n + 1) * size] for n in range(begun.steps, self.steps)]
        parts = self.samples.stream([own for c in chunks for own in self._own(c)], key=key)
        for n in range(begun.steps, self.steps):
            if before_pulses is not None and is_due(self.model):
                past, known, asked = sums.tolist()
                self.progress.partial = Partial(n, past, int(known), int(asked), before)
                before_pulses()
            rate = self.learning_rate(epoch * self.steps + n)
            found = self._step(parts, rate)
            sums += found
            if n % 100 == 99 or n == self.steps - 1:
                # Of all: a process that stops alone leaves the others waiting for it.
                self._check(float(self.together.mean(found)[0]), epoch)
        loss, right, seen = self.together.mean(sums).tolist()
        self._check_alike(epoch)
        counts = _search_counts(self.model)
        return {
            "epoch": epoch + 1,
            "train_loss": loss / self.steps,
            "train_accuracy": right / seen,
            "learning_rate": rate,
            **{name: counts[name] - before[name] for name in counts},
            **_kept(self.model),
        }

    def _end(self) -> None:
        settle_(self.model)
        if self.settings.renew_norms:
            renew_norms(self.model, self.samples, batch_size=self.settings.batch_size)

    def _own(self, places: Tensor) -> list[Tensor]:
        """This process's share of each part of a step."""
        parts = places.tensor_split(self.settings.accumulation)
        return [part.tensor_split(self.together.count)[self.together.rank] for part in parts]

    def _step(self, parts: Iterator[tuple[Tensor, Tensor]], rate: float) -> Tensor:
        """One step; mean loss, right answers and all answers of this process's share."""
        if self.optimizer is not None:
            for group in self.optimizer.param_groups:
                group["lr"] = rate
            self.optimizer.zero_grad()
        pieces = self.settings.accumulation
        found = torch.zeros(3, dtype=torch.float64, device=self.together.device)
        for piece in range(pieces):
            inputs, targets = (part.to(self.together.device) for part in next(parts))
            with self.together.waiting(self._called, last=piece == pieces - 1):
                logits, loss = self._pass(inputs, targets)
            found[0] += loss / pieces
            found[1] += (logits.argmax(dim=1) == targets).sum()
            found[2] += targets.numel()
        if self.optimizer is not None:
            self.optimizer.step()
        return found

    def _pass(self, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Forward and, where anything is trained, backward."""
        half = self.settings.precision == "bf16"
        smoothing = self.settings.label_smoothing if self.trains else 0.0
        with (
            torch.set_grad_enabled(self.trains),
            torch.autocast(inputs.device.type, dtype=torch.bfloat16, enabled=half),
        ):
            logits = self._called(inputs)
        with torch.set_grad_enabled(self.trains):
            loss = F.cross_entropy(logits.float(), targets, label_smoothing=smoothing)
            if self.trains:
                pieces = self.settings.accumulation
                mine = loss / pieces if pieces > 1 else loss
                mine.backward()  # type: ignore[no-untyped-call,unused-ignore]
        return logits.detach(), loss.detach()

    def _check_alike(self, epoch: int) -> None:
        trained = [p.detach() for p in self.model.parameters() if p.requires_grad]
        norms = [float(torch.linalg.vector_norm(p, dtype=torch.float64)) for p in trained]
        counts = [float(count) for count in _search_counts(self.model).values()]
        numbers = torch.tensor([*counts, *norms], dtype=torch.float64)
        check_alike(
            lambda: numbers.to(self.together.device), what="Chips or parameters",
            remedy="Give every process the same machine, versions and data, and a run directory "
            "on a disk that all of them see",
        )  # fmt: skip
        # The step after the last look at the loss may be the one that diverges.
        self._check(sum(norms), epoch, what="norm of the parameters")

    def _check(self, value: float, epoch: int, *, what: str = "loss") -> None:
        if not math.isfinite(value):
            kept = "; the checkpoints of the epochs before are kept" if epoch else ""
            raise DivergedError(
                f"The {what} became {value} in epoch {epoch + 1}",
                cause="a learning rate that is too high for this network",
                remedy=f"Lower training.learning_rate, now {self.settings.learning_rate}{kept}",
            )


def check_batch(batch: int, samples: int) -> None:
    """Refuses a batch that the training data cannot fill.

    Args:
        batch: samples of one step, in all processes together.
        samples: there are to train on.

    Raises:
        SettingError: with both numbers.
    """
    if batch > samples:
        raise SettingError(
            f"training.batch_size is {batch}, but there are only {samples} samples to train on",
            cause="an incomplete batch is left out, so no step would be taken",
            remedy=f"Give {samples} or fewer",
        )  # fmt: skip


def _check_shares(batch: int, count: int, accumulation: int) -> None:
    if batch % (count * accumulation):
        raise SettingError(
            f"A batch of {batch} samples cannot be shared out evenly among {count} processes, "
            f"in {accumulation} parts each",
            cause="training.batch_size counts the samples of all processes together",
            remedy=f"Set training.batch_size to a multiple of {count * accumulation}",
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
