"""Linear layers of other libraries that go by another name."""

import sys

from torch import Tensor, nn


def is_inputs_first(layer: nn.Module) -> bool:
    """Whether it is `Conv1D` of transformers: GPT-2's linear layer, its weight (inputs, outputs).

    The library is asked only where a model can be from it: where it has been imported.
    """
    library = sys.modules.get("transformers.pytorch_utils")
    return library is not None and isinstance(layer, library.Conv1D)


def inputs_first_product(inputs: Tensor, weight: Tensor) -> Tensor:
    """The linear map of such a layer, without its bias."""
    return inputs @ weight
