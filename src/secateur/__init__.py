"""secateur prunes random resistive memory into working neural networks.

import torch, secateur as st

chip = st.SimulatedChip("taox-40nm", seed=0)
model = MyNetwork()
st.prune_(model, chip, keep_fraction=0.5)
optimizer = torch.optim.SGD(model.parameters(), lr=0.03, momentum=0.9)
...
print(st.evaluate(model, loader))
"""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from secateur.chip import (
        Chip,
        FixedVoltage,
        Forming,
        RecordedChip,
        SimulatedChip,
        VoltageRamp,
    )
    from secateur.circuit import Circuit, Converters, Ideal, ReadPerProduct, ReadPerStep, Wired
    from secateur.device import Technology
    from secateur.errors import SecateurError
    from secateur.experiment.evaluate import Evaluation, evaluate
    from secateur.network import (
        calibrate_,
        calibration_currents,
        compensate_,
        detach_,
        load_,
        program_,
        prune_,
        pruned_weights,
        quantise_,
        save,
        settle_,
        uncompensate_,
    )
    from secateur.topology import Annealed, FlipBudget, Rule, TopK

# Looked up on first use: `secateur --help` does not wait for torch.
_HOME = {
    "Annealed": "topology",
    "Chip": "chip",
    "Circuit": "circuit",
    "Converters": "circuit",
    "Evaluation": "experiment.evaluate",
    "FixedVoltage": "chip",
    "FlipBudget": "topology",
    "Forming": "chip",
    "Ideal": "circuit",
    "ReadPerProduct": "circuit",
    "ReadPerStep": "circuit",
    "RecordedChip": "chip",
    "Rule": "topology",
    "SecateurError": "errors",
    "SimulatedChip": "chip",
    "Technology": "device",
    "TopK": "topology",
    "VoltageRamp": "chip",
    "Wired": "circuit",
    "calibrate_": "network",
    "calibration_currents": "network",
    "compensate_": "network",
    "detach_": "network",
    "evaluate": "experiment.evaluate",
    "load_": "network",
    "program_": "network",
    "prune_": "network",
    "pruned_weights": "network",
    "quantise_": "network",
    "save": "network",
    "settle_": "network",
    "uncompensate_": "network",
}
__all__ = [
    "Annealed",
    "Chip",
    "Circuit",
    "Converters",
    "Evaluation",
    "FixedVoltage",
    "FlipBudget",
    "Forming",
    "Ideal",
    "ReadPerProduct",
    "ReadPerStep",
    "RecordedChip",
    "Rule",
    "SecateurError",
    "SimulatedChip",
    "Technology",
    "TopK",
    "VoltageRamp",
    "Wired",
    "calibrate_",
    "calibration_currents",
    "compensate_",
    "detach_",
    "evaluate",
    "load_",
    "program_",
    "prune_",
    "pruned_weights",
    "quantise_",
    "save",
    "settle_",
    "uncompensate_",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'secateur' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"secateur.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
