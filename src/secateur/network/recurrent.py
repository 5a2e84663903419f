"""RNN, LSTM and GRU on a chip: each matrix is read once per time step, as the hardware does."""

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from secateur.circuit import BoundConverters, InputConverter
from secateur.network.layers import settings_of
from secateur.network.reading import PlainValue, WeightSource
from secateur.uncompiled import uncompiled

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
    return (new + update * (state[0] - new),)


_CELLS: dict[str, Callable[[Tensor, Tensor, State], State]] = {
    "RNN_TANH": _rnn(torch.tanh), "RNN_RELU": _rnn(torch.relu), "LSTM": _lstm, "GRU": _gru,
}  # fmt: skip


class ChipRecurrent(nn.Module):
    """A recurrent network whose matrices come from `WeightSource`s; called as the plain one.

    All layers, directions, projections (LSTM), dropout between layers, batch-first and packed
    sequences. Inputs and the fed-back state pass converters of their own. Matrices, biases and
    settings keep PyTorch's names (`weight_ih_l0`, `bias_ih_l0`, `hidden_size`, ...).
    """

    mode: str
    hidden_size: int
    proj_size: int
    num_layers: int
    batch_first: bool
    bidirectional: bool
    dropout: float

    def __init__(
        self,
        original: nn.RNNBase,
        weights: Mapping[str, WeightSource],
        *,
        converter: Callable[[], nn.Module | None],
    ) -> None:
        super().__init__()
        vars(self).update(settings_of(original))
        self._original = (original,)
        self._words = f"{type(original).__name__}({original.extra_repr()})"
        self._matrices = tuple(weights)
        for name, source in weights.items():
            self.add_module(name, source)
        for name, bias in original._parameters.items():
            if name.startswith("bias"):
                self.register_parameter(name, bias)
        converters = {name: converter() for name in weights}
        self.converters = nn.ModuleDict({n: c for n, c in converters.items() if c is not None})
        for own in self.modules():
            if isinstance(own, (InputConverter, BoundConverters)):
                own.every = 1

    def flatten_parameters(self) -> None:
        """Nothing to do: there is no flat weight buffer on a chip."""

    # A graph broken at every step and matrix would take minutes to compile and gain nothing.
    @uncompiled
    def forward(
        self, inputs: Tensor | PackedSequence, state: Tensor | State | None = None
    ) -> tuple[Tensor | PackedSequence, Tensor | State]:
        """Outputs and final state, as `torch.nn.RNN`, `LSTM` or `GRU` give them."""
        for name in self._matrices:
            self._source(name).settle()
        if isinstance(inputs, PackedSequence):
            data, sizes, order, back = inputs
            steps = list(torch.split(data, sizes.tolist()))
            outputs, last = self._run(steps, self._start(data, state, int(sizes[0]), order))
            last = tuple(s if back is None else s.index_select(1, back) for s in last)
            packed = PackedSequence(torch.cat(outputs), sizes, order, back)
            return packed, self._as_given(last)
        flat = inputs.dim() == 2
        if flat:
            inputs = inputs.unsqueeze(0 if self.batch_first else 1)
            state = _map(state, lambda s: s.unsqueeze(1))
        time_first = inputs.transpose(0, 1) if self.batch_first else inputs
        if time_first.dim() != 3 or not len(time_first):
            raise RuntimeError(f"inputs of shape {tuple(inputs.shape)} are no sequence of steps")
        start = self._start(time_first, state, time_first.shape[1], None)
        outputs, last = self._run(list(time_first.unbind()), start)
        result = torch.stack(outputs, dim=1 if self.batch_first else 0)
        if flat:
            result = result.squeeze(0 if self.batch_first else 1)
            last = tuple(s.squeeze(1) for s in last)
        return result, self._as_given(last)

    def plain(self, value: PlainValue) -> nn.Module:
        """The network it was, with `value` of its matrices and the biases it has now."""
        (original,) = self._original
        for name in original._parameters:
            now = value(self._source(name)) if name in self._matrices else getattr(self, name)
            setattr(original, name, now)
        return original.train(self.training)

    # --- Inside -----------------------------------------------------------------------------

    def _source(self, name: str) -> WeightSource:
        source = self._modules[name]
        assert isinstance(source, WeightSource)
        return source

    def _start(
        self, like: Tensor, state: Tensor | State | None, batch: int, order: Tensor | None
    ) -> State:
        layers = self.num_layers * (2 if self.bidirectional else 1)
        widths = [self.proj_size or self.hidden_size]
        if self.mode == "LSTM":
            widths.append(self.hidden_size)
        shapes = [(layers, batch, width) for width in widths]
        if state is None:
            return tuple(like.new_zeros(shape) for shape in shapes)
        given = (state,) if isinstance(state, Tensor) else tuple(state)
        if [tuple(s.shape) for s in given] != shapes:
            found = [tuple(s.shape) for s in given]
            raise RuntimeError(f"The initial state has shape {found}, expected {shapes}")
        return given if order is None else tuple(s.index_select(1, order) for s in given)

    def _run(self, steps: list[Tensor], start: State) -> tuple[list[Tensor], State]:
        directions = 2 if self.bidirectional else 1
        finals: list[State] = []
        for layer in range(self.num_layers):
            results = []
            for direction in range(directions):
                index = layer * directions + direction
                begin = tuple(s[index] for s in start)
                outputs, final = self._sweep(layer, direction, steps, begin)
                results.append(outputs)
                finals.append(final)
            steps = [torch.cat(parts, dim=-1) for parts in zip(*results, strict=True)]
            if self.dropout and layer < self.num_layers - 1:
                steps = [F.dropout(step, self.dropout, self.training) for step in steps]
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
        if f"weight_hr_{suffix}" in self._matrices:
            moved = (self._product(f"weight_hr_{suffix}", moved[0], ""), *moved[1:])
        return moved

    def _product(self, name: str, inputs: Tensor, bias: str) -> Tensor:
        converter = self.converters._modules.get(name)
        if converter is not None:
            inputs = converter(inputs)
        outputs = self._source(name).read().product(F.linear, inputs, converter)
        added = self._parameters.get(bias)
        return outputs if added is None else outputs + added

    def _as_given(self, state: State) -> Tensor | State:
        return state if self.mode == "LSTM" else state[0]

    def extra_repr(self) -> str:
        """The settings of the network it was."""
        return self._words


def _map(
    state: Tensor | State | None, function: Callable[[Tensor], Tensor]
) -> Tensor | State | None:
    if state is None or isinstance(state, Tensor):
        return None if state is None else function(state)
    return tuple(function(part) for part in state)
