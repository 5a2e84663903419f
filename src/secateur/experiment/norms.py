"""Batch norms: their statistics over all processes that train one model, and taken anew."""

from typing import Any

import torch
from torch import Tensor, nn

from secateur.ranks import ranks, summed
from secateur.tasks import Samples, batches


class SharedNorm(nn.modules.batchnorm._BatchNorm):
    """A batch norm that takes its statistics over the batches of all ranks.

    torch's own for this works on accelerators only. In evaluation, and in a single process, it is
    the plain norm. State-dict keys are those of the plain norm.

    Args:
        norm: whose settings, parameters and statistics it takes over.
    """

    def __init__(self, norm: nn.modules.batchnorm._BatchNorm) -> None:
        super().__init__(
            norm.num_features, norm.eps, norm.momentum, norm.affine, norm.track_running_stats
        )
        self.load_state_dict(norm.state_dict())
        self.train(norm.training)

    def _check_input_dim(self, inputs: Tensor) -> None:
        """Any number of dimensions, channels second."""

    def forward(self, inputs: Tensor) -> Tensor:
        """Normalised inputs of the same shape (N, C, ...)."""
        if not self.training or ranks() == 1:
            return torch.as_tensor(super().forward(inputs))
        kept = inputs.movedim(1, -1)
        # In two passes, as the plain norm: a difference of two large numbers would lose digits.
        count = kept[..., 0].numel() * ranks()
        over = tuple(range(kept.dim() - 1))
        mean = _sum(kept.float().sum(over)) / count
        centred = kept.float() - mean
        variance = _sum(centred.square().sum(over)) / count
        self._follow(mean.detach(), variance.detach() * count / max(count - 1, 1))
        normalised = centred * (variance + self.eps).rsqrt()
        if self.affine:
            normalised = normalised * self.weight + self.bias
        return torch.as_tensor(normalised.movedim(-1, 1).to(inputs.dtype))

    @torch.no_grad()
    def _follow(self, mean: Tensor, variance: Tensor) -> None:
        if self.running_mean is None or self.running_var is None:
            return
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        # No momentum: a cumulative average, every batch counts alike.
        momentum = 1.0 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, momentum)
        self.running_var.lerp_(variance, momentum)


def share_norms(model: nn.Module) -> nn.Module:
    """Replaces a model's batch norms by such over all ranks, in place."""
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.modules.batchnorm._BatchNorm):
                setattr(parent, name, SharedNorm(child))
    return model


def renew_norms(model: nn.Module, samples: Samples, *, batch_size: int) -> None:
    """Takes the norms' running statistics anew from one pass over data; nothing else changes.

    The pass runs with the norms' cumulative average, so that every batch counts alike.
    """
    norms = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    model.eval()
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
        norm.train()
    for inputs, _ in batches(samples, batch_size):
        if len(inputs) == batch_size:
            model(inputs.to(device))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    model.eval()


class _Summed(torch.autograd.Function):
    """A sum over ranks; what flows back is the sum of what flows back on each."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        return summed(values.clone())

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor]:
        return (summed(gradients[0].clone()),)


def _sum(values: Tensor) -> Tensor:
    result = _Summed.apply(values)  # type: ignore[no-untyped-call,unused-ignore]
    assert isinstance(result, Tensor)
    return result
