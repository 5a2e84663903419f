"""Putting a model on a chip, and taking it off again."""

from collections.abc import Mapping
from fnmatch import fnmatchcase

import torch
from torch import nn

from secateur.chip import Chip
from secateur.circuit import Circuit, InputConverter, ReadPerStep
from secateur.errors import ModelError, SettingError, nearest
from secateur.keyed import generator, key_of
from secateur.network.reading import DigitalWeight, WeightSource
from secateur.network.search import Search
from secateur.network.swap import (
    CHIP_MODULES,
    MakeConverter,
    PlainWeight,
    Where,
    replace_digital_,
    swap_,
)
from secateur.network.weight import Grain, ProgrammedWeight, PrunedWeight, cells_of, weight_of_cells
from secateur.topology import Annealed, Rule, ScoreStart, TopK, initial_scores, keep_count

KeepFraction = float | Mapping[str, float]


def prune_(
    model: nn.Module,
    chip: Chip,
    *,
    keep_fraction: KeepFraction = 0.5,
    grain: Grain = "pair",
    where: Where | None = None,
    rule: Rule | None = None,
    schedule: Annealed | None = None,
    interval: int = 1,
    score_start: ScoreStart = "uniform",
    circuit: Circuit | None = None,
    input_bits: int | None = None,
    headroom: float = 4.0,
    seed: int = 0,
) -> nn.Module:
    """Replaces a model's weights by random cells of a chip, whose topology training then learns.

    In place. The trained or initial values of the weights are discarded: the chip is random. The
    scores become the parameters; biases and norms stay digital and trainable, embeddings and
    buffers stay as they are. In training mode a forward pass first brings the chip to what the
    scores ask for; in evaluation mode no pulse is sent.

    Args:
        model: any module; its Linear, Conv1d/2d/3d, ConvTranspose1d/2d/3d, RNN, LSTM, GRU and
            MultiheadAttention layers are pruned.
        chip: on which their weights are placed and formed.
        keep_fraction: share of the formed edges to keep, of each weight; or a mapping from weight
            or layer names (with * and ?) to shares, the first that matches counts.
        grain: "pair" prunes weights, "cell" prunes either cell of a weight on its own.
        where: (name, module) -> bool chooses the layers; all that can be, where None.
        rule: of selection; top-k of |score| in each weight where None.
        schedule: of the kept fraction over the mask updates.
        interval: steps from mask update to mask update.
        score_start: how scores begin, see `topology.initial_scores`.
        circuit: level of fidelity; one noisy read per step and weight where None.
        input_bits: resolution of the converters at the input lines; None leaves inputs as they
            are.
        headroom: full scale of a converter over its inputs' root mean square.
        seed: of the scores and of the read noise.

    Returns:
        The model.

    Raises:
        ModelError: for layers that cannot be pruned; the model is unchanged then.
        SettingError: for shares outside (0, 1] and names that match nothing.
        ChipError: where the chip has no room.
    """
    search = Search(
        chip, rule=rule or TopK(), schedule=schedule or Annealed(), interval=interval
    )
    level = circuit or ReadPerStep()
    used: set[str] = set()

    def make(plain: PlainWeight) -> WeightSource:
        share = _share(keep_fraction, plain.name, used)
        keep_count(share, plain.value.numel())
        weight = _pruned(
            plain, chip, search, share, grain=grain, start=score_start, circuit=level, seed=seed
        )
        return weight

    _check_shares(keep_fraction)
    swap_(model, where=where, make_weight=make, make_converter=_converters(input_bits, headroom))
    if isinstance(keep_fraction, Mapping) and (idle := set(keep_fraction) - used):
        names = [weight.region.name for weight in search.weights]
        raise SettingError(
            f"keep_fraction names {sorted(idle)[0]!r}, which matches no weight",
            remedy=nearest(sorted(idle)[0], names),
        )
    return model


def program_(
    model: nn.Module,
    chip: Chip,
    *,
    where: Where | None = None,
    tolerance: float = 0.02,
    attempts: int = 10,
    circuit: Circuit | None = None,
    input_bits: int | None = None,
    headroom: float = 4.0,
    seed: int = 0,
) -> nn.Module:
    """Writes a model's trained weights to a chip the conventional way, each cell verified.

    In place. The largest |weight| of a layer takes the technology's high conductance; a weight's
    sign decides which cell of its pair carries it. A model that `quantise_` has prepared keeps the
    converters it was trained with. Arguments as `prune_` and
    `Chip.write_verify`. Weights are no parameters afterwards; biases and norms are.
    """
    level = circuit or ReadPerStep()

    def make(plain: PlainWeight) -> WeightSource:
        return _written(
            plain, chip, tolerance=tolerance, attempts=attempts, circuit=level, seed=seed
        )

    if any(isinstance(module, DigitalWeight) for module in model.modules()):
        replace_digital_(model, make)
    else:
        converters = _converters(input_bits, headroom)
        swap_(model, where=where, make_weight=make, make_converter=converters)
    return model


def quantise_(
    model: nn.Module,
    *,
    input_bits: int | None,
    weight_noise: float = 0.0,
    headroom: float = 4.0,
    where: Where | None = None,
    seed: int = 0,
) -> nn.Module:
    """Gives a digital model the chip's converters, and noise on its weights in training.

    In place; weights stay trainable parameters. The digital baseline with quantised activations,
    and, with `weight_noise` (over the largest |weight| of a layer), hardware-aware training.
    """

    def make(plain: PlainWeight) -> WeightSource:
        return DigitalWeight(
            plain.value, noise=weight_noise, seed=seed, name=plain.name,
            inputs_first=plain.inputs_first,
        )  # fmt: skip

    swap_(model, where=where, make_weight=make, make_converter=_converters(input_bits, headroom))
    return model


def detach_(model: nn.Module) -> nn.Module:
    """Turns a model on a chip back into plain digital layers, with the weights as last read.

    In place; converters are dropped, nothing depends on the chip any more.

    Raises:
        ModelError: where no layer is on a chip.
    """
    found = [m for m in model.modules() if isinstance(m, CHIP_MODULES)]
    if not found:
        raise ModelError("No layer of this model is on a chip", remedy="Nothing to detach")
    plain = {id(module): module.plain() for module in found}
    for parent in list(model.modules()):
        for key, child in parent._modules.items():
            if child is not None and id(child) in plain:
                setattr(parent, key, plain[id(child)])
    return model


def pruned_weights(model: nn.Module) -> dict[str, PrunedWeight]:
    """The pruned weights of a model by name, each once."""
    found = (module for module in model.modules() if isinstance(module, PrunedWeight))
    return {weight.region.name: weight for weight in found}


def _written(
    plain: PlainWeight, chip: Chip, *, tolerance: float, attempts: int, circuit: Circuit, seed: int
) -> ProgrammedWeight:
    region = chip.place(plain.name, tuple(plain.value.shape), inputs_first=plain.inputs_first)
    value, law = plain.value.detach().float(), chip.technology
    chip.to(value.device)
    largest = float(value.abs().amax()) or 1.0
    swing = law.high_conductance - law.low_conductance
    sides = torch.stack([value, -value], dim=-1).clamp_min(0.0)
    targets = law.low_conductance + swing * sides.reshape(-1) / largest
    cells = torch.arange(region.cells.start, region.cells.stop, device=value.device)
    formed = chip.conducting(cells)
    chip.write_verify(cells[formed], targets[formed], tolerance=tolerance, attempts=attempts)
    return ProgrammedWeight(chip, region, circuit=circuit, gain=largest / swing, seed=seed)


def _pruned(
    plain: PlainWeight, chip: Chip, search: Search, share: float, *, grain: Grain,
    start: ScoreStart, circuit: Circuit, seed: int,
) -> PrunedWeight:  # fmt: skip
    region = chip.place(plain.name, tuple(plain.value.shape), inputs_first=plain.inputs_first)
    target = plain.value.device
    chip.to(target)
    formed = chip.status(region) != chip.PRISTINE
    available = formed if grain == "cell" else formed.any(dim=-1)
    edges = torch.arange(available.numel(), device=target)
    cells = cells_of(edges, grain=grain, first_cell=region.first_cell)
    read = chip.read_back(cells.view(-1)).view_as(cells)
    kept = weight_of_cells(read, edges).view(available.shape) * available
    draws = generator(key_of(seed, "scores", plain.name))
    scores = initial_scores(start, kept_weight=kept, fan_in=plain.fan_in, generator=draws)
    weight = PrunedWeight(
        chip, region, circuit=circuit, gain=1.0, seed=seed, grain=grain, available=available,
        scores=scores * available, mask=available.clone(), kept_weight=kept,
    )  # fmt: skip
    weight.training = True
    search.add(weight, share)
    _prune_first(weight, search, share)
    _scale(weight, plain.fan_in)
    return weight


def _prune_first(weight: PrunedWeight, search: Search, share: float) -> None:
    """The first mask: formed edges are all kept, so that only RESETs are needed."""
    count = keep_count(search.schedule.keep_fraction(share, 0), weight.edges)
    (mask,) = search.rule.first([weight.scores], [count])
    search.deploy([*(w.mask for w in search.weights[:-1]), mask])
    weight.flips = 0


def _scale(weight: PrunedWeight, fan_in: int) -> None:
    """Sets 1 / g0 so that the pruned weights have the spread of a Kaiming-normal layer."""
    known = weight.plain()
    gain = float((2.0 / fan_in) ** 0.5 / known.square().mean().sqrt().clamp_min(1e-30))
    weight.set_gain(gain)


def _converters(bits: int | None, headroom: float) -> MakeConverter:
    return lambda: None if bits is None else InputConverter(bits, headroom=headroom)


def _share(keep_fraction: KeepFraction, name: str, used: set[str]) -> float:
    if not isinstance(keep_fraction, Mapping):
        return keep_fraction
    layer = name.rpartition(".")[0]
    for pattern, share in keep_fraction.items():
        if fnmatchcase(name, pattern) or fnmatchcase(layer, pattern):
            used.add(pattern)
            return share
    raise SettingError(
        f"keep_fraction has no entry for {name!r}",
        remedy='Add one, or "*" for all the others',
    )


def _check_shares(keep_fraction: KeepFraction) -> None:
    shares = keep_fraction.values() if isinstance(keep_fraction, Mapping) else [keep_fraction]
    for share in shares:
        keep_count(share, 1 << 40)
