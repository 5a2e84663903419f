"""Converters at both ends: bit-serial or analog inputs, digitised sums of every tile."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from secateur.circuit.circuit import Circuit, Layout, Levels, LinearMap, ReadPerStep
from secateur.circuit.digitise import Limits, digitise_, range_of, straight_through
from secateur.circuit.partial import Partial, Read, partials
from secateur.circuit.planes import Stack, noise_inputs, stacks
from secateur.circuit.wired import Wired
from secateur.errors import SettingError
from secateur.keyed import key_of
from secateur.uncompiled import uncompiled

# Products before `every` counts: a range is found fast, and followed at leisure.
_FIRST = 64
# Numbers that the planes of one product have together at most: more would leave the cache.
_STACKED = 1 << 19


@dataclass(frozen=True)
class Converters(Circuit):
    """Sums are digitised where they leave a macro, and added up as numbers.

    A weight whose rows do not fit one macro gives a partial sum in each; a transposed convolution
    has a column for each position of its kernel. Every one of these sums is converted on its own.
    Ranges are found in training, one for the tiles of the same rows, and kept in evaluation.

    Args:
        level: what comes before: a way of reading, or `Wired`.
        output_bits: of the converters at the output lines; None where sums stay analog.
        bit_serial: inputs come as bit-planes, each converted, shifted and added; otherwise a line
            is driven with one of the input converter's levels.
        columns_per_converter: neighbouring pairs of a macro that share a converter and its errors.
        gain_spread: standard deviation of a converter's gain; 0 for trimmed ones.
        offset_spread: standard deviation of its offset, over full scale. Both are drawn once for
            every converter of a chip.
        headroom: full scale over the root mean square of the sums.
        momentum: of the exponential average that a range is.
        every: products from look to look, after the first ones.

    Raises:
        SettingError: for settings that are none, and for converters around converters.
    """

    level: Circuit = field(default_factory=ReadPerStep)
    output_bits: int | None = field(default=8, kw_only=True)
    bit_serial: bool = field(default=False, kw_only=True)
    columns_per_converter: int = field(default=8, kw_only=True)
    gain_spread: float = field(default=0.0, kw_only=True)
    offset_spread: float = field(default=0.0, kw_only=True)
    headroom: float = field(default=4.0, kw_only=True)
    momentum: float = field(default=0.05, kw_only=True)
    every: int = field(default=8, kw_only=True)

    def __post_init__(self) -> None:
        if isinstance(self.level, Converters):
            raise SettingError(
                "Converters around converters", cause="what is digital is not converted again",
                remedy="Give all settings to one",
            )  # fmt: skip
        if self.output_bits is None and not self.bit_serial:
            raise SettingError(
                "These converters convert nothing",
                remedy="Give output_bits, or bit_serial=True, or leave them out",
            )
        for wrong, words, remedy in (
            (self.output_bits is not None and not 2 <= self.output_bits <= 16,
             f"output_bits is {self.output_bits}", "Give 2 to 16 bits"),
            (self.columns_per_converter < 1,
             f"columns_per_converter is {self.columns_per_converter}", "Give 1 or more"),
            (not 0.0 <= self.gain_spread < 1.0, f"gain_spread is {self.gain_spread}",
             "Give 0 or more, below 1"),
            (not 0.0 <= self.offset_spread < 1.0, f"offset_spread is {self.offset_spread}",
             "Give 0 or more, below 1"),
            (not 0.0 < self.headroom < float("inf"), f"headroom is {self.headroom}",
             "Give a positive factor"),
            (not 0.0 < self.momentum <= 1.0, f"momentum is {self.momentum}",
             "Give a share above 0"),
            (self.every < 1, f"every is {self.every}", "Give 1 or more"),
        ):  # fmt: skip
            if wrong:
                raise SettingError(words, where="Converters", remedy=remedy)

    @property
    def label(self) -> str:
        """Both ends in words."""
        words = [self.level.label]
        if self.bit_serial:
            words.append("bit-serial inputs")
        if self.output_bits is not None:
            errors = [
                f"{name} {spread:g}"
                for name, spread in (("gain", self.gain_spread), ("offset", self.offset_spread))
                if spread
            ]
            spreads = f" (spread of {', '.join(errors)})" if errors else ""
            words.append(
                f"{self.output_bits}-bit converters for {self.columns_per_converter} "
                f"pairs each{spreads}"
            )
        return "; ".join(words)

    @property
    def wires(self) -> Wired | None:
        """Those of the level before."""
        return self.level.wires

    def weight(self, mean: Tensor, deviation: Tensor, *, gain: float, key: int) -> Tensor:
        """As the level before."""
        return self.level.weight(mean, deviation, gain=gain, key=key)

    def product(
        self, linear: LinearMap, inputs: Tensor, weight: Tensor, deviation: Tensor, *, gain: float,
        key: int, levels: Levels | None = None,
    ) -> Tensor:  # fmt: skip
        """Refused: converters have ranges, which belong to a weight."""
        raise SettingError(
            "These converters belong to no weight yet", remedy="Multiply with `bound(layout)`"
        )

    def bound(self, layout: Layout) -> "BoundConverters":
        """The converters of one weight."""
        return BoundConverters(self, layout)


class BoundConverters(nn.Module, Circuit):
    """The converters of one weight: their ranges, their errors, and what was beyond them.

    In evaluation, `conversions` and `saturated` count what was converted and what was outside.

    Args:
        settings: of the converters.
        layout: of the weight.
    """

    def __init__(self, settings: Converters, layout: Layout) -> None:
        super().__init__()
        self.settings, self.layout = settings, layout
        # Numbers on the host, since they set up kernels: on a GPU a look at a tensor would wait.
        self.ranges = [0.0] * len(layout.spans)
        self.products, self.every, self.conversions = 0, settings.every, 0
        self.register_buffer("saturated", torch.zeros((), dtype=torch.int64), persistent=False)
        self._partials: list[Partial] | None = None
        self._device = torch.device("cpu")

    saturated: Tensor

    @property
    def label(self) -> str:
        """That of the settings."""
        return self.settings.label

    @property
    def wires(self) -> Wired | None:
        """Those of the settings."""
        return self.settings.wires

    def weight(self, mean: Tensor, deviation: Tensor, *, gain: float, key: int) -> Tensor:
        """As the level before."""
        return self.settings.weight(mean, deviation, gain=gain, key=key)

    # torch.compile would compile anew for every range.
    @uncompiled
    def product(
        self, linear: LinearMap, inputs: Tensor, weight: Tensor, deviation: Tensor, *, gain: float,
        key: int, levels: Levels | None = None, outputs: slice = slice(None),
    ) -> Tensor:  # fmt: skip
        """Digitised sums; `outputs` says which of the weight's these are.

        The gradient is straight-through: inside the range of analog inputs' converters, and
        everywhere with bit-planes.

        Raises:
            SettingError: for bit-serial inputs without a converter before them, and in evaluation
                before a range is known.
        """
        read = Read(self.settings.level, linear, weight, deviation, gain)
        if self.settings.bit_serial and levels is None:
            raise SettingError(
                "Bit-serial inputs, but no converter makes them whole numbers of steps",
                remedy="Give input_bits to prune_ or program_",
            )
        if levels is not None and self.settings.bit_serial:
            if self.settings.output_bits is None:
                # Nothing is converted between the planes: one product, the noise of all of them.
                return read.noisy(linear(inputs, weight), noise_inputs(inputs, levels), key)
            if inputs.dim() < weight.dim():
                # A single sample.
                batch: Tensor = self.product(
                    linear, inputs.unsqueeze(0), weight, deviation, gain=gain, key=key,
                    levels=levels, outputs=outputs,
                )  # fmt: skip
                return batch.squeeze(0)
            planes: Iterable[Stack] = stacks(inputs, levels, together=self._together(inputs))
        else:
            planes = [Stack((1,), inputs.detach())]
        if not (torch.is_grad_enabled() and (inputs.requires_grad or weight.requires_grad)):
            return self._digitised(read, planes, key, outputs)
        plain = linear(inputs, weight)
        limits: Limits = []
        with torch.no_grad():
            whole = None if self.settings.bit_serial else plain.detach()
            result = self._digitised(read, planes, key, outputs, whole=whole, limits=limits)
        return straight_through(plain, result=result, limits=limits)

    def part(self, start: int, stop: int) -> Circuit:
        """These converters for some of the outputs."""
        return _PartOf(self, slice(start, stop))

    def forget(self) -> None:
        """Ranges are found anew, from the next product in training on."""
        self.products, self.ranges = 0, [0.0] * len(self.ranges)

    def reset_counts(self) -> None:
        """Counts from 0."""
        self.conversions = 0
        self.saturated.zero_()

    def get_extra_state(self) -> Tensor:
        """Products seen in training, and the ranges."""
        return torch.tensor([self.products, *self.ranges], dtype=torch.float64)

    def set_extra_state(self, state: Tensor) -> None:
        """Restores what `get_extra_state` gave."""
        products, *self.ranges = state.tolist()
        self.products = int(products)

    def extra_repr(self) -> str:
        """What `print(model)` says of it."""
        return self.label

    # --- Inside -----------------------------------------------------------------------------

    def _digitised(
        self, read: Read, planes: Iterable[Stack], key: int, outputs: slice, *,
        whole: Tensor | None = None, limits: Limits | None = None,
    ) -> Tensor:  # fmt: skip
        """Sums of every partial and plane, each digitised, shifted and added.

        Args:
            read: what to multiply by.
            planes: all of them, stacked.
            key: of the noise.
            outputs: which of the weight's.
            whole: the ideal sum of all partials of one plane, which is then not computed again.
            limits: gets what the converters of a plane of `whole` were given.
        """
        look = self.training and (self.products < _FIRST or self.products % self.every == 0)
        self.products += self.training
        known, peaks = list(self.ranges), [0.0] * len(self.ranges)
        total: Tensor | None = None
        for stack in planes:
            every = self._partials_on(read.weight.device)
            keys = [[key_of(key, shift, n) for shift in stack.shifts] for n in range(len(every))]
            all_sums = read.sums(stack.inputs, every, keys, whole)
            for partial, sums in zip(every, all_sums, strict=True):
                needed = look or not self.training or partial.errors is not None
                touched = read.touched(stack.inputs, partial) if needed else None
                if look:
                    room, share = self.settings.headroom, _share_of(touched)
                    for own in stack.each(sums):
                        found = range_of(own, headroom=room, share=share)
                        peaks[partial.span] = max(peaks[partial.span], found)
                full_scale = known[partial.span] or peaks[partial.span]
                converted = self._converted(
                    sums, partial, full_scale=full_scale, touched=touched, outputs=outputs,
                    limits=None if whole is None else limits,
                )  # fmt: skip
                for shift, own in zip(stack.shifts, stack.each(converted), strict=True):
                    if total is not None:
                        total.add_(own, alpha=shift)
                    else:
                        # A view would keep the sums of all planes.
                        total = own if own is converted and shift == 1 else own * shift
        for span, peak in enumerate(peaks):
            # Sums that are all zero tell nothing of the range.
            if peak > 0.0:
                momentum = self.settings.momentum if known[span] else 1.0
                self.ranges[span] += momentum * (peak - known[span])
        assert total is not None
        return total

    def _converted(
        self, sums: Tensor, partial: Partial, *, full_scale: float, touched: Tensor | None,
        outputs: slice, limits: Limits | None,
    ) -> Tensor:  # fmt: skip
        bits = self.settings.output_bits
        assert bits is not None
        if full_scale == 0.0 and not self.training:
            raise SettingError(
                "A converter at the output lines has no range yet",
                cause="evaluation before any training step",
                remedy="Run a batch in training mode first, or calibrate_, or load a saved model",
            )
        gain: Tensor | None = None
        offset: Tensor | None = None
        if partial.errors is not None:
            gain, offset = (errors[outputs] for errors in partial.errors)
            # Groups of a transposed convolution take turns on the same columns.
            groups = sums.shape[-gain.dim()] // len(gain)
            repeats = (groups, *(1,) * (gain.dim() - 1))
            # In the sums' own precision: a product with another would change it.
            gain = gain.repeat(repeats).to(sums.dtype)
            offset = (offset.repeat(repeats) * full_scale).to(sums.dtype)
            offset = offset if touched is None else offset * touched
        # Before the first sum that is not zero the range is zero, and so is every result.
        step = max(full_scale / (2 ** (bits - 1) - 1), torch.finfo(torch.float32).tiny)
        if limits is not None:
            given = sums if gain is None or offset is None else sums * gain + offset
            # What rounds to the last level is inside.
            limits.append((given, (2 ** (bits - 1) - 0.5) * step))
            sums, gain, offset = given.clone(), None, None
        saturated = None if self.training else self.saturated
        if not self.training:
            self.conversions += round(sums.numel() * _share_of(touched))
        return digitise_(sums, step=step, bits=bits, saturated=saturated, gain=gain, offset=offset)

    def _together(self, inputs: Tensor) -> int:
        """How many planes one product takes: one at a time where a range is not known yet."""
        if not all(self.ranges):
            return 1
        inner, outer = (self.layout.shape[axis] for axis in (1, 0))
        if self.layout.inputs_first:
            inner, outer = outer, inner
        size = inputs.numel() * max(outer, inner) // inner
        return max(_STACKED // max(size, 1), 1)

    def _partials_on(self, device: torch.device) -> list[Partial]:
        if self._partials is None or self._device != device:
            spreads = (self.settings.gain_spread, self.settings.offset_spread)
            share = self.settings.columns_per_converter
            found = partials(self.layout, spreads=spreads, columns_per_converter=share)
            self._partials, self._device = [p.to(device) for p in found], device
        return self._partials


def _share_of(touched: Tensor | None) -> float:
    return 1.0 if touched is None else float(touched.to(torch.float32).mean())


class _PartOf(Circuit):
    """Some of the outputs of bound converters, as heads of attention use one weight."""

    def __init__(self, whole: BoundConverters, outputs: slice) -> None:
        self.whole, self.outputs = whole, outputs

    @property
    def label(self) -> str:
        """That of the whole."""
        return self.whole.label

    def weight(self, mean: Tensor, deviation: Tensor, *, gain: float, key: int) -> Tensor:
        """As the whole."""
        return self.whole.weight(mean, deviation, gain=gain, key=key)

    def product(
        self, linear: LinearMap, inputs: Tensor, weight: Tensor, deviation: Tensor, *, gain: float,
        key: int, levels: Levels | None = None,
    ) -> Tensor:  # fmt: skip
        """As the whole, with the errors of these outputs' converters."""
        result: Tensor = self.whole.product(
            linear, inputs, weight, deviation, gain=gain, key=key, levels=levels,
            outputs=self.outputs,
        )  # fmt: skip
        return result
