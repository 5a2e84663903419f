"""Swapping layers in place for their counterparts on a chip."""

from collections.abc import Callable, Iterator, Mapping

from torch import nn

from secateur.network.attention import ChipAttention
from secateur.network.layers import ChipLayer
from secateur.network.reading import DigitalWeight, PlainValue, WeightSource
from secateur.network.recurrent import ChipRecurrent
from secateur.network.survey import CHIP_MODULES, PlainWeight, Survey, weights_of

MakeConverter = Callable[[], nn.Module | None]

# Hooks that a network has put on a layer go on to whatever takes its place.
_HOOKS = (
    "_forward_hooks", "_forward_hooks_with_kwargs", "_forward_hooks_always_called",
    "_forward_pre_hooks", "_forward_pre_hooks_with_kwargs", "_backward_hooks",
    "_backward_pre_hooks", "_is_full_backward_hook",
)  # fmt: skip


def swap_(plan: Survey, sources: list[WeightSource], make_converter: MakeConverter) -> None:
    """Replaces every layer of a survey by its chip counterpart.

    Args:
        plan: what to swap.
        sources: one for each of its weights; layers that share a weight share its source.
        make_converter: called once for each input of a layer.
    """
    made = {id(w.value): source for w, source in zip(plan.weights, sources, strict=True)}
    for module in plan.layers.values():
        own = {name: made[id(w.value)] for name, w in weights_of("", module).items()}
        new = _counterpart(module, own, make_converter).train(module.training)
        for name in _HOOKS:
            setattr(new, name, getattr(module, name))
        for parent, key in list(_seats(plan.model, module)):
            setattr(parent, key, new)
        for part in module.modules():
            for key in list(part._parameters):
                # The originals keep their settings for `detach_`, not a second copy of weights.
                setattr(part, key, None)


def swap_back_(model: nn.Module, value: PlainValue) -> int:
    """Replaces every chip layer by the plain layer it was; returns how many there were."""
    found = {id(module): module for module in _outermost(model)}
    plain = {key: module.plain(value) for key, module in found.items()}
    for parent in list(model.modules()):
        for key, child in parent._modules.items():
            if id(child) in plain:
                setattr(parent, key, plain[id(child)])
    return len(plain)


def digital_weights(model: nn.Module) -> dict[DigitalWeight, PlainWeight]:
    """The weights that `quantise_` has prepared."""
    found: dict[DigitalWeight, PlainWeight] = {}
    for source in model.modules():
        if isinstance(source, DigitalWeight):
            outputs = source.shape[1 if source.inputs_first else 0]
            layer = source.name.rpartition(".")[0]
            found[source] = PlainWeight(
                (source.name,), (layer,), source.value, outputs, source.inputs_first
            )
    return found


def replace_sources_(model: nn.Module, made: Mapping[DigitalWeight, WeightSource]) -> None:
    """Replaces weight sources by others, in place."""
    for holder in list(model.modules()):
        for key, source in holder._modules.items():
            if isinstance(source, DigitalWeight) and source in made:
                holder._modules[key] = made[source].train(source.training)


def _outermost(module: nn.Module) -> Iterator[ChipLayer | ChipRecurrent | ChipAttention]:
    for child in module.children():
        if isinstance(child, CHIP_MODULES):
            yield child
        else:
            yield from _outermost(child)


def _counterpart(
    module: nn.Module, sources: dict[str, WeightSource], make_converter: MakeConverter
) -> nn.Module:
    if isinstance(module, nn.MultiheadAttention):
        return ChipAttention(module, sources, converter=make_converter)
    if isinstance(module, nn.RNNBase):
        return ChipRecurrent(module, sources, converter=make_converter)
    return ChipLayer(module, sources["weight"], converter=make_converter())


def _seats(model: nn.Module, module: nn.Module) -> Iterator[tuple[nn.Module, str]]:
    for parent in model.modules():
        for key, child in parent._modules.items():
            if child is module:
                yield parent, key
