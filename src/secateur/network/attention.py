"""Multi-head attention with its projections on a chip."""

import math
from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from secateur.network.layers import ChipLayer, settings_of
from secateur.network.reading import PlainValue, Reading, WeightSource

_INPUTS = ("query", "key", "value")


class ChipAttention(nn.Module):
    """`torch.nn.MultiheadAttention` whose projection matrices come from `WeightSource`s.

    The packed input projection is one weight and read once per forward pass. The products of
    queries, keys and values are digital: they have no weights. Matrices, biases and settings keep
    PyTorch's names (`in_proj_weight`, `out_proj.bias`, `embed_dim`, ...).
    """

    # Tells torch's transformer layers that their fused inference path, which would reach for
    # plain weight tensors, is not for this module.
    _qkv_same_embed_dim = False

    batch_first: bool
    num_heads: int
    dropout: float
    add_zero_attn: bool
    in_proj_bias: nn.Parameter | None
    bias_k: nn.Parameter | None
    bias_v: nn.Parameter | None

    def __init__(
        self,
        original: nn.MultiheadAttention,
        weights: Mapping[str, WeightSource],
        *,
        converter: Callable[[], nn.Module | None],
    ) -> None:
        super().__init__()
        vars(self).update(settings_of(original))
        self._original = (original,)
        for name, parameter in original._parameters.items():
            if name in weights:
                self.add_module(name, weights[name])
            else:
                self.register_parameter(name, parameter)
        inner = original.out_proj
        self.out_proj = ChipLayer(inner, weights["out_proj.weight"], converter=converter())
        converters = {name: converter() for name in _INPUTS}
        self.converters = nn.ModuleDict({n: c for n, c in converters.items() if c is not None})

    def forward(  # noqa: PLR0917 (the order of nn.MultiheadAttention)
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """Outputs and, if asked, attention weights; arguments as `nn.MultiheadAttention`."""
        flat = query.dim() == 2
        if flat:
            query, key, value = (t.unsqueeze(1) for t in (query, key, value))
            key_padding_mask = None if key_padding_mask is None else key_padding_mask.unsqueeze(0)
        elif self.batch_first:
            query, key, value = (t.transpose(0, 1) for t in (query, key, value))
        if attn_mask is None and is_causal:
            raise RuntimeError("is_causal is a hint about attn_mask, which is missing")
        mask = self._mask(attn_mask, key_padding_mask, query, key)
        q, k, v = self._project(query, key, value)
        k, v, mask = self._with_extra_rows(k, v, mask)
        mixed, weights = self._attend(
            self._heads(q), self._heads(k), self._heads(v), mask, need_weights
        )
        length, batch = query.shape[:2]
        outputs = self.out_proj(mixed.permute(2, 0, 1, 3).reshape(length, batch, -1))
        if weights is not None and average_attn_weights:
            weights = weights.mean(dim=1)
        if flat:
            return outputs.squeeze(1), None if weights is None else weights.squeeze(0)
        return (outputs.transpose(0, 1) if self.batch_first else outputs), weights

    def plain(self, value: PlainValue) -> nn.Module:
        """The attention it was, with `value` of its matrices and the biases it has now."""
        (original,) = self._original
        for name in original._parameters:
            source = self._modules.get(name)
            if isinstance(source, WeightSource):
                setattr(original, name, value(source))
            else:
                setattr(original, name, self._parameters[name])
        self.out_proj.plain(value)
        return original.train(self.training)

    # --- Inside -----------------------------------------------------------------------------

    def _reading(self, name: str) -> Reading:
        source = self._modules[name]
        assert isinstance(source, WeightSource)
        reading = source()
        assert isinstance(reading, Reading)
        return reading

    def _project(self, *inputs: Tensor) -> list[Tensor]:
        if "in_proj_weight" in self._modules:
            whole = self._reading("in_proj_weight")
            width = whole.weight.shape[0] // 3
            readings = [whole.part(n * width, (n + 1) * width) for n in range(3)]
        else:
            readings = [self._reading(f"{n}_proj_weight") for n in "qkv"]
        biases = [None] * 3 if self.in_proj_bias is None else self.in_proj_bias.chunk(3)
        outputs = []
        for name, source, reading, bias in zip(_INPUTS, inputs, readings, biases, strict=True):
            converter = self.converters._modules.get(name)
            converted = source if converter is None else converter(source)
            projected = reading.product(F.linear, converted, converter)
            outputs.append(projected if bias is None else projected + bias.to(projected.dtype))
        return outputs

    def _with_extra_rows(
        self, k: Tensor, v: Tensor, mask: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        rows, batch = k.shape[:2]
        if self.bias_k is not None and self.bias_v is not None:
            k = torch.cat([k, self.bias_k.to(k.dtype).repeat(1, batch, 1)])
            v = torch.cat([v, self.bias_v.to(v.dtype).repeat(1, batch, 1)])
        if self.add_zero_attn:
            k, v = (torch.cat([t, t.new_zeros(1, *t.shape[1:])]) for t in (k, v))
        # The extra rows are open to every query.
        return k, v, None if mask is None else F.pad(mask, (0, len(k) - rows))

    def _heads(self, inputs: Tensor) -> Tensor:
        length, batch, width = inputs.shape
        split = inputs.reshape(length, batch, self.num_heads, width // self.num_heads)
        return split.permute(1, 2, 0, 3)

    def _mask(
        self, attention: Tensor | None, padding: Tensor | None, query: Tensor, key: Tensor
    ) -> Tensor | None:
        rows, batch, columns = query.shape[0], query.shape[1], key.shape[0]
        total: Tensor | None = None
        if attention is not None:
            shapes = ((rows, columns), (batch * self.num_heads, rows, columns))
            _check_shape("attn_mask", attention, shapes)
            total = _additive(attention, query.dtype)
            if total.dim() == 3:
                total = total.view(batch, self.num_heads, rows, columns)
        if padding is not None:
            _check_shape("key_padding_mask", padding, ((batch, columns),))
            bias = _additive(padding, query.dtype)[:, None, None, :]
            total = bias if total is None else total + bias
        return total

    def _attend(
        self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, need_weights: bool
    ) -> tuple[Tensor, Tensor | None]:
        dropout = self.dropout if self.training else 0.0
        mask = None if mask is None else mask.to(q.dtype)
        if not need_weights:
            return F.scaled_dot_product_attention(q, k, v, mask, dropout), None
        logits = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
        weights = torch.softmax(logits if mask is None else logits + mask, dim=-1)
        weights = F.dropout(weights, dropout, self.training)
        return weights @ v, weights


def _check_shape(name: str, mask: Tensor, shapes: tuple[tuple[int, ...], ...]) -> None:
    if tuple(mask.shape) not in shapes:
        words = " or ".join(map(str, shapes))
        raise RuntimeError(f"{name} has shape {tuple(mask.shape)}, expected {words}")


def _additive(mask: Tensor, dtype: torch.dtype) -> Tensor:
    if mask.dtype != torch.bool:
        return mask.to(dtype)
    return torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill(mask, -math.inf)
