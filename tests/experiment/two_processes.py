"""What two processes do together, for test_processes.py, which launches this file once.

    torchrun --nproc-per-node 2 two_processes.py FOLDER

Every rank writes what it has found to FOLDER/RANK.json and FOLDER/NAME-RANK.safetensors. At the
end both are `secateur run`.
"""

import json
import sys
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from secateur.chip import SimulatedChip
from secateur.circuit import InputConverter
from secateur.circuit.blocks import extent
from secateur.device import Technology
from secateur.errors import ChipError, DivergedError
from secateur.experiment.norms import share_norms
from secateur.experiment.processes import Processes, agreed, check_alike, processes
from secateur.experiment.recipe import Recipe, Training
from secateur.experiment.setting import Trial
from secateur.experiment.training import Trainer
from secateur.experiment.trial import run_trial
from secateur.network import prune_, pruned_weights
from secateur.tasks import Split
from secateur.tasks.digits import DigitsNetwork
from secateur.tasks.digits_data import load_digits

RUN = (
    "run", "digits", "--arm", "pruned", "--epochs", "2", "--set", "network.channels=4",
    "--set", "network.hidden=12", "--set", "training.batch_size=64",
    "--set", "chip.values.read_noise=0", "--json",
)  # fmt: skip
SCENARIOS: dict[str, dict[str, Any]] = {
    "quiet": {"noise": 0.0, "bits": None},
    "noisy": {"noise": 0.05, "bits": 4},
    "parts": {"noise": 0.05, "bits": 4, "accumulation": 2, "precision": "bf16"},
}


def trained(together: Processes | None, *, noise: float, bits: int | None, **settings) -> Trainer:
    """Six steps of a small network on digits."""
    torch.manual_seed(0)
    model: nn.Module = DigitsNetwork(channels=4, hidden=12)
    if together is not None and together.count > 1:
        share_norms(model)
    law = Technology.load("taox-40nm").with_values(read_noise=noise)
    prune_(model, SimulatedChip(law, seed=0), input_bits=bits)
    data = load_digits().training
    samples = Split(data.inputs[:192], data.targets[:192])
    loop = Training(epochs=1, batch_size=32, learning_rate=0.1, **settings)
    trainer = Trainer(model, samples, loop, seed=3, together=together)
    trainer.run(lambda line: None)
    return trainer


def tensors_of(model: nn.Module) -> dict[str, Tensor]:
    """Scores, masks, statistics of norms, and all of the chip."""
    weights = pruned_weights(model)
    chip = next(iter(weights.values())).chip
    state = {f"chip.{name}": t for name, t in chip.state().tensors.items() if name != "reads"}
    norms = {name: t for name, t in model.state_dict().items() if "running" in name}
    scores = {f"{name}.scores": w.scores.detach().clone() for name, w in weights.items()}
    masks = {f"{name}.mask": w.mask.clone() for name, w in weights.items()}
    return {**state, **norms, **scores, **masks}


def ranges_of(model: nn.Module) -> list[float]:
    """Full scales of the converters."""
    return [m.full_scale for m in model.modules() if isinstance(m, InputConverter)]


def norm_gradients(rank: int) -> dict[str, Tensor]:
    """A shared norm on this rank's half of a batch: outputs, gradients, statistics."""
    inputs, upstream = whole_batch()
    half = slice(4 * rank, 4 * rank + 4)
    model = share_norms(nn.Sequential(nn.BatchNorm2d(3)))
    own = inputs[half].clone().requires_grad_()
    outputs = model(own)
    outputs.backward(upstream[half])
    assert own.grad is not None
    return {"outputs": outputs.detach(), "gradient": own.grad, "mean": model[0].running_mean,
            "variance": model[0].running_var, "bias": model[0].bias.grad}  # fmt: skip


def whole_batch() -> tuple[Tensor, Tensor]:
    """Inputs with a large mean, and what flows back to the outputs."""
    source = torch.Generator().manual_seed(0)
    inputs = 100.0 + 3.0 * torch.randn(8, 3, 5, 5, generator=source)
    return inputs, torch.randn(8, 3, 5, 5, generator=source)


class Rootless(nn.Module):
    """Finite logits whose gradient is no number: of a root at zero, times zero."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(2, 3))

    def forward(self, inputs: Tensor) -> Tensor:
        return inputs @ (self.weight + 0.0 * self.weight.sqrt())


def divergence(together: Processes, *, broken: int | None) -> str:
    """What one step of eight samples ends with, of which one may be no number."""
    inputs = torch.ones(8, 2)
    if broken is not None:
        inputs[broken] = float("nan")
    model: nn.Module = Rootless() if broken is None else nn.Linear(2, 3)
    loop = Training(epochs=1, batch_size=8)
    samples = Split(inputs, torch.arange(8) % 3)
    try:
        Trainer(model, samples, loop, seed=0, together=together).run(lambda line: None)
    except DivergedError as refusal:
        return str(refusal)
    return ""


def half_finished(folder: Path, together: Processes) -> str:
    """What becomes of a trial that only the first of two processes sees finished."""
    trial, own = Trial("pruned", "", {}, 0, "test"), Recipe.parse({"task": "digits"}, where="test")
    place = folder / f"seen-by-{together.rank}" / "trials" / trial.name
    place.mkdir(parents=True)
    if together.leads:
        (place / "result.json").write_text("{}")
    try:
        run_trial(trial, own, place, data=None, report=lambda line: None, together=together)
    except ChipError as refusal:
        return str(refusal)
    return ""


def main() -> None:
    """All scenarios, then the command."""
    folder, together = Path(sys.argv[1]), processes()
    torch.set_num_threads(1)
    found: dict[str, Any] = {"count": together.count, "rank": together.rank}
    for name, settings in SCENARIOS.items():
        trainer = trained(together, **settings)
        path = folder / f"{name}-{together.rank}.safetensors"
        save_file({n: t.contiguous() for n, t in tensors_of(trainer.model).items()}, path)
        found[name] = {
            "history": trainer.progress.history, "ranges": ranges_of(trainer.model),
            "answers": trainer.model.eval()(torch.ones(1, 1, 8, 8)).tolist(),
        }  # fmt: skip
    save_file(norm_gradients(together.rank), folder / f"norm-{together.rank}.safetensors")
    found["extent"] = extent(whole_batch()[0][4 * together.rank :][:4])
    found["agreed"] = agreed(f"runs/of-{together.rank}-é")
    try:
        check_alike(lambda: torch.tensor([float(together.rank)]), what="Ranks", remedy="None")
    except RuntimeError as refusal:
        found["refusal"] = str(refusal)
    found["half finished"] = half_finished(folder, together)
    found["diverged"] = [divergence(together, broken=broken) for broken in (None, 3)]
    (folder / f"{together.rank}.json").write_text(json.dumps(found), encoding="utf-8")
    from secateur.cli.main import run_command_line

    sys.argv = ["secateur", *RUN, "--out", str(folder / f"run-{together.rank}")]
    run_command_line()


if __name__ == "__main__":
    main()
