"""Models of other libraries prune as they come, built from their configurations without weights."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from networks import QUIET
from torch import Tensor, nn

from secateur.chip import SimulatedChip
from secateur.circuit import Converters, Ideal, ReadPerProduct
from secateur.errors import ModelError
from secateur.network import detach_, load_, prune_, pruned_weights, save
from secateur.network.trace import trace

transformers = pytest.importorskip("transformers", reason="transformers is not installed")

_SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
          "intermediate_size": 32}  # fmt: skip
_TOKENS = torch.randint(0, 40, (6, 7), generator=torch.Generator().manual_seed(0))
_PICTURES = torch.randn(6, 3, 16, 16, generator=torch.Generator().manual_seed(0))
_LABELS = torch.tensor([0, 1, 2, 0, 1, 2])


def _vit() -> nn.Module:
    settings = transformers.ViTConfig(image_size=16, patch_size=4, num_labels=3, **_SMALL)
    return transformers.ViTForImageClassification(settings)


def _bert() -> nn.Module:
    settings = transformers.BertConfig(vocab_size=40, num_labels=3, **_SMALL)
    return transformers.BertForSequenceClassification(settings)


def _gpt() -> nn.Module:
    settings = transformers.GPT2Config(
        vocab_size=40, n_positions=8, n_embd=16, n_layer=2, n_head=2, num_labels=3, pad_token_id=0
    )
    return transformers.GPT2ForSequenceClassification(settings)


# A model, its inputs, and how many of its layers have weights that go on a chip.
MODELS: dict[str, tuple[Callable[[], nn.Module], Tensor, int]] = {
    "ViT": (_vit, _PICTURES, 1 + 2 * 6 + 1),
    "BERT": (_bert, _TOKENS, 2 * 6 + 2),
    "GPT-2": (_gpt, _TOKENS, 2 * 4 + 1),
}


def _fresh(make: Callable[[], nn.Module]) -> nn.Module:
    torch.manual_seed(0)
    return make()


def _trained(model: nn.Module, inputs: Tensor, steps: int = 4) -> list[float]:
    optimizer, losses = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9), []
    model.train()
    for _ in range(steps):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(inputs).logits, _LABELS)
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses


@pytest.mark.parametrize("name", MODELS)
def test_a_model_is_pruned_trained_evaluated_saved_and_detached_as_it_comes(name, tmp_path):
    make, inputs, layers = MODELS[name]
    chip = SimulatedChip("taox-40nm", seed=1)
    model = prune_(_fresh(make), chip, keep_fraction=0.5, input_bits=6)
    assert len(pruned_weights(model)) == layers
    losses = _trained(model, inputs)
    assert all(torch.isfinite(torch.tensor(losses)))
    assert sum(weight.flips for weight in pruned_weights(model).values()) > 0
    save(model, tmp_path / "model.safetensors")
    twin = prune_(_fresh(make), SimulatedChip("taox-40nm", seed=1), keep_fraction=0.5, input_bits=6)
    load_(twin, tmp_path / "model.safetensors")
    with torch.no_grad():
        outputs = [m.eval()(inputs).logits for m in (model, twin)]
    assert torch.equal(*outputs)
    plain = detach_(model)
    assert not pruned_weights(plain)
    with torch.no_grad():
        assert plain.eval()(inputs).logits.shape == (6, 3)


def test_a_linear_layer_whose_inputs_come_first_is_the_product_it_was():
    """Its weights on a noiseless chip are what detaching gives back, in its own layout."""
    make, inputs, _ = MODELS["GPT-2"]
    model = prune_(_fresh(make), SimulatedChip(QUIET, seed=0), circuit=Ideal()).eval()
    with torch.no_grad():
        on_chip = model(inputs).logits
        plain = detach_(model)
        layer = plain.transformer.h[0].attn.c_attn
        assert type(layer).__name__ == "Conv1D"
        assert layer.weight.shape == (16, 48)
        torch.testing.assert_close(plain(inputs).logits, on_chip)


def test_such_a_layer_drives_one_line_for_each_input():
    make, _, _ = MODELS["GPT-2"]
    model = prune_(_fresh(make), SimulatedChip("taox-40nm", seed=0))
    region = pruned_weights(model)["transformer.h.0.mlp.c_fc.weight"].region
    assert region.matrix == (16, 64)


@pytest.mark.parametrize("level", [ReadPerProduct(), Converters(output_bits=8)])
def test_such_a_layer_works_at_every_level(level):
    make, inputs, _ = MODELS["GPT-2"]
    chip = SimulatedChip("taox-40nm", seed=0)
    model = prune_(_fresh(make), chip, circuit=level, input_bits=6)
    assert all(loss < 100.0 for loss in _trained(model, inputs, steps=2))
    with torch.no_grad():
        assert model.eval()(inputs).logits.isfinite().all()


def test_the_products_of_such_a_layer_are_counted():
    layer = transformers.pytorch_utils.Conv1D(5, 7)
    model = prune_(nn.Sequential(layer), SimulatedChip("taox-40nm", seed=0))
    counted = trace(model, torch.zeros(3, 7))
    assert (counted.macs, counted.column_outputs) == (3 * 35, 3 * 5)


def test_a_language_model_whose_output_layer_is_its_embedding_is_refused_by_name():
    settings = transformers.GPT2Config(vocab_size=40, n_embd=16, n_layer=1, n_head=2)
    with pytest.raises(ModelError, match="shared with a layer that stays digital"):
        prune_(transformers.GPT2LMHeadModel(settings), SimulatedChip("taox-40nm", seed=0))


def _image_model(library: Any) -> nn.Module:
    if library.__name__ == "timm":
        return library.create_model("resnet18", pretrained=False, num_classes=3)
    return library.models.resnet18(weights=None, num_classes=3)


@pytest.mark.parametrize("library", ["timm", "torchvision"])
def test_image_libraries_are_pruned_where_they_are_installed(library):
    found = pytest.importorskip(library, reason=f"{library} is not installed")
    model = prune_(_image_model(found), SimulatedChip("taox-40nm", seed=0))
    assert len(pruned_weights(model)) == 21
    assert model.eval()(torch.randn(2, 3, 32, 32)).shape == (2, 3)
