"""Model and chip together in one file; what is loaded gives the same outputs to the bit."""

import json
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeVar

from torch import Tensor, nn

from secateur.chip import Chip, ChipState, first_difference, in_words
from secateur.circuit import InputConverter
from secateur.errors import FileError, ModelError, SettingError
from secateur.network.reading import DigitalWeight
from secateur.network.search import Search
from secateur.network.tensor_file import read_tensors, write_tensors
from secateur.network.weight import ChipWeight, PrunedWeight

_HEADER = "secateur.model"
_VERSION = 1
_T = TypeVar("_T")


def save(model: nn.Module, path: str | Path) -> None:
    """Writes a model and its chip to one safetensors file, whole or not at all.

    Raises:
        ModelError: for a model with state that is no tensor.
        FileError: where the file cannot be written.
    """
    tensors, metadata = pack(model)
    write_tensors(Path(path), tensors, metadata)


def load_(model: nn.Module, path: str | Path) -> nn.Module:
    """Brings a model and its chip to what `save` has written, without a pulse.

    Args:
        model: of the same architecture, put on a chip of the same settings and seed by the same
            call (`prune_`, `program_`, `quantise_`, or none of them) as the saved one.
        path: of the file.

    Returns:
        The model, changed in place. After an error it is as it was.

    Raises:
        SettingError: for a model or chip other than the saved one; the difference is named.
        FileError: for a file that is missing, truncated or was not written by `save`.
    """
    try:
        unpack_(model, *read_tensors(Path(path)))
    except (SettingError, FileError) as error:
        raise type(error)(
            error.what, where=error.where or str(path), cause=error.cause, remedy=error.remedy
        ) from error
    return model


def pack(model: nn.Module) -> tuple[dict[str, Tensor], dict[str, str]]:
    """What `save` writes: tensors and words, to be put into a file with others.

    Tensors of the model's own state are those of `state_dict`, not copies; one that has several
    names is there once.

    Raises:
        ModelError: for a model with state that is no tensor.
    """
    tensors: dict[str, Tensor] = {}
    aliases: dict[str, str] = {}
    first: dict[Any, str] = {}
    for name, tensor in model.state_dict().items():
        if not isinstance(tensor, Tensor):
            raise ModelError(
                "This part of the model's state is no tensor and cannot be saved", where=name,
                cause="a get_extra_state that returns something else",
                remedy="Return a tensor there",
            )  # fmt: skip
        place = (tensor.data_ptr(), tensor.dtype, tensor.shape, tensor.stride())
        if tensor.numel() and place in first:
            aliases[name] = first[place]
            continue
        first[place] = name
        tensors[f"network/{name}"] = tensor
    for n, chip in enumerate(_chips(model)):
        state = chip.state()
        for name, tensor in ({} if state is None else state.tensors).items():
            tensors[f"chip/{n}/{name}"] = tensor
    header = {"version": _VERSION, "aliases": aliases, "settings": _settings(model)}
    return tensors, {_HEADER: json.dumps(header)}


def unpack_(
    model: nn.Module, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]
) -> nn.Module:
    """Brings a model and its chip to what `pack` has given; see `load_`."""
    header = header_of(metadata)
    _check_settings(_settings(model), header["settings"])
    state = {n.removeprefix("network/"): t for n, t in tensors.items() if n.startswith("network/")}
    state |= {alias: state[name] for alias, name in header["aliases"].items() if name in state}
    for name, module in model.named_modules():
        if isinstance(module, ChipWeight):
            module.expect(state.get(f"{name}.scale"))
    _check_state(model, state)
    chips = _chips(model)
    for n, chip in enumerate(chips):
        prefix = f"chip/{n}/"
        own = {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}
        if own or chip.saves:
            chip.restore(ChipState(own, header["settings"]["chips"][n]))
    with ExitStack() as stack:
        for search in _searches(model):
            stack.enter_context(search.restored())
        model.load_state_dict(state)
    return model


def header_of(metadata: Mapping[str, str]) -> dict[str, Any]:
    """Version, aliases and settings from the metadata that `pack` has given.

    Raises:
        FileError: for another file's.
    """
    try:
        header: dict[str, Any] = json.loads(metadata[_HEADER])
        version, *_ = header["version"], header["aliases"], header["settings"]
    except (KeyError, TypeError, json.JSONDecodeError) as error:
        raise FileError(
            "This file holds no model saved by secateur",
            cause="another program, or torch.save, wrote it",
            remedy="Give a file that secateur.save has written",
        ) from error
    if version != _VERSION:
        raise FileError(
            f"This model was saved in version {version} of the format, expected {_VERSION}",
            remedy="Use the version of secateur that wrote it",
        )
    return header


# --- Inside ----------------------------------------------------------------------------------


def _check_settings(here: dict[str, Any], saved: dict[str, Any]) -> None:
    for part, own in here.items():
        if found := first_difference({part: own}, {part: saved.get(part)}):
            raise SettingError(
                f"The model is not the one that was saved: {found}",
                remedy="Build, prune and seed it as the saved one",
            )


def _check_state(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    shapes = {n: [str(t.dtype), *t.shape] for n, t in model.state_dict().items()}
    saved = {n: [str(t.dtype), *t.shape] for n, t in state.items()}
    if found := first_difference(shapes, saved):
        raise SettingError(
            f"The model is not the one that was saved: {found}",
            cause="another architecture or data type",
            remedy="Build and prune it as the saved one",
        )


def _settings(model: nn.Module) -> dict[str, Any]:
    """All that decides about outputs and is in no tensor, in plain JSON."""
    chips, searches = _chips(model), _searches(model)
    found: dict[str, Any] = {}
    for name, module in model.named_modules():
        if isinstance(module, ChipWeight):
            found[name] = {
                "chip": chips.index(module.chip), "region": module.region.name,
                "circuit": in_words(module.circuit), "seed": module.seed,
                "dtype": str(module.dtype),
            }  # fmt: skip
            if module.pairs > 1:
                found[name]["pairs_per_weight"] = module.pairs
        if isinstance(module, PrunedWeight):
            found[name] |= {"grain": module.grain, "search": _place(module, searches)}
            if module.score_per != "edge":
                found[name]["score_per"] = module.score_per
        if isinstance(module, DigitalWeight):
            found[name] = {"noise": module.noise, "seed": module.seed}
        if isinstance(module, InputConverter):
            found[name] = {"input_bits": module.bits, "headroom": module.headroom}
    # In the order in which they are compared: a difference of kind explains the others.
    modules = dict(model.named_modules())
    return {
        "kinds": {name: type(modules[name]).__name__ for name in found},
        "layers": found,
        "searches": [_search(search) for search in searches],
        "chips": [chip.identity() for chip in chips],
    }


def _place(weight: PrunedWeight, searches: list[Search]) -> int | None:
    return next((n for n, search in enumerate(searches) if search is weight.search), None)


def _search(search: Search) -> dict[str, Any]:
    return {
        "rule": in_words(search.rule), "schedule": in_words(search.schedule),
        "interval": search.interval, "keep_fraction": search.keep_fractions,
    }  # fmt: skip


def _chips(model: nn.Module) -> list[Chip]:
    return _each(module.chip for module in model.modules() if isinstance(module, ChipWeight))


def _searches(model: nn.Module) -> list[Search]:
    weights = (module for module in model.modules() if isinstance(module, PrunedWeight))
    return _each(w.search for w in weights if isinstance(w.search, Search))


def _each(items: Iterable[_T]) -> list[_T]:
    """Each object once, in the order of first appearance."""
    return list({id(item): item for item in items}.values())
