"""Putting a model on a chip, and taking it off again."""

import copy
from collections.abc import Sequence
from typing import get_args

import torch
from torch import nn

from secateur.chip import Chip
from secateur.circuit import Circuit, InputConverter, ReadPerStep
from secateur.errors import ChipError, ModelError, SettingError, nearest
from secateur.keyed import generator, key_of
from secateur.network.edges import Grain, cells_of, weight_of_cells
from secateur.network.multiple import summed, with_pairs
from secateur.network.per_weight import KeepFraction, PairsPerWeight, pairs_of, shares_of
from secateur.network.reading import DigitalWeight, WeightSource
from secateur.network.search import Search
from secateur.network.survey import PlainWeight, Where, survey
from secateur.network.swap import (
    MakeConverter,
    digital_weights,
    replace_sources_,
    swap_,
    swap_back_,
)
from secateur.network.weight import ProgrammedWeight, PrunedWeight
from secateur.topology import (
    Annealed,
    Rule,
    ScorePer,
    ScoreStart,
    TopK,
    initial_scores,
    signed_scores,
)


def prune_(
    model: nn.Module,
    chip: Chip,
    *,
    keep_fraction: KeepFraction = 0.5,
    grain: Grain = "pair",
    pairs_per_weight: PairsPerWeight = 1,
    where: Where | None = None,
    rule: Rule | None = None,
    schedule: Annealed | None = None,
    interval: int = 1,
    score_start: ScoreStart = "uniform",
    score_per: ScorePer = "edge",
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
        grain: "pair" prunes pairs, "cell" prunes either cell of a pair on its own.
        pairs_per_weight: pairs that a weight is the sum of: each input then drives as many rows of
            the array. More of them, more values that a weight can have. A mapping as keep_fraction
            gives layers different numbers.
        where: (name, module) -> bool chooses the layers; all that can be, where None.
        rule: of selection; top-k of |score| in each weight where None.
        schedule: of the kept fraction over the mask updates.
        interval: steps from mask update to mask update.
        score_start: how scores begin, see `topology.initial_scores` and `signed_scores`.
        score_per: "edge" gives each edge a score; "weight" gives each weight one, of cells alone:
            its sign chooses which cell of a pair may conduct, its size how many of the pairs do.
        circuit: level of fidelity; one noisy read per step and weight where None.
        input_bits: resolution of the converters at the input lines; None leaves inputs as they
            are.
        headroom: full scale of a converter over its inputs' root mean square.
        seed: of the scores and of the read noise.

    Returns:
        The model.

    Raises:
        ModelError: for layers that cannot be pruned.
        SettingError: for shares outside (0, 1], names that match nothing, unknown words,
            fewer than one pair a weight; for one score a weight with pairs as edges, or with
            more than 0.4 of the cells to keep.
        ChipError: where the chip has no room, or forming it has formed nothing of a weight.

    After an error the model is as it was, and so is the chip, but where it had to be formed to
    find the error. A deep copy of the model is a snapshot: it has a chip of its own in the same
    state. Layers keep the names of their weights and biases; under a weight's name are now
    `scores`, `mask` and what else `PrunedWeight` lists.
    """
    level, make_converter = circuit or ReadPerStep(), _converters(input_bits, headroom)
    search = Search(chip, rule=rule or TopK(), schedule=schedule or Annealed(), interval=interval)
    _check_word("grain", grain, get_args(Grain))
    _check_word("score_start", score_start, get_args(ScoreStart))
    _check_word("score_per", score_per, get_args(ScorePer))
    plan = survey(model, where)
    pairs = pairs_of(pairs_per_weight, plan.weights)
    shares = _shares(plan.weights, keep_fraction, grain=grain, pairs=pairs, per=score_per)
    _check_room(chip, plan.weights, pairs)
    sources = {
        plain.name: _pruned(
            plain,
            chip,
            grain=grain,
            pairs=count,
            start=score_start,
            per=score_per,
            circuit=level,
            seed=seed,
        )
        for plain, count in _by_height(plan.weights, pairs)
    }
    share_of = {plain.name: share for plain, share in zip(plan.weights, shares, strict=True)}
    for name, weight in sources.items():
        search.add(weight, share_of[name])
    search.begin()
    for plain in plan.weights:
        _scale(sources[plain.name], plain.fan_in)
    swap_(plan, [sources[plain.name] for plain in plan.weights], make_converter)
    return model


def check_shares(
    model: nn.Module, keep_fraction: KeepFraction, *, grain: Grain = "pair",
    pairs_per_weight: PairsPerWeight = 1, score_per: ScorePer = "edge",
    where: Where | None = None,
) -> None:  # fmt: skip
    """Refuses shares that `prune_` would refuse, without a chip; arguments as there.

    Raises:
        ModelError: for layers that cannot be pruned.
        SettingError: for shares outside (0, 1], shares that keep no edge of a weight, names that
            match nothing, fewer than one pair a weight, and what one score a weight rules out.
    """
    weights = survey(model, where).weights
    pairs = pairs_of(pairs_per_weight, weights)
    _shares(weights, keep_fraction, grain=grain, pairs=pairs, per=score_per)


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
    level, make_converter = circuit or ReadPerStep(), _converters(input_bits, headroom)
    prepared = digital_weights(model)
    if prepared and (where is not None or input_bits is not None):
        raise SettingError(
            "This model was prepared by quantise_, which has settled its layers and converters",
            remedy="Leave out `where` and `input_bits`",
        )
    plan = None if prepared else survey(model, where)
    weights = list(prepared.values()) if plan is None else plan.weights
    for plain in weights:
        if not bool(plain.value.isfinite().all()):
            raise ModelError("This weight has values that are no finite numbers", where=plain.name)
    single = [1] * len(weights)
    _check_room(chip, weights, single)
    written = {
        plain.name: _written(
            plain, chip, tolerance=tolerance, attempts=attempts, circuit=level, seed=seed
        )
        for plain, _ in _by_height(weights, single)
    }
    sources: list[WeightSource] = [written[plain.name] for plain in weights]
    if plan is None:
        replace_sources_(model, dict(zip(prepared, sources, strict=True)))
    else:
        swap_(plan, sources, make_converter)
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

    plan = survey(model, where)
    sources: list[WeightSource] = [
        DigitalWeight(
            plain.value, noise=weight_noise, seed=seed, name=plain.name,
            inputs_first=plain.inputs_first,
        )
        for plain in plan.weights
    ]  # fmt: skip
    swap_(plan, sources, _converters(input_bits, headroom))
    return model


def detach_(model: nn.Module) -> nn.Module:
    """Turns a model on a chip back into plain digital layers, with weights as one more read gives.

    In place; converters are dropped, nothing depends on the chip any more. Layers that shared a
    weight share it again.

    Raises:
        ModelError: where no layer is on a chip.
    """
    values: dict[WeightSource, nn.Parameter] = {}

    def value(source: WeightSource) -> nn.Parameter:
        if source not in values:
            values[source] = nn.Parameter(source.plain())
        return values[source]

    if not swap_back_(model, value):
        raise ModelError(
            "No layer inside this model is on a chip",
            cause="it was detached before, or is a single layer, which has nothing to sit in",
            remedy="Detach the model that was pruned, programmed or quantised",
        )
    return model


def settle_(model: nn.Module) -> nn.Module:
    """Brings the chip to what a model's scores ask for now; returns the model.

    Training does so before each forward pass, so that the last optimizer step of a loop is not
    on the chip yet. Sends pulses, counted as any; does nothing where no weight is pruned.
    """
    searches = {id(w.search): w.search for w in pruned_weights(model).values() if w.search}
    for search in searches.values():
        search.settle_now()
    return model


def is_due(model: nn.Module) -> bool:
    """Whether the next forward pass in training will send pulses to the chip.

    Where a chip cannot be brought back, this is the moment to save what the model is.
    """
    searches = {id(w.search): w.search for w in pruned_weights(model).values() if w.search}
    return any(search.due() for search in searches.values())


def pruned_weights(model: nn.Module) -> dict[str, PrunedWeight]:
    """The pruned weights of a model, each once, by the names they had when they were pruned.

    Where parts of a model were pruned on their own and names clash, by their paths in the model.
    """
    found = {n: m for n, m in model.named_modules() if isinstance(m, PrunedWeight)}
    named = {weight.region.name: weight for weight in found.values()}
    return named if len(named) == len(found) else found


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
    return ProgrammedWeight(
        chip, region, circuit=circuit, gain=largest / swing, seed=seed, like=plain.value
    )


def _pruned(
    plain: PlainWeight, chip: Chip, *, grain: Grain, pairs: int, start: ScoreStart, per: ScorePer,
    circuit: Circuit, seed: int,
) -> PrunedWeight:  # fmt: skip
    shape = with_pairs(tuple(plain.value.shape), pairs, inputs_first=plain.inputs_first)
    region = chip.place(plain.name, shape, inputs_first=plain.inputs_first)
    target = plain.value.device
    chip.to(target)
    formed = chip.status(region) != chip.PRISTINE
    available = formed if grain == "cell" else formed.any(dim=-1)
    if not bool(available.any()):
        raise ChipError(
            "No cell of this weight was formed, so that nothing can be kept", where=plain.name,
            cause="a forming voltage far below the technology's breakdown voltage",
            remedy="Form a new chip with a higher voltage or fraction; this one has been pulsed",
        )  # fmt: skip
    edges = torch.arange(available.numel(), device=target)
    cells = cells_of(edges, grain=grain, first_cell=region.first_cell)
    read = chip.read_back(cells.view(-1)).view_as(cells)
    kept = weight_of_cells(read, edges).view(available.shape) * available
    draws = generator(key_of(seed, "scores", plain.name))
    if per == "weight":
        whole = summed(kept.sum(dim=-1), pairs, inputs_first=plain.inputs_first)
        scores = signed_scores(start, weight=whole, fan_in=plain.fan_in, generator=draws)
    else:
        fan_in = pairs * plain.fan_in
        scores = initial_scores(start, kept_weight=kept, fan_in=fan_in, generator=draws)
        scores *= available
    return PrunedWeight(
        chip, region, circuit=circuit, gain=1.0, seed=seed, like=plain.value, grain=grain,
        available=available, scores=scores, mask=available.clone(), kept_weight=kept, pairs=pairs,
        score_per=per,
    )  # fmt: skip


def _scale(weight: PrunedWeight, fan_in: int) -> None:
    """Sets 1 / g0 so that the pruned weights have the spread of a Kaiming-normal layer."""
    known = weight.plain().float()
    gain = float((2.0 / fan_in) ** 0.5 / known.square().mean().sqrt().clamp_min(1e-30))
    weight.set_gain(gain)


def _by_height(
    weights: Sequence[PlainWeight], pairs: Sequence[int]
) -> list[tuple[PlainWeight, int]]:
    """In the order of placement: the tallest first, beside which the lower ones find room."""
    both = zip(weights, pairs, strict=True)
    return sorted(both, key=lambda one: -one[0].fan_in * one[1])


def _shares(
    weights: Sequence[PlainWeight], keep_fraction: KeepFraction, *, grain: Grain,
    pairs: Sequence[int], per: ScorePer,
) -> list[float]:  # fmt: skip
    if per == "weight" and grain != "cell":
        raise SettingError(
            f"score_per is {per!r} with the grain {grain!r}",
            cause="the sign of a weight's score chooses a cell of each pair, which are then edges",
            remedy="Set the grain to 'cell', or give each edge its score",
        )
    edges_a_pair = 2 if grain == "cell" else 1
    edges = [
        edges_a_pair * count * plain.value.numel()
        for plain, count in zip(weights, pairs, strict=True)
    ]
    shares = shares_of(keep_fraction, weights, edges=edges)
    for plain, share in zip(weights, shares, strict=True):
        # Near a half, cells of the other sign would fill the count up and stay, in a dead band.
        if per == "weight" and share > 0.4:
            raise SettingError(
                f"keep_fraction is {share} with one score a weight", where=plain.name,
                cause="its sign lets one cell of each pair conduct, which is half of them",
                remedy="Give 0.4 or less, such as 0.2",
            )  # fmt: skip
    return shares


def _check_room(chip: Chip, weights: Sequence[PlainWeight], pairs: Sequence[int]) -> None:
    """Places all on a copy first: a chip that is too small must not be formed in part."""
    trial, needed = copy.deepcopy(chip.placement), 0
    for plain, count in _by_height(weights, pairs):
        shape = with_pairs(tuple(plain.value.shape), count, inputs_first=plain.inputs_first)
        trial.place(plain.name, shape, inputs_first=plain.inputs_first)
        needed += count * plain.value.numel()
    chip.expect(needed)


def _check_word(name: str, word: str, known: Sequence[str]) -> None:
    if word not in known:
        raise SettingError(f"{name} is {word!r}", remedy=nearest(str(word), known))


def _converters(bits: int | None, headroom: float) -> MakeConverter:
    def make() -> InputConverter | None:
        return None if bits is None else InputConverter(bits, headroom=headroom)

    # The settings are checked before anything is touched.
    make()
    return make
