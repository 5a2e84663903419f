"""Swapped attention, alone and in torch's Transformer layers, computes what the plain one does."""

import pytest
import torch
from networks import QUIET, Holder, assert_same, pruned, twin, weights_of
from torch import nn

from secateur.errors import ModelError
from secateur.network import detach_, quantise_

ATTENTION = {
    "self": {},
    "batch first": {"batch_first": True},
    "without bias": {"bias": False},
    "other widths": {"kdim": 6, "vdim": 3},
    "extra rows": {"add_bias_kv": True, "add_zero_attn": True},
}


def swapped(layer: nn.Module) -> tuple[nn.Module, nn.Module]:
    plain = Holder(layer).double()
    for parameter in plain.parameters():
        # Biases start at zero, where a forgotten one would not be noticed.
        nn.init.normal_(parameter, std=0.3)
    return plain, quantise_(twin(plain), input_bits=None)


def sequences(settings: dict, *batch: int) -> list[torch.Tensor]:
    """Query (4 steps), key and value (5 steps)."""
    widths = (8, settings.get("kdim", 8), settings.get("vdim", 8))
    found = []
    for steps, width in zip((4, 5, 5), widths, strict=True):
        shape = (*batch, steps, width) if settings.get("batch_first") else (steps, *batch, width)
        found.append(torch.randn(shape, dtype=torch.float64))
    return found


def masks() -> dict[str, dict[str, torch.Tensor]]:
    """Masks for a batch of 3 and 2 heads; no row is masked out as a whole."""
    attention = torch.rand(4, 5) > 0.6
    attention[:, 0] = False
    padding = torch.tensor([[0, 0, 0, 0, 1], [0, 0, 0, 0, 0], [0, 0, 1, 1, 1]]).bool()
    per_head = (torch.rand(6, 4, 5) > 0.6).index_fill(2, torch.tensor([0]), False)
    return {
        "none": {},
        "bool": {"attn_mask": attention},
        "float": {"attn_mask": torch.randn(4, 5, dtype=torch.float64)},
        "per head": {"attn_mask": per_head},
        "padding": {"key_padding_mask": padding},
        "float padding": {"key_padding_mask": torch.randn(3, 5, dtype=torch.float64)},
        "both": {"attn_mask": attention, "key_padding_mask": padding},
    }


@pytest.mark.parametrize("name", ATTENTION)
@pytest.mark.parametrize("mask", masks())
@pytest.mark.parametrize("weights", ["none", "mean", "each head"])
def test_outputs_weights_and_gradients_are_those_of_the_plain_layer(name, mask, weights):
    torch.manual_seed(1)
    plain, chip_like = swapped(nn.MultiheadAttention(8, 2, **ATTENTION[name]))
    given = {
        "need_weights": weights != "none",
        "average_attn_weights": weights == "mean",
        **masks()[mask],
    }
    assert_same(
        plain, chip_like, lambda model, *qkv: model(*qkv, **given), sequences(ATTENTION[name], 3)
    )


@pytest.mark.parametrize("name", ATTENTION)
def test_one_sequence_without_a_batch(name):
    plain, chip_like = swapped(nn.MultiheadAttention(8, 2, **ATTENTION[name]))
    given = {
        "attn_mask": torch.eye(4, 5).bool().expand(2, 4, 5),
        "key_padding_mask": torch.tensor([0, 0, 0, 1, 0]).bool(),
    }
    assert_same(
        plain, chip_like, lambda model, *qkv: model(*qkv, **given), sequences(ATTENTION[name])
    )


@pytest.mark.parametrize("weights", [False, True])
def test_causal_attention(weights):
    plain, chip_like = swapped(nn.MultiheadAttention(8, 2))
    mask = nn.Transformer.generate_square_subsequent_mask(5, dtype=torch.float64)

    def call(model, steps):
        given = {"attn_mask": mask, "is_causal": True, "need_weights": weights}
        return model(steps, steps, steps, **given)

    assert_same(plain, chip_like, call, [torch.randn(5, 3, 8, dtype=torch.float64)])
    for model in (plain, chip_like):
        with pytest.raises(RuntimeError, match="is_causal"):
            model(*[torch.randn(5, 3, 8, dtype=torch.float64)] * 3, is_causal=True)


@pytest.mark.parametrize(
    "given",
    [
        {"attn_mask": torch.zeros(4, 4)},
        {"attn_mask": torch.zeros(2, 4, 5)},
        {"key_padding_mask": torch.zeros(3, 4).bool()},
        {"key_padding_mask": torch.zeros(1, 5).bool()},
    ],
)
def test_masks_of_a_wrong_shape_are_refused_not_stretched(given):
    _, chip_like = swapped(nn.MultiheadAttention(8, 2))
    with pytest.raises(RuntimeError, match=r"mask has shape .* expected"):
        chip_like(*sequences({}, 3), **given)


def test_detached_attention_keeps_biases_extra_rows_and_settings():
    for settings in ATTENTION.values():
        plain, chip_like = swapped(nn.MultiheadAttention(8, 2, **settings))
        again = detach_(chip_like)
        assert type(again.layer) is nn.MultiheadAttention
        inputs = sequences(settings, 3)
        torch.testing.assert_close(again(*inputs), plain(*inputs))
        assert again.state_dict().keys() == plain.state_dict().keys()


def transformer(kind: str, **settings) -> tuple[nn.Module, list[torch.Tensor]]:
    layer = {"d_model": 8, "nhead": 2, "dim_feedforward": 16, "dropout": 0.0}
    layer |= {"batch_first": True, **settings}
    source = torch.randn(3, 5, 8, dtype=torch.float64)
    target = torch.randn(3, 4, 8, dtype=torch.float64)
    if kind == "encoder layer":
        return nn.TransformerEncoderLayer(**layer), [source]
    if kind == "encoder":
        norm_first = layer.get("norm_first", False)
        inner = nn.TransformerEncoderLayer(**layer)
        stack = nn.TransformerEncoder(inner, 2, enable_nested_tensor=not norm_first)
        return stack, [source]
    if kind == "decoder":
        return nn.TransformerDecoder(nn.TransformerDecoderLayer(**layer), 2), [target, source]
    whole = nn.Transformer(num_encoder_layers=1, num_decoder_layers=1, **layer)
    return whole, [source, target]


@pytest.mark.filterwarnings("ignore:enable_nested_tensor")
@pytest.mark.parametrize("kind", ["encoder layer", "encoder", "decoder", "whole"])
@pytest.mark.parametrize("norm_first", [False, True])
def test_transformer_blocks_in_training(kind, norm_first):
    layer, inputs = transformer(kind, norm_first=norm_first)
    plain, chip_like = swapped(layer)
    assert_same(plain.train(), chip_like.train(), lambda model, *given: model(*given), inputs)


@pytest.mark.parametrize("kind", ["encoder layer", "encoder", "decoder", "whole"])
@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("only", [None, nn.MultiheadAttention, nn.Linear])
def test_evaluation_does_not_slip_past_the_chip_on_a_fused_path(kind, padded, only):
    layer, inputs = transformer(kind)
    where = None if only is None else lambda _, module: isinstance(module, only)
    model = pruned(Holder(layer), where=where, technology=QUIET).eval()
    padding = torch.tensor([[0, 0, 0, 0, 1], [0, 0, 0, 0, 0], [0, 0, 1, 1, 1]]).bool()
    name = "memory_key_padding_mask" if kind == "decoder" else "src_key_padding_mask"
    given = {name: padding} if padded else {}
    inputs = [t.float() for t in inputs]
    before = [weight.uses.count for weight in weights_of(model)]
    with torch.no_grad():
        outputs = model(*inputs, **given)
    after = [weight.uses.count for weight in weights_of(model)]
    assert after == [count + 1 for count in before]
    plain = detach_(twin(model))
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        expected = plain(*inputs, **given)
    finally:
        torch.backends.mha.set_fastpath_enabled(True)
    torch.testing.assert_close(outputs, expected, rtol=1e-4, atol=1e-5)


def test_code_that_reaches_for_the_weight_of_a_layer_is_told_so():
    model = pruned(Holder(nn.Linear(3, 2)))
    for misuse in (
        lambda: nn.functional.linear(torch.ones(1, 3), model.layer.weight),
        lambda: torch.mm(torch.ones(1, 3), model.layer.weight),
    ):
        with pytest.raises(ModelError, match="Call the layer"):
            misuse()
