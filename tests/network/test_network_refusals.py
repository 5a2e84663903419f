"""What cannot be done is refused by name, and leaves model and chip as they were."""

import pytest
import torch
from networks import Holder, batches, perceptron, pruned, train, twin
from torch import nn
from torch.nn.utils import prune

from secateur.chip import FixedVoltage, Geometry, SimulatedChip
from secateur.errors import ChipError, ModelError, SettingError
from secateur.network import detach_, program_, prune_, pruned_weights, quantise_


class Scaled(nn.Linear):
    def forward(self, inputs):
        return 2.0 * super().forward(inputs)


class Standardised(nn.Conv1d):
    def _conv_forward(self, inputs, weight, bias):
        return super()._conv_forward(inputs, weight - weight.mean(), bias)


class Alike(nn.Linear):
    """A subclass that computes what a linear layer computes."""


class Tied(nn.Module):
    """An embedding that shares its weight with the output layer."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(7, 5)
        self.hidden = nn.Linear(5, 5)
        self.out = nn.Linear(5, 7)
        self.out.weight = self.embed.weight


def conv_and_transposed() -> nn.Module:
    model = nn.Sequential(nn.Conv1d(4, 6, 3), nn.ConvTranspose1d(6, 4, 3))
    model[1].weight = model[0].weight
    return model


def weight_normed(layer: nn.Module) -> nn.Module:
    return nn.utils.parametrizations.weight_norm(layer)


def masked(layer: nn.Module) -> nn.Module:
    return prune.l1_unstructured(layer, "weight", 0.5)


EMBEDDING = {"where": lambda name, module: isinstance(module, nn.Embedding | nn.Linear)}
BILINEAR = {"where": lambda name, module: True}

MODELS = {
    "lazy layer": (nn.Sequential(nn.LazyLinear(3)), {}, "lazy layer has no weights yet"),
    "own forward": (nn.Sequential(Scaled(3, 2)), {}, "subclass of Linear has a forward"),
    "bilinear beside a linear layer": (
        nn.Sequential(nn.Linear(3, 2), nn.Bilinear(3, 2, 2)), {}, "layer 1, a Bilinear"
    ),
    "recurrent cell": (nn.Sequential(nn.Linear(3, 2), nn.LSTMCell(3, 2)), {}, "1, a LSTMCell"),
    "own convolution": (nn.Sequential(Standardised(3, 2, 1)), {}, "_conv_forward of its own"),
    "weight norm": (nn.Sequential(weight_normed(nn.Linear(3, 2))), {}, "computed from others"),
    "torch's pruning": (nn.Sequential(masked(nn.Linear(3, 2))), {}, "computed from others"),
    "complex": (nn.Sequential(nn.Linear(3, 2, dtype=torch.complex64)), {}, "Complex"),
    "tied embedding": (Tied(), {}, "shared with a layer that stays digital.*embed.weight"),
    "embedding asked for": (Tied(), EMBEDDING, "cannot be put on a chip.*embed, a Embedding"),
    "bilinear asked for": (nn.Sequential(nn.Bilinear(2, 3, 4)), BILINEAR, "Kinds that can: Linear"),
    "tied both ways": (conv_and_transposed(), {}, "opposite directions"),
    "nothing": (nn.Sequential(nn.ReLU(), nn.BatchNorm1d(3)), {}, "Nothing in this model"),
    "nothing but embeddings": (nn.Sequential(nn.Embedding(3, 2)), {}, "with weights: Embedding"),
    "nothing chosen": (perceptron(), {"where": lambda *_: False}, "`where` chose no layer"),
    "single layer": (nn.Linear(3, 2), {}, "Wrap it"),
    "pruned before": (pruned(), {}, "swapped before"),
    "quantised before": (quantise_(perceptron(), input_bits=4), {}, "swapped before"),
}  # fmt: skip

SETTINGS = {
    "share of none": ({"keep_fraction": 0.0}, "above 0 and up to 1"),
    "share above one": ({"keep_fraction": 1.5}, "above 0 and up to 1"),
    "negative share": ({"keep_fraction": {"*": -0.1}}, "above 0 and up to 1"),
    "not a number": ({"keep_fraction": float("nan")}, "above 0 and up to 1"),
    "a word": ({"keep_fraction": "a"}, "keep_fraction is 'a', but a share above 0"),
    "several": ({"keep_fraction": [0.5, 0.4]}, "above 0 and up to 1"),
    "a word in a table": ({"keep_fraction": {"0": 0.5, "*": "a"}}, r"is 'a', .*the entry '\*'"),
    "nothing in a table": ({"keep_fraction": {"*": None}}, "is None, but a share above 0"),
    "a number as a name": ({"keep_fraction": {9: 0.5, "*": 0.5}}, "names 9, which matches no"),
    "too small a share": ({"keep_fraction": 0.001}, "keeps none of"),
    "too small for one": ({"keep_fraction": {"0": 0.5, "2": 0.001}}, "keeps none of 96"),
    "unknown name": ({"keep_fraction": {"0": 0.5, "3": 0.5, "*": 0.5}}, "'3', which matches no"),
    "close name": ({"keep_fraction": {"2.wieght": 0.5, "*": 0.5}}, "Did you mean '2.weight'"),
    "no entry": ({"keep_fraction": {"0": 0.5}}, "no entry for '2.weight'"),
    "hidden entry": ({"keep_fraction": {"*": 0.5, "2": 0.1}}, "entry before it matches"),
    "half a pair": ({"pairs_per_weight": {"0": 1.5, "*": 1}}, r"is 1.5.*the entry '0'"),
    "no pair": ({"pairs_per_weight": {"*": 0}}, "pairs_per_weight is 0"),
    "pairs of an unknown name": ({"pairs_per_weight": {"3": 2, "*": 1}}, "names '3', which match"),
    "no entry for pairs": ({"pairs_per_weight": {"0": 2}}, "no entry for '2.weight'"),
    "hidden pairs": ({"pairs_per_weight": {"*": 1, "2": 4}}, "pairs_per_weight names '2', but an"),
    "unknown grain": ({"grain": "weight"}, "grain is 'weight'"),
    "unknown start": ({"score_start": "unifrom"}, "Did you mean 'uniform'"),
    "interval of none": ({"interval": 0}, "interval is 0"),
    "one bit": ({"input_bits": 1}, "input_bits is 1"),
}


def snapshot(model: nn.Module) -> tuple[list[type], dict[str, torch.Tensor]]:
    values = {
        name: torch.zeros(0) if isinstance(value, nn.UninitializedParameter) else value.clone()
        for name, value in model.state_dict().items()
    }
    return [type(module) for module in model.modules()], values


def assert_untouched(model: nn.Module, before: tuple, chip: SimulatedChip) -> None:
    kinds, values = snapshot(model)
    assert kinds == before[0]
    assert values.keys() == before[1].keys()
    for name, value in before[1].items():
        assert torch.equal(values[name], value), name
    assert chip.placement.regions == []
    assert chip.placement.macros == 0
    assert chip.ledger.totals() == {"form": 0, "set": 0, "reset": 0}


# What quantise_ has prepared is what program_ takes, so that pair is no refusal.
@pytest.mark.parametrize(
    ("name", "put"),
    [(name, put) for name in MODELS for put in (prune_, program_)
     if (name, put) != ("quantised before", program_)],
)  # fmt: skip
def test_models_that_cannot_be_put_on_a_chip_are_refused_untouched(name, put):
    model, settings, words = MODELS[name]
    before, chip = snapshot(model), SimulatedChip()
    with pytest.raises(ModelError, match=words):
        put(model, chip, **settings)
    assert_untouched(model, before, chip)


@pytest.mark.parametrize("name", SETTINGS)
def test_settings_that_make_no_sense_are_refused_before_anything_is_touched(name):
    settings, words = SETTINGS[name]
    model, chip = perceptron(), SimulatedChip()
    with pytest.raises(SettingError, match=words):
        prune_(model, chip, **settings)
    assert_untouched(model, snapshot(perceptron()), chip)
    prune_(model, chip)


@pytest.mark.parametrize("put", [prune_, program_])
def test_more_weights_than_cells_are_refused_before_the_first_pulse(put):
    model = perceptron()
    chip = SimulatedChip(macros=1, geometry=Geometry(rows=12, columns=48))
    with pytest.raises(ChipError, match=r"No room for the 288 weights .*0\.weight"):
        put(model, chip)
    assert_untouched(model, snapshot(perceptron()), chip)
    put(model, chip, where=lambda name, _: name == "0")
    assert chip.placement.utilisation == 1.0


def test_forming_that_forms_nothing_of_a_weight_is_named():
    chip = SimulatedChip(forming=FixedVoltage(voltage=0.1))
    model = perceptron()
    with pytest.raises(ChipError, match=r"No cell .* was formed.*2\.weight"):
        prune_(model, chip)
    assert isinstance(model[0], nn.Linear)


def test_values_that_are_no_numbers_are_not_written():
    model, chip = perceptron(), SimulatedChip()
    with torch.no_grad():
        model[2].weight[0, 0] = torch.nan
    with pytest.raises(ModelError, match=r"no finite numbers.*2\.weight"):
        program_(model, chip)
    assert chip.placement.regions == []


def test_a_prepared_model_keeps_its_converters_when_programmed():
    model = quantise_(perceptron(), input_bits=6)
    with pytest.raises(SettingError, match="prepared by quantise_"):
        program_(model, SimulatedChip(), input_bits=4)
    train(model, 2)
    converters = [model[0].converter, model[2].converter]
    program_(model, SimulatedChip())
    assert [model[0].converter, model[2].converter] == converters
    model.eval()(next(batches(1))[0])


def test_detaching_what_is_not_on_a_chip_is_refused():
    for model in (perceptron(), pruned()[0], detach_(pruned())):
        with pytest.raises(ModelError, match="No layer inside this model is on a chip"):
            detach_(model)


# --- What is not refused --------------------------------------------------------------------------


def test_a_subclass_that_adds_nothing_is_pruned():
    assert list(pruned_weights(pruned(nn.Sequential(Alike(3, 2))))) == ["0.weight"]


def test_a_tied_model_is_pruned_where_both_layers_are_left_digital():
    model = pruned(Tied(), where=lambda name, _: name == "hidden")
    assert list(pruned_weights(model)) == ["hidden.weight"]
    assert model.out.weight is model.embed.weight


def test_where_chooses_layers_and_the_rest_can_be_pruned_later_in_another_way():
    model, chip = perceptron(), SimulatedChip()
    seen = []

    def last(name, module):
        seen.append((name, type(module)))
        return name == "2"

    prune_(model, chip, where=last)
    assert seen == [("0", nn.Linear), ("1", nn.ReLU), ("2", nn.Linear)]
    assert isinstance(model[0], nn.Linear)
    prune_(model, chip, grain="cell", where=lambda name, module: isinstance(module, nn.Linear))
    grains = {name: weight.grain for name, weight in pruned_weights(model).items()}
    assert grains == {"0.weight": "cell", "2.weight": "pair"}
    before = chip.ledger.switching.clone()
    train(model, 3)
    moved = chip.ledger.switching != before
    assert all(moved[weight.region.cells].any() for weight in pruned_weights(model).values())


def test_patterns_name_weights_or_layers_and_the_first_that_matches_counts():
    model = nn.Sequential()
    model.add_module("conv1", nn.Conv1d(3, 4, 3))
    model.add_module("conv2", nn.Conv1d(4, 4, 3))
    model.add_module("remember", nn.LSTM(4, 4))
    model.add_module("attend", nn.MultiheadAttention(4, 2))
    shares = {"conv1": 0.9, "conv?": 0.8, "remember.weight_hh*": 0.7, "remember": 0.6,
              "attend.out_proj": 0.2, "attend": 0.4}  # fmt: skip
    pruned(model, keep_fraction=shares)
    kept = {n: float(w.mask.sum() / w.edges) for n, w in pruned_weights(model).items()}
    expected = {"conv1.weight": 0.9, "conv2.weight": 0.8, "remember.weight_ih_l0": 0.6,
                "remember.weight_hh_l0": 0.7, "attend.in_proj_weight": 0.4,
                "attend.out_proj.weight": 0.2}  # fmt: skip
    assert kept == pytest.approx(expected, abs=0.04)


def test_parts_pruned_on_their_own_keep_all_their_weights_apart():
    parts = [pruned(perceptron()), pruned(perceptron())]
    model = nn.Sequential(*parts)
    assert list(pruned_weights(model)) == ["0.0.weight", "0.2.weight", "1.0.weight", "1.2.weight"]
    assert list(pruned_weights(Holder(parts[0]))) == ["0.weight", "2.weight"]


def test_a_lazy_layer_is_pruned_after_its_first_batch():
    model = nn.Sequential(nn.LazyLinear(3))
    model(torch.randn(1, 5))
    assert list(pruned_weights(pruned(model))) == ["0.weight"]


def test_biases_and_norms_stay_digital_trainable_and_as_they_were():
    plain = nn.Sequential(nn.Conv1d(3, 4, 3), nn.BatchNorm1d(4), nn.Conv1d(4, 2, 1, bias=False))
    model = pruned(twin(plain))
    digital = {n: p for n, p in model.named_parameters() if not n.endswith(".scores")}
    assert list(digital) == ["0.bias", "1.weight", "1.bias"]
    for name, parameter in digital.items():
        assert parameter.requires_grad
        assert torch.equal(parameter, dict(plain.named_parameters())[name])
