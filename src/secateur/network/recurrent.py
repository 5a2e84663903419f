"""RNN, LSTM and GRU on a chip: each matrix is read once per time step, as the hardware does."""

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from secateur.network.reading import WeightSource

State = tuple[Tensor, ...]


def _rnn(activation: Callable[[Tensor], Tensor]) -> Callable[[Tensor, Tensor, State], State]:
    return lambda given, own, state: (activation(given + own),)


def _lstm(given: Tensor, own: Tensor, state: State) -> State:
    enter, forget, cell, leave = (given + own).chunk(4, dim=-1)
    memory = forget.sigmoid() * state[1] + enter.sigmoid() * cell.tanh()
    return leave.sigmoid() * memory.tanh(), memory


def _gru(given: Tensor, own: Tensor, state: State) -> State:
    reset_given, update_given, new_given = given.chunk(3, dim=-1)
    reset_own, update_own, new_own = own.chunk(3, dim=-1)
    new = (new_given + (reset_given + reset_own).sigmoid() * new_own).tanh()
    update = (update_given + update_own).sigmoid()
    return (torch.lerp(new, state[0], update),)


_CELLS: dict[str, Callable[[Tensor, Tensor, State], State]] = {
    "RNN_TANH": _rnn(torch.tanh), "RNN_RELU": _rnn(torch.relu), "LSTM": _lstm, "GRU": _gru,
}  # fmt: skip


class ChipRecurrent(nn.Module):
    """A recurrent network whose matrices come from `WeightSource`s; called as the plain one.

    All layers, directions, projections (LSTM), dropout between layers, batch-first and packed
    sequences. Inputs and the fed-back state pass converters of their own.
    """

    def __init__(
        self,
        original: nn.RNNBase,
        weights: Mapping[str, WeightSource],
        *,
        converter: Callable[[], nn.Module | None],
    ) -> None:
        super().__init__()
        self._original = (original,)
        self.mode = original.mode
        self.sources = nn.ModuleDict(dict(weights))
        self.biases = nn.ParameterDict(
            {name: p for name, p in original.named_parameters() if name.startswith("bias")}
        )
        converters = {name: converter() for name in weights}
        self.converters = nn.ModuleDict({n: c for n, c in converters.items() if c is not None})
        self.training = original.training

    def flatten_parameters(self) -> None:
        """Nothing to do: there is no flat weight buffer on a chip."""

    def forward(
        self, inputs: Tensor | PackedSequence, state: Tensor | State | None = None
    ) -> tuple[Tensor | PackedSequence, Tensor | State]:
        """Outputs and final state, as `torch.nn.RNN`, `LSTM` or `GRU` give them."""
        original = self._original[0]
        if isinstance(inputs, PackedSequence):
            data, sizes, order, back = inputs
            steps = list(data.split(sizes.tolist()))
            outputs, last = self._run(steps, self._start(data, state, int(sizes[0]), order))
            last = tuple(s if back is None else s.index_select(1, back) for s in last)
            packed = PackedSequence(torch.cat(outputs), sizes, order, back)
            return packed, self._as_given(last)
        flat = inputs.dim() == 2
        if flat:
            inputs = inputs.unsqueeze(0 if original.batch_first else 1)
            state = _map(state, lambda s: s.unsqueeze(1))
        time_first = inputs.transpose(0, 1) if original.batch_first else inputs
        start = self._start(time_first, state, time_first.shape[1], None)
        outputs, last = self._run(list(time_first.unbind()), start)
        result = torch.stack(outputs, dim=1 if original.batch_first else 0)
        if flat:
            result = result.squeeze(0 if original.batch_first else 1)
            last = tuple(s.squeeze(1) for s in last)
        return result, self._as_given(last)

    def plain(self) -> nn.Module:
        """The network it was, with its matrices as last read and the biases it has now."""
        (original,) = self._original
        for name, source in self.sources.items():
            setattr(original, name, nn.Parameter(source.plain()))
        for name, bias in self.biases.items():
            setattr(original, name, bias)
        return original.train(self.training)

    # --- Inside -----------------------------------------------------------------------------

    def _start(
        self, like: Tensor, state: Tensor | State | None, batch: int, order: Tensor | None
    ) -> State:
        original = self._original[0]
        layers = original.num_layers * (2 if original.bidirectional else 1)
        if state is None:
            width = original.proj_size or original.hidden_size
            shapes = [width, original.hidden_size] if self.mode == "LSTM" else [width]
            return tuple(like.new_zeros(layers, batch, size) for size in shapes)
        given = (state,) if isinstance(state, Tensor) else tuple(state)
        return given if order is None else tuple(s.index_select(1, order) for s in given)

    def _run(self, steps: list[Tensor], start: State) -> tuple[list[Tensor], State]:
        original = self._original[0]
        directions = 2 if original.bidirectional else 1
        finals: list[State] = []
        for layer in range(original.num_layers):
            results = []
            for direction in range(directions):
                index = layer * directions + direction
                begin = tuple(s[index] for s in start)
                outputs, final = self._sweep(layer, direction, steps, begin)
                results.append(outputs)
                finals.append(final)
            steps = [torch.cat(parts, dim=-1) for parts in zip(*results, strict=True)]
            if original.dropout and layer < original.num_layers - 1:
                steps = [F.dropout(step, original.dropout, self.training) for step in steps]
        return steps, tuple(torch.stack(parts) for parts in zip(*finals, strict=True))

    def _sweep(
        self, layer: int, direction: int, steps: list[Tensor], begin: State
    ) -> tuple[list[Tensor], State]:
        suffix = f"l{layer}" + ("_reverse" if direction else "")
        outputs: list[Tensor] = [steps[0]] * len(steps)
        state = begin
        places = range(len(steps) - 1, -1, -1) if direction else range(len(steps))
        for place in places:
            # In a packed sequence later steps have fewer rows: the ended ones keep their state.
            rows = steps[place].shape[0]
            moved = self._step(steps[place], tuple(s[:rows] for s in state), suffix)
            state = tuple(
                torch.cat([new, old[rows:]]) if rows < old.shape[0] else new
                for new, old in zip(moved, state, strict=True)
            )
            outputs[place] = moved[0]
        return outputs, state

    def _step(self, inputs: Tensor, state: State, suffix: str) -> State:
        given = self._product(f"weight_ih_{suffix}", inputs, f"bias_ih_{suffix}")
        own = self._product(f"weight_hh_{suffix}", state[0], f"bias_hh_{suffix}")
        moved = _CELLS[self.mode](given, own, state)
        if f"weight_hr_{suffix}" in self.sources:
            moved = (self._product(f"weight_hr_{suffix}", moved[0], ""), *moved[1:])
        return moved

    def _product(self, name: str, inputs: Tensor, bias: str) -> Tensor:
        if name in self.converters:
            inputs = self.converters[name](inputs)
        outputs: Tensor = self.sources[name]().product(F.linear, inputs)
        return outputs + self.biases[bias] if bias in self.biases else outputs

    def _as_given(self, state: State) -> Tensor | State:
        return state if self.mode == "LSTM" else state[0]


def _map(
    state: Tensor | State | None, function: Callable[[Tensor], Tensor]
) -> Tensor | State | None:
    if state is None or isinstance(state, Tensor):
        return None if state is None else function(state)
    return tuple(function(part) for part in state)
