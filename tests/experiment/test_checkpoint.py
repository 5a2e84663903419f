"""What a checkpoint brings back besides the model: the generators that training draws from."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from secateur.errors import FileError
from secateur.experiment.checkpoint import restore_checkpoint, save_checkpoint
from secateur.experiment.processes import Alone
from secateur.experiment.recipe import Training
from secateur.experiment.training import Trainer
from secateur.tasks import Split


def trainer(device: str = "cpu", seed: int = 0, **settings) -> Trainer:
    where = Alone()
    model = nn.Sequential(nn.Linear(4, 8), nn.Dropout(), nn.Linear(8, 2)).to(device)
    samples = Split(torch.randn(12, 4), torch.randint(0, 2, (12,)))
    training = Training(**{"epochs": 2, "batch_size": 4, **settings})
    made = Trainer(model, samples, training, seed=seed, together=where)
    where.device = torch.device(device)
    return made


def test_the_generator_of_a_gpu_comes_back_with_that_of_the_processor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dropout on a GPU draws from the GPU's own; here one that remembers what it is set to."""
    held = {"state": torch.arange(16, dtype=torch.uint8)}

    def set_state(state: Tensor, device: torch.device) -> None:
        assert device.type == "cuda"
        held["state"] = state.clone()

    monkeypatch.setattr(torch.cuda, "get_rng_state", lambda device: held["state"])
    monkeypatch.setattr(torch.cuda, "set_rng_state", set_state)
    made = trainer()
    made.together.device = torch.device("cuda")
    saved, own = held["state"].clone(), torch.get_rng_state()
    save_checkpoint(tmp_path, made)
    held["state"] = torch.zeros(16, dtype=torch.uint8)
    torch.rand(3)
    assert restore_checkpoint(tmp_path, made) == []
    assert torch.equal(held["state"], saved)
    assert torch.equal(torch.get_rng_state(), own)
    # One that goes on without a GPU has no use for it, and asks for none.
    held["state"] = torch.zeros(16, dtype=torch.uint8)
    restore_checkpoint(tmp_path, trainer())
    assert not bool(held["state"].any())


@pytest.mark.parametrize(
    ("other", "words"),
    [({"epochs": 3}, "epochs was 2, here it is 3"), ({"seed": 1}, "seed was 0, here it is 1"),
     ({"learning_rate": 0.2}, "learning_rate was 0.1, here it is 0.2")],
)  # fmt: skip
def test_a_checkpoint_of_another_training_is_refused(tmp_path: Path, other, words) -> None:
    """The model may be the same: learning rates and the order of samples would be mixed."""
    save_checkpoint(tmp_path, trainer())
    with pytest.raises(FileError, match=words):
        restore_checkpoint(tmp_path, trainer(**other))


def test_a_setting_that_did_not_exist_then_is_no_other_training(tmp_path: Path) -> None:
    made = trainer()
    save_checkpoint(tmp_path, made)
    later = trainer()
    later.identity = lambda: {**made.identity(), "brand_new": 1}  # type: ignore[method-assign]
    assert restore_checkpoint(tmp_path, later) == []


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_dropout_on_a_gpu_goes_on_as_if_it_had_never_stopped(tmp_path: Path) -> None:
    made = trainer("cuda")
    save_checkpoint(tmp_path, made)
    inputs = torch.ones(64, 4, device="cuda")
    then = made.model(inputs)
    restore_checkpoint(tmp_path, made)
    assert torch.equal(made.model(inputs), then)
