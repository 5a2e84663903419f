"""What a search has learnt: how a mask differs from one drawn at random with as many edges.

Masks are taken as (outputs, inputs, ...): what comes after the first two axes, kernel positions or
the two cells of a pair, belongs to an input as far as degrees are concerned.
"""

from torch import Tensor

from secateur.errors import SettingError


def degrees(mask: Tensor) -> tuple[Tensor, Tensor]:
    """Kept edges of every output and of every input.

    Args:
        mask: boolean (outputs, inputs, ...).

    Returns:
        int64 (outputs,) and (inputs,).

    Raises:
        SettingError: for a mask without inputs and outputs.
    """
    if mask.dim() < 2:
        raise SettingError(f"A mask of shape {tuple(mask.shape)} has no inputs and outputs")
    per_connection = mask.flatten(2).sum(dim=2) if mask.dim() > 2 else mask.long()
    return per_connection.sum(dim=1), per_connection.sum(dim=0)


def dispersion(degree: Tensor, *, edges: int) -> float:
    """Variance of degrees over that of a random mask with as many kept edges.

    A random mask's degree is hypergeometric: n of N edges are a node's, K are kept, so that its
    variance is n K/N (1 - K/N) (N - n)/(N - 1). 1 means as at random, more means that the search
    prefers some nodes, less that it deals out evenly. Not a number where nothing can vary.

    Args:
        degree: (nodes,) of one side of one weight.
        edges: N, kept or not, of the whole weight.
    """
    own = edges / len(degree)
    share = float(degree.sum()) / edges
    expected = own * share * (1.0 - share) * (edges - own) / max(edges - 1, 1)
    if expected == 0.0:
        return float("nan")
    return float(degree.double().var(correction=0)) / expected


def agreement(one: Tensor, other: Tensor) -> float:
    """How much two masks agree beyond chance: 1 for equal ones, 0 on average for independent ones.

    The share of the first mask's kept edges that the second keeps too, less the share q it would
    keep by chance, over 1 - q (Cohen's kappa where both keep as many). Not a number where one of
    them keeps nothing or everything.

    Args:
        one: boolean, any shape.
        other: boolean, the same shape.

    Raises:
        SettingError: for masks of different shapes.
    """
    if one.shape != other.shape:
        raise SettingError(
            f"Masks of shapes {tuple(one.shape)} and {tuple(other.shape)} cannot be compared",
            cause="two networks, or two grains",
            remedy="Compare the masks of one weight",
        )
    chance = float(other.double().mean())
    kept = int(one.sum())
    if not kept or chance == 1.0:
        return float("nan")
    return (int((one & other).sum()) / kept - chance) / (1.0 - chance)


def kept_by_position(mask: Tensor) -> Tensor:
    """The kept share at each position of a convolution's kernel: its receptive field.

    Args:
        mask: boolean (outputs, inputs, *kernel).

    Returns:
        (*kernel), float64; a single number for a mask without a kernel.
    """
    return mask.double().mean(dim=(0, 1))
