"""Which layers of a model go on a chip, and whether they can."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn
from torch.nn.utils import parametrize

from secateur.errors import ModelError
from secateur.network.attention import ChipAttention
from secateur.network.foreign import is_inputs_first
from secateur.network.layers import ChipLayer
from secateur.network.recurrent import ChipRecurrent

Where = Callable[[str, nn.Module], bool]

LAYERS = (
    nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d,
    nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d,
)  # fmt: skip
_RECURRENT = (nn.RNN, nn.LSTM, nn.GRU)
PRUNABLE = (*LAYERS, *_RECURRENT, nn.MultiheadAttention)
# Products of inputs and weights too: to leave them digital is for `where` to say.
_UNPRUNABLE = (nn.Bilinear, nn.RNNCellBase)
CHIP_MODULES = (ChipLayer, ChipRecurrent, ChipAttention)


@dataclass(frozen=True)
class PlainWeight:
    """A weight of the model before it is swapped: what a `WeightSource` is made from.

    Args:
        names: of the weight, one for each layer that shares it.
        layers: names of these layers.
        value: the parameter.
        outputs: how many sums it takes part in.
        inputs_first: True where its first axis counts inputs: transposed convolutions, and GPT-2's
            linear layers.
    """

    names: tuple[str, ...]
    layers: tuple[str, ...]
    value: nn.Parameter
    outputs: int
    inputs_first: bool

    @property
    def name(self) -> str:
        """The first of its names."""
        return self.names[0]

    @property
    def fan_in(self) -> int:
        """Inputs that add up to one output."""
        return max(self.value.numel() // self.outputs, 1)


@dataclass(frozen=True)
class Survey:
    """What is to be swapped: layers by name, and their weights, each once."""

    model: nn.Module
    layers: dict[str, nn.Module]
    weights: list[PlainWeight]


def survey(model: nn.Module, where: Where | None) -> Survey:
    """Finds what to swap; the model is left as it is.

    Raises:
        ModelError: where nothing, or something that cannot be swapped, is chosen.
    """
    layers = _chosen(model, where)
    found: dict[int, PlainWeight] = {}
    for layer, module in layers.items():
        for weight in weights_of(layer, module).values():
            first = found.get(id(weight.value))
            if first is None:
                found[id(weight.value)] = weight
                continue
            if first.inputs_first != weight.inputs_first:
                raise ModelError(
                    f"{first.name} and {weight.name} are one weight, used in opposite directions",
                    cause="a convolution and a transposed one that share their weight",
                    remedy="Untie them, or leave both digital with `where`",
                )
            found[id(weight.value)] = PlainWeight(
                first.names + weight.names, first.layers + weight.layers, first.value,
                first.outputs, first.inputs_first,
            )  # fmt: skip
    _check_sharing(model, set(found), layers)
    return Survey(model, layers, list(found.values()))


def weights_of(layer: str, module: nn.Module) -> dict[str, PlainWeight]:
    """The weights of a layer by their names inside it."""
    transposed = getattr(module, "transposed", False) or is_inputs_first(module)
    groups = getattr(module, "groups", 1)
    return {
        name: PlainWeight(
            (f"{layer}.{name}",), (layer,), value,
            value.shape[1] * groups if transposed else value.shape[0], transposed,
        )
        for name, value in module.named_parameters(remove_duplicate=False)
        if "weight" in name and value.dim() >= 2
    }  # fmt: skip


def _chosen(model: nn.Module, where: Where | None) -> dict[str, nn.Module]:
    if isinstance(model, PRUNABLE):
        raise ModelError(
            f"The model itself is a {type(model).__name__}, which cannot be replaced in place",
            remedy="Wrap it: nn.Sequential(layer)",
        )
    chosen: dict[str, nn.Module] = {}
    inside: set[int] = set()
    for name, module in model.named_modules():
        if isinstance(module, CHIP_MODULES) and (where is None or where(name, module)):
            raise ModelError(
                "This layer has been swapped before, by prune_, program_ or quantise_", where=name,
                remedy="Swap once, or leave it out with `where`",
            )  # fmt: skip
        if name == "" or id(module) in inside or isinstance(module, CHIP_MODULES):
            continue
        if isinstance(module, nn.MultiheadAttention):
            inside.add(id(module.out_proj))
        meant = _can_be(module) or isinstance(module, _UNPRUNABLE)
        asked = where(name, module) if where else meant
        if asked and (meant or _owns_matrix(module)):
            _check_swappable(name, module)
            chosen[name] = module
    if not chosen:
        kinds = sorted({type(m).__name__ for _, m in model.named_modules() if _owns_matrix(m)})
        raise ModelError(
            "Nothing in this model would be on the chip"
            + (f"; layers with weights: {', '.join(kinds)}" if kinds else ""),
            cause="`where` chose no layer, or the model has none of a kind that can be swapped",
            remedy="Kinds that can: " + ", ".join(kind.__name__ for kind in PRUNABLE),
        )
    return chosen


def _can_be(module: nn.Module) -> bool:
    return isinstance(module, PRUNABLE) or is_inputs_first(module)


def _owns_matrix(module: nn.Module) -> bool:
    parameters = [p for p in module._parameters.values() if p is not None]
    return any(isinstance(p, nn.UninitializedParameter) or p.dim() >= 2 for p in parameters)


def _check_swappable(name: str, module: nn.Module) -> None:
    kind = type(module)
    known: type[nn.Module] | None = next((k for k in PRUNABLE if isinstance(module, k)), None)
    base = kind if is_inputs_first(module) else known
    where = f"layer {name}, a {kind.__name__}"
    parameters = list(module.parameters())
    if any(isinstance(p, nn.UninitializedParameter) for p in parameters):
        raise ModelError(
            "A lazy layer has no weights yet", where=where,
            remedy="Run one batch through the model before pruning it",
        )  # fmt: skip
    if base is None:
        raise ModelError(
            "The weights of this kind of layer cannot be put on a chip", where=where,
            remedy="Leave it digital with `where`. Kinds that can: "
            + ", ".join(known.__name__ for known in PRUNABLE),
        )  # fmt: skip
    if _computes_weight(module):
        raise ModelError(
            "The weight of this layer is computed from others", where=where,
            cause="weight norm, spectral norm or torch.nn.utils.prune",
            remedy="Remove that first, or leave the layer digital with `where`",
        )  # fmt: skip
    own = [n for n in ("forward", "_conv_forward") if _method(kind, n) is not _method(base, n)]
    if own:
        raise ModelError(
            f"This subclass of {base.__name__} has a {own[0]} of its own", where=where,
            cause="what it computes beyond the product would be lost",
            remedy="Leave it digital with `where`, or build it from plain layers",
        )  # fmt: skip
    if any(p.is_complex() for p in parameters):
        raise ModelError("Complex weights have no conductances", where=where)


def _method(kind: type, name: str) -> object:
    return getattr(kind, name, None)


def _computes_weight(module: nn.Module) -> bool:
    """Whether a parametrization or a hook puts a plain tensor in place of a parameter."""
    hooked = any("weight" in n and n.endswith(("_orig", "_g", "_v")) for n in _names(module))
    return hooked or any(parametrize.is_parametrized(part) for part in module.modules())


def _names(module: nn.Module) -> list[str]:
    return [name for name, _ in module.named_parameters()]


def _check_sharing(model: nn.Module, taken: set[int], chosen: dict[str, nn.Module]) -> None:
    inside = {id(part) for module in chosen.values() for part in module.modules()}
    for name, module in model.named_modules():
        if id(module) in inside:
            continue
        for key, parameter in module._parameters.items():
            if parameter is not None and id(parameter) in taken:
                raise ModelError(
                    "A weight to be put on the chip is shared with a layer that stays digital",
                    where=f"{name}.{key}, in a {type(module).__name__}",
                    cause="tied weights, as between an embedding and the output layer",
                    remedy="Untie them, or leave both layers digital with `where`",
                )
