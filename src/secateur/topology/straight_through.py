"""Gradients that pass straight through the mask.

To the scores of edges as in edge-popup (Ramanujan et al., CVPR 2020), to signed scores of weights
as through any quantiser (Bengio, Leonard and Courville, arXiv:1308.3432).
"""

from typing import Any

import torch
from torch import Tensor


class _StraightThrough(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, scores: Tensor, weight: Tensor, kept_weight: Tensor) -> Tensor:
        ctx.save_for_backward(scores, kept_weight)
        # A view would lose the memory format of a weight with a single input channel.
        return weight.detach()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        scores, kept_weight = ctx.saved_tensors
        along = kept_weight * scores.sign()
        return _times(along, gradients[0]), None, None


def _times(edges: Tensor, gradient: Tensor) -> Tensor:
    """Every edge by the gradient of its weight."""
    if edges.dim() == gradient.dim():
        return edges.mul_(gradient)
    if edges.shape[-1] == 2 and edges.dtype == torch.float32:
        # As the two parts of a complex number: four times as fast as a broadcast over two.
        return torch.view_as_real(torch.view_as_complex(edges) * gradient.contiguous())
    return edges.mul_(gradient.unsqueeze(-1))


def straight_through(scores: Tensor, *, weight: Tensor, kept_weight: Tensor) -> Tensor:
    """`weight`, differentiable in the scores as if no edge had been pruned.

    The loss falls along d|score| with the weight an edge has when it is kept, whether it is kept
    now or not: that is how a pruned edge can come back.

    Args:
        scores: one per edge; the weight's shape, or with a last axis for the edges of a weight.
        weight: the weights in use, any shape.
        kept_weight: the signed weight that each edge contributes when kept, shaped as `scores`.
    """
    # torch leaves `apply` untyped.
    result = _StraightThrough.apply(scores, weight, kept_weight)  # type: ignore[no-untyped-call,unused-ignore]
    assert isinstance(result, Tensor)
    return result


class _AsQuantised(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, scores: Tensor, weight: Tensor, axis: int) -> Tensor:
        ctx.shape, ctx.axis = scores.shape, axis
        return weight.detach()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        gradient, axis, shape = gradients[0], ctx.axis, ctx.shape
        if gradient.shape == shape:
            return gradient, None, None
        apart = (*shape[:axis], gradient.shape[axis] // shape[axis], *shape[axis:])
        return gradient.reshape(apart).mean(dim=axis), None, None


def as_quantised(scores: Tensor, *, weight: Tensor, axis: int) -> Tensor:
    """`weight`, differentiable in the scores as if each were the weight that its pairs add up to.

    Args:
        scores: one for each weight.
        weight: of all pairs, `cell_scores` without the last axis.
        axis: as there.
    """
    result = _AsQuantised.apply(scores, weight, axis)  # type: ignore[no-untyped-call,unused-ignore]
    assert isinstance(result, Tensor)
    return result
