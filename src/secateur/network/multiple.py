"""A weight that is the sum of several pairs: every input drives as many rows of the array."""

from torch import Tensor


def with_pairs(shape: tuple[int, ...], pairs: int, *, inputs_first: bool) -> tuple[int, ...]:
    """The shape of all pairs of a weight of that shape: its input axis, `pairs` times over."""
    axis = 0 if inputs_first else 1
    return (*shape[:axis], pairs * shape[axis], *shape[axis + 1 :])


def summed(pairs_of_weight: Tensor, pairs: int, *, inputs_first: bool) -> Tensor:
    """The weights that pairs add up to.

    Args:
        pairs_of_weight: what each pair weighs, shaped as `with_pairs` says: the first pairs of all
            inputs, then the second ones.
        pairs: of a weight.
        inputs_first: True where the first axis counts inputs instead of the second.
    """
    axis, shape = 0 if inputs_first else 1, pairs_of_weight.shape
    apart = (*shape[:axis], pairs, shape[axis] // pairs, *shape[axis + 1 :])
    return pairs_of_weight.view(apart).sum(dim=axis)


def repeated(inputs: Tensor, pairs: int, *, weight: Tensor, inputs_first: bool) -> Tensor:
    """Inputs as the rows of several pairs get them.

    Args:
        inputs: of a linear layer (..., n) or a convolution (..., n, positions).
        pairs: of a weight.
        weight: what each pair weighs, as in `summed`.
        inputs_first: as there.
    """
    axis = inputs.dim() + 1 - weight.dim()
    before, channels, after = inputs.shape[:axis], inputs.shape[axis], inputs.shape[axis + 1 :]
    # A grouped convolution takes the channels of each group together.
    groups = 1 if inputs_first else channels * pairs // weight.shape[1]
    apart = inputs.reshape(*before, groups, 1, channels // groups, *after)
    rows = apart.expand(*before, groups, pairs, channels // groups, *after)
    return rows.reshape(*before, pairs * channels, *after)
