"""Ageing: when each cell was last changed, and what it conducts by now.

Time is the one thing besides pulses that changes a conductance. What the last pulse left (the
programmed conductance) is never touched by it: what a cell conducts now is a pure function of
that, of its age, of the reads since, and of draws keyed by its address and its last pulse.
"""

import math
from dataclasses import dataclass, fields
from typing import Protocol

import torch
from torch import Tensor

from secateur import device
from secateur.chip.room import appended, with_room
from secateur.device import Technology
from secateur.errors import SettingError


class KeyedNormals(Protocol):
    """Four standard normals (4, n) for each of n cells at given pulse numbers."""

    def __call__(self, cells: Tensor, pulses: Tensor | int) -> Tensor:
        """The draws."""
        ...


@dataclass
class Ages:
    """A chip's clock, and each cell's reading of it at its last change.

    Args:
        clock: equivalent seconds since the chip was made: seconds at the technology's reference
            temperature that would have aged it as much. float64 of shape (), as `reads`.
        reads: reads of every cell in that time that disturb.
        changed: the clock at each cell's last change; while no time has passed, one zero that
            stands for all.
        read: the reads at each cell's last change; likewise.
        pulse: the number of the pulse that changed it, int32.
    """

    clock: Tensor
    reads: Tensor
    changed: Tensor
    read: Tensor
    pulse: Tensor

    @classmethod
    def empty(cls) -> "Ages":
        """The ages of a chip without cells."""
        zero, none = torch.zeros((), dtype=torch.float64), torch.zeros(0, dtype=torch.float64)
        return cls(zero, zero.clone(), none, none.clone(), none.to(torch.int32))

    def extend(self, cells: int) -> None:
        """Adds cells that are new by now."""
        self.pulse = appended(self.pulse, self.pulse.new_zeros(cells))
        if self.passed:
            fresh = torch.ones(cells, dtype=torch.float64, device=self.changed.device)
            self.changed = torch.cat([self.changed, fresh * self.clock])
            self.read = torch.cat([self.read, fresh * self.reads])
        else:
            self._stand_for(len(self.pulse))

    def expect(self, cells: int) -> None:
        """Makes room for so many cells in all."""
        self.pulse = with_room(self.pulse, cells)

    def shaped(self, *, passed: bool) -> "Ages":
        """As many cells, with tensors of their own for what is saved of a chip.

        Args:
            passed: whether time has passed on that one.
        """
        zero, pulse = torch.zeros_like(self.clock), torch.zeros_like(self.pulse)
        twin = Ages(zero, zero.clone(), self.changed, self.read, pulse)
        if passed:
            twin.changed = torch.zeros_like(pulse, dtype=torch.float64)
            twin.read = twin.changed.clone()
        else:
            twin._stand_for(len(pulse))
        return twin

    def _stand_for(self, cells: int) -> None:
        zero = torch.zeros(1, dtype=torch.float64, device=self.pulse.device)
        self.changed = self.read = zero.expand(cells)

    def note(self, cells: Tensor, pulses: Tensor) -> None:
        """Cells that a pulse has changed start anew."""
        self.pulse[cells] = pulses
        if self.passed:
            self.changed[cells] = float(self.clock)
            self.read[cells] = float(self.reads)

    @property
    def passed(self) -> bool:
        """Whether any time has passed, or a read that disturbs."""
        return float(self.clock) > 0.0 or float(self.reads) > 0.0

    def of(self, cells: Tensor | slice) -> float | Tensor:
        """Equivalent seconds since the given cells were last changed."""
        return self.clock - self.changed[cells] if self.passed else 0.0

    def of_pairs(self, pairs: Tensor | slice) -> float | Tensor:
        """The same of both cells of pairs, (n, 2)."""
        return self.clock - self.changed.view(-1, 2)[pairs] if self.passed else 0.0

    def let_pass(
        self, technology: Technology, seconds: float, *, temperature: float | None, reads: float
    ) -> None:
        """Moves the clock.

        Raises:
            SettingError: for durations, temperatures and counts that cannot be.
        """
        if temperature is None:
            temperature = technology.reference_temperature
        for name, value in (("seconds", seconds), ("reads", reads)):
            if not (math.isfinite(value) and value >= 0.0):
                raise SettingError(
                    f"A chip cannot age by {name} = {value}",
                    remedy="Give a finite number of 0 or more: time does not run backwards",
                )
        if not (math.isfinite(temperature) and temperature > 0.0):
            raise SettingError(
                f"{temperature} K is no temperature", where="advance",
                cause="degrees Celsius, perhaps",
                remedy="Give kelvin: degrees Celsius + 273.15",
            )  # fmt: skip
        factor = device.arrhenius_factor(
            temperature, activation_energy=technology.activation_energy,
            reference_temperature=technology.reference_temperature,
        )  # fmt: skip
        if not self.passed:
            self.changed, self.read = self.changed.contiguous(), self.read.clone().contiguous()
        self.clock += seconds * factor
        self.reads += reads

    def aged(
        self, technology: Technology, cells: Tensor, programmed: Tensor, draws: KeyedNormals
    ) -> Tensor:
        """What formed cells conduct by now, in siemens, from what their last pulses left."""
        law, now = technology, programmed
        if law.drift_law.moves:
            now = law.drift_law.aged(
                now, self.clock - self.changed[cells], draws(cells, 0)[0],
                draws(cells, self.pulse[cells])[1], written=law.written_deviation,
            )  # fmt: skip
        if law.read_disturb > 0.0:
            seen = self.reads - self.read[cells]
            now = device.disturbed(now, seen, share=law.read_disturb, towards=law.high_conductance)
        return now

    def tensors(self) -> dict[str, Tensor]:
        """All of it by name, for saving: the tensors themselves, but zeros that stand for all."""
        names = [field.name for field in fields(self)]
        if not self._own_clocks:
            names = ["clock", "reads", "pulse"]
        return {f"age_{name}": getattr(self, name) for name in names}

    @property
    def _own_clocks(self) -> bool:
        return not len(self.changed) or self.changed.stride(0) != 0

    def to(self, target: torch.device) -> None:
        """Moves what there is per cell to a device; the clock stays with the processor."""
        for name in ("changed", "read", "pulse"):
            setattr(self, name, getattr(self, name).to(target))
