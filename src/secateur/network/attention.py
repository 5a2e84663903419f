"""Multi-head attention with its projections on a chip."""

import math
from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from secateur.network.reading import Reading, WeightSource


class ChipAttention(nn.Module):
    """`torch.nn.MultiheadAttention` whose projection matrices come from `WeightSource`s.

    The packed input projection is one weight and read once per forward pass. The products of
    queries, keys and values are digital: they have no weights.
    """

    # Tells torch's transformer layers that their fused inference path, which would reach for
    # plain weight tensors, is not for this module.
    _qkv_same_embed_dim = False

    def __init__(
        self,
        original: nn.MultiheadAttention,
        weights: Mapping[str, WeightSource],
        *,
        converter: Callable[[], nn.Module | None],
    ) -> None:
        super().__init__()
        self._original = (original,)
        self.batch_first = original.batch_first
        self.num_heads = original.num_heads
        self.sources = nn.ModuleDict({n.replace(".", "_"): w for n, w in weights.items()})
        self.in_proj_bias = original.in_proj_bias
        self.out_proj_bias = original.out_proj.bias
        self.bias_k, self.bias_v = original.bias_k, original.bias_v
        pairs = {name: converter() for name in ("query", "key", "value", "out")}
        self.converters = nn.ModuleDict({n: c for n, c in pairs.items() if c is not None})
        self.training = original.training

    def forward(
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
        q, k, v = self._project(query, key, value)
        k, v = self._with_extra_rows(k, v)
        heads = [self._heads(t) for t in (q, k, v)]
        mask = self._mask(attn_mask, key_padding_mask, heads[0], heads[1], is_causal)
        mixed, weights = self._attend(*heads, mask, need_weights)
        length, batch = query.shape[:2]
        joined = mixed.permute(2, 0, 1, 3).reshape(length, batch, -1)
        outputs = self._reading("out_proj_weight").product(F.linear, self._convert("out", joined))
        if self.out_proj_bias is not None:
            outputs = outputs + self.out_proj_bias
        if weights is not None and average_attn_weights:
            weights = weights.mean(dim=1)
        if flat:
            return outputs.squeeze(1), None if weights is None else weights.squeeze(0)
        return (outputs.transpose(0, 1) if self.batch_first else outputs), weights

    def plain(self) -> nn.Module:
        """The attention it was, with its matrices as last read and the biases it has now."""
        (original,) = self._original
        for name, source in self.sources.items():
            if name == "out_proj_weight":
                original.out_proj.weight = nn.Parameter(source.plain())
            else:
                setattr(original, name, nn.Parameter(source.plain()))
        original.in_proj_bias, original.out_proj.bias = self.in_proj_bias, self.out_proj_bias
        return original.train(self.training)

    # --- Inside -----------------------------------------------------------------------------

    def _reading(self, name: str) -> Reading:
        reading = self.sources[name]()
        assert isinstance(reading, Reading)
        return reading

    def _convert(self, name: str, inputs: Tensor) -> Tensor:
        return self.converters[name](inputs) if name in self.converters else inputs

    def _project(self, *inputs: Tensor) -> list[Tensor]:
        names = ("query", "key", "value")
        if "in_proj_weight" in self.sources:
            whole = self._reading("in_proj_weight")
            width = whole.weight.shape[0] // 3
            readings = [whole.part(n * width, (n + 1) * width) for n in range(3)]
        else:
            readings = [self._reading(f"{n}_proj_weight") for n in "qkv"]
        biases = [None] * 3 if self.in_proj_bias is None else self.in_proj_bias.chunk(3)
        outputs = []
        for name, source, reading, bias in zip(names, inputs, readings, biases, strict=True):
            projected = reading.product(F.linear, self._convert(name, source))
            outputs.append(projected if bias is None else projected + bias)
        return outputs

    def _with_extra_rows(self, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        batch = k.shape[1]
        if self.bias_k is not None:
            k = torch.cat([k, self.bias_k.repeat(1, batch, 1)])
            v = torch.cat([v, self.bias_v.repeat(1, batch, 1)])
        if self._original[0].add_zero_attn:
            k, v = (torch.cat([t, t.new_zeros(1, *t.shape[1:])]) for t in (k, v))
        return k, v

    def _heads(self, inputs: Tensor) -> Tensor:
        length, batch, width = inputs.shape
        split = inputs.reshape(length, batch, self.num_heads, width // self.num_heads)
        return split.permute(1, 2, 0, 3)

    def _mask(
        self, attention: Tensor | None, padding: Tensor | None, q: Tensor, k: Tensor, causal: bool
    ) -> Tensor | None:
        batch, heads, rows, _ = q.shape
        columns = k.shape[2]
        if attention is None and causal:
            raise ValueError("is_causal is a hint about attn_mask, which is missing")
        total: Tensor | None = None
        if attention is not None:
            bias = _additive(attention, q.dtype)
            bias = bias.view(batch, heads, *bias.shape[1:]) if bias.dim() == 3 else bias
            total = F.pad(bias, (0, columns - bias.shape[-1]))
        if padding is not None:
            bias = _additive(padding, q.dtype)[:, None, None, :]
            bias = F.pad(bias, (0, columns - bias.shape[-1]))
            total = bias if total is None else total + bias
        return total

    def _attend(
        self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, need_weights: bool
    ) -> tuple[Tensor, Tensor | None]:
        dropout = self._original[0].dropout if self.training else 0.0
        if not need_weights:
            return F.scaled_dot_product_attention(q, k, v, mask, dropout), None
        logits = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
        weights = torch.softmax(logits if mask is None else logits + mask, dim=-1)
        weights = F.dropout(weights, dropout, self.training)
        return weights @ v, weights


def _additive(mask: Tensor, dtype: torch.dtype) -> Tensor:
    if mask.dtype != torch.bool:
        return mask.to(dtype)
    return torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill(mask, -math.inf)
