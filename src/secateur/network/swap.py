"""Swapping layers in place: the small registry of what has weights that a chip can hold."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from torch import nn

from secateur.errors import ModelError
from secateur.network.attention import ChipAttention
from secateur.network.layers import ChipLayer
from secateur.network.reading import DigitalWeight, WeightSource
from secateur.network.recurrent import ChipRecurrent

Where = Callable[[str, nn.Module], bool]
MakeConverter = Callable[[], nn.Module | None]


@dataclass(frozen=True)
class PlainWeight:
    """A weight of the model before it is swapped: what a `WeightSource` is made from."""

    name: str
    value: nn.Parameter
    outputs: int
    inputs_first: bool

    @property
    def fan_in(self) -> int:
        """Inputs that add up to one output."""
        return max(self.value.numel() // self.outputs, 1)


MakeWeight = Callable[[PlainWeight], WeightSource]

_LAYERS = (
    nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d,
    nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d,
)  # fmt: skip
_RECURRENT = (nn.RNN, nn.LSTM, nn.GRU)
PRUNABLE = (*_LAYERS, *_RECURRENT, nn.MultiheadAttention)
CHIP_MODULES = (ChipLayer, ChipRecurrent, ChipAttention)


def swap_(
    model: nn.Module,
    *,
    where: Where | None,
    make_weight: MakeWeight,
    make_converter: MakeConverter,
) -> dict[str, WeightSource]:
    """Replaces every chosen layer by its chip counterpart; returns the sources by weight name.

    Nothing is replaced unless everything chosen can be. A weight that several layers share is made
    once and shared by their counterparts.

    Raises:
        ModelError: where nothing, or something that cannot be swapped, is chosen.
    """
    chosen = _chosen(model, where)
    plain = {n: w for name, module in chosen.items() for n, w in _weights(name, module).items()}
    _check_sharing(model, {id(w.value) for w in plain.values()}, chosen)
    made: dict[int, WeightSource] = {}
    for weight in plain.values():
        if id(weight.value) not in made:
            made[id(weight.value)] = make_weight(weight)
    for name, module in chosen.items():
        sources = {n: made[id(w.value)] for n, w in _weights("", module).items()}
        _place(model, module, _counterpart(module, sources, make_converter), name)
    return {name: made[id(weight.value)] for name, weight in plain.items()}


def replace_digital_(model: nn.Module, make_weight: MakeWeight) -> None:
    """Replaces every `DigitalWeight` of a model by what is made of its value, in place."""
    made: dict[int, WeightSource] = {}
    for holder in list(model.modules()):
        for key, source in holder._modules.items():
            if not isinstance(source, DigitalWeight):
                continue
            if id(source) not in made:
                shape = source.value.shape
                outputs = shape[1] if source.inputs_first else shape[0]
                plain = PlainWeight(source.name, source.value, outputs, source.inputs_first)
                made[id(source)] = make_weight(plain)
            holder._modules[key] = made[id(source)].train(source.training)


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
                "This layer is on a chip already", where=name,
                remedy="Prune once, or leave it out with `where`",
            )  # fmt: skip
        if name == "" or id(module) in inside or isinstance(module, CHIP_MODULES):
            continue
        if isinstance(module, nn.MultiheadAttention):
            inside.add(id(module.out_proj))
        asked = where(name, module) if where else isinstance(module, PRUNABLE)
        if asked and (where is None or isinstance(module, PRUNABLE) or _owns_matrix(module)):
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


def _owns_matrix(module: nn.Module) -> bool:
    return any(p is not None and p.dim() >= 2 for p in module._parameters.values())


def _check_swappable(name: str, module: nn.Module) -> None:
    kind = type(module)
    base = next((known for known in PRUNABLE if isinstance(module, known)), None)
    where = f"layer {name}, a {kind.__name__}"
    if any(isinstance(p, nn.UninitializedParameter) for p in module._parameters.values()):
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
    if kind.forward is not base.forward:
        raise ModelError(
            f"This subclass of {base.__name__} has a forward of its own", where=where,
            cause="what it computes beyond the product would be lost",
            remedy="Leave it digital with `where`, or build it from plain layers",
        )  # fmt: skip
    if any(p is not None and p.is_complex() for p in module._parameters.values()):
        raise ModelError("Complex weights have no conductances", where=where)


def _weights(name: str, module: nn.Module) -> dict[str, PlainWeight]:
    dot = f"{name}." if name else ""
    if isinstance(module, _LAYERS):
        transposed = bool(getattr(module, "transposed", False))
        groups = int(getattr(module, "groups", 1))
        weight = module.weight
        outputs = weight.shape[1] * groups if transposed else weight.shape[0]
        return {f"{dot}weight": PlainWeight(f"{dot}weight", weight, outputs, transposed)}
    found = {n: p for n, p in module.named_parameters() if "weight" in n and p.dim() == 2}
    return {f"{dot}{n}": PlainWeight(f"{dot}{n}", p, p.shape[0], False) for n, p in found.items()}


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


def _counterpart(
    module: nn.Module, sources: dict[str, WeightSource], make_converter: MakeConverter
) -> nn.Module:
    if isinstance(module, nn.MultiheadAttention):
        return ChipAttention(module, sources, converter=make_converter)
    if isinstance(module, nn.RNNBase):
        return ChipRecurrent(module, sources, converter=make_converter)
    return ChipLayer(module, sources["weight"], converter=make_converter())


def _place(model: nn.Module, old: nn.Module, new: nn.Module, name: str) -> None:
    for parent, key in list(_seats(model, old)):
        setattr(parent, key, new)
    for part in old.modules():
        for key in list(part._parameters):
            # The originals keep their settings for `detach_`, not a second copy of the weights.
            setattr(part, key, None)


def _seats(model: nn.Module, module: nn.Module) -> Iterator[tuple[nn.Module, str]]:
    for parent in model.modules():
        for key, child in parent._modules.items():
            if child is module:
                yield parent, key
