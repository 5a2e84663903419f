"""Several processes train one model: one chip, one record, the steps of one process."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from two_processes import SCENARIOS, tensors_of, trained, whole_batch

from secateur.circuit.blocks import extent
from secateur.errors import SettingError
from secateur.experiment.monte_carlo import monte_carlo
from secateur.experiment.norms import SharedNorm, share_norms
from secateur.experiment.processes import Alone, agreed, check_precision
from secateur.experiment.recipe import Recipe, Training
from secateur.experiment.runner import run_experiment
from secateur.experiment.training import Trainer
from secateur.tasks import Split

pytest.importorskip("accelerate", reason="accelerate is not installed")


@dataclass
class Pair:
    """What the two processes have left."""

    folder: Path
    stdout: str
    found: list[dict[str, Any]]

    def tensors(self, name: str) -> list[dict[str, Tensor]]:
        return [load_file(self.folder / f"{name}-{rank}.safetensors") for rank in (0, 1)]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    folder = tmp_path_factory.mktemp("pair")
    script = Path(__file__).with_name("two_processes.py")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone",
               "--nproc-per-node", "2", str(script), str(folder)]  # fmt: skip
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "GLOO_SOCKET_IFNAME": "lo",
        "ACCELERATE_USE_CPU": "1",
    }
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    found = [json.loads((folder / f"{rank}.json").read_text()) for rank in (0, 1)]
    return Pair(folder, done.stdout, found)


def test_each_process_knows_its_place(pair: Pair) -> None:
    assert [(found["rank"], found["count"]) for found in pair.found] == [(0, 2), (1, 2)]


@pytest.mark.parametrize("name", SCENARIOS)
def test_both_hold_the_same_chip_scores_and_norms_to_the_bit(pair: Pair, name: str) -> None:
    first, second = pair.tensors(name)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert pair.found[0][name]["ranges"] == pair.found[1][name]["ranges"]
    assert pair.found[0][name]["history"] == pair.found[1][name]["history"]


def test_they_take_the_steps_of_one_process_and_count_every_pulse_once(pair: Pair) -> None:
    """Without read noise: masks, conductances and the ledger are the same, cell by cell."""
    alone = trained(None, **SCENARIOS["quiet"])
    expected, (found, _) = tensors_of(alone.model), pair.tensors("quiet")
    for name in expected:
        if name.startswith("chip.") or name.endswith(".mask"):
            assert torch.equal(found[name], expected[name]), name
        else:
            torch.testing.assert_close(found[name], expected[name], rtol=1e-3, atol=1e-5)
    (line,), (own,) = pair.found[0]["quiet"]["history"], alone.progress.history
    assert line["set_pulses"] == own["set_pulses"] > 0
    assert line["train_loss"] == pytest.approx(own["train_loss"], rel=1e-4)
    assert line["train_accuracy"] == own["train_accuracy"]


def test_converters_look_at_the_inputs_of_all(pair: Pair) -> None:
    """Each had half of a batch; both found lowest, highest, norm and number of the whole."""
    expected = pytest.approx(extent(whole_batch()[0]), rel=1e-6)
    assert [found["extent"] for found in pair.found] == [expected, expected]


def test_read_noise_is_anothers_on_every_rank(pair: Pair) -> None:
    first, second = (found["noisy"]["answers"] for found in pair.found)
    assert first != second
    first, second = (found["quiet"]["answers"] for found in pair.found)
    assert first == second


def test_a_shared_norm_is_the_plain_norm_of_the_whole_batch(pair: Pair) -> None:
    inputs, upstream = whole_batch()
    plain, given = nn.BatchNorm2d(3), inputs.clone().requires_grad_()
    outputs = plain(given)
    outputs.backward(upstream)
    halves = pair.tensors("norm")
    both = {key: torch.cat([half[key] for half in halves]) for key in ("outputs", "gradient")}
    torch.testing.assert_close(both["outputs"], outputs.detach(), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(both["gradient"], given.grad, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(halves[0]["mean"], plain.running_mean)
    torch.testing.assert_close(halves[0]["variance"], plain.running_var)
    # What each rank has of a parameter's gradient is its own share.
    torch.testing.assert_close(halves[0]["bias"] + halves[1]["bias"], plain.bias.grad)


def test_the_leading_process_settles_what_has_the_time_in_it(pair: Pair) -> None:
    assert {found["agreed"] for found in pair.found} == {"runs/of-0-é"}
    assert agreed("runs/alone") == "runs/alone"


def test_processes_that_have_drifted_apart_say_so(pair: Pair) -> None:
    assert all("Ranks differ from process to process" in f["refusal"] for f in pair.found)


def test_a_trial_that_one_of_them_sees_finished_is_refused_by_both(pair: Pair) -> None:
    for found in pair.found:
        assert "finished trials that processes see differ" in found["half finished"]
        assert "disk that all of them share" in found["half finished"]


def test_all_stop_where_the_loss_of_one_is_no_number_or_a_step_ends_in_none(pair: Pair) -> None:
    """One sample is in one share only; parameters that are no number are alike in all."""
    for found in pair.found:
        step, loss = found["diverged"]
        assert "norm of the parameters became nan in epoch 1" in step
        assert "loss became nan in epoch 1" in loss


def test_the_command_writes_and_speaks_once(pair: Pair, tmp_path: Path) -> None:
    run = pair.folder / "run-0"
    record = json.loads((run / "record.json").read_text())
    assert record["machine"]["processes"] == 2
    assert json.loads(pair.stdout) == record
    assert not (pair.folder / "run-1").exists()
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2]
    # Without read noise one process sends the same pulses: counted twice they would be more.
    alone = run_experiment(Recipe.read(run / "recipe.toml"), tmp_path / "alone")
    (trial,), (own,) = (r["results"][0]["trials"] for r in (record, alone))
    assert trial["pulses"] == own["pulses"]
    assert own["pulses"]["set"] > 0


def test_a_run_goes_on_with_another_number_of_processes(pair: Pair, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(pair.folder / "run-0", run)
    before = json.loads((run / "record.json").read_text())
    trial = run / "trials" / "pruned-chip0"
    (trial / "result.json").unlink()
    (trial / "checkpoint-0002.safetensors").unlink()
    recipe = Recipe.read(run / "recipe.toml")
    record = run_experiment(recipe, run, resume=True)
    (now,), (then,) = (r["results"][0]["trials"] for r in (record, before))
    assert now["history"][0] == then["history"][0]
    assert len(now["history"]) == 2
    assert now["notes"] == ["Epochs up to 1 were trained by 2 process(es), later ones by 1"]


def _perceptron_trained(**settings) -> tuple[nn.Module, Trainer]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 4))
    samples = Split(torch.randn(96, 12), torch.randint(0, 4, (96,)))
    loop = Training(epochs=1, batch_size=24, **settings)
    trainer = Trainer(model, samples, loop, seed=0)
    trainer.run(lambda line: None)
    return model, trainer


def test_a_batch_in_parts_takes_the_step_of_the_whole() -> None:
    whole, _ = _perceptron_trained()
    parts, trainer = _perceptron_trained(accumulation=4)
    for one, other in zip(whole.parameters(), parts.parameters(), strict=True):
        torch.testing.assert_close(one, other)
    assert len(trainer.progress.history) == 1


def test_half_precision_is_used_and_leaves_parameters_as_they_are() -> None:
    exact, _ = _perceptron_trained()
    half, trainer = _perceptron_trained(precision="bf16")
    assert {p.dtype for p in half.parameters()} == {torch.float32}
    pairs = list(zip(exact.parameters(), half.parameters(), strict=True))
    assert not all(torch.equal(one, other) for one, other in pairs)
    for one, other in pairs:
        # Eight bits of a product's fraction.
        torch.testing.assert_close(one, other, rtol=0.1, atol=0.02)
    assert trainer.progress.history[0]["train_loss"] < 3.0


def test_a_batch_that_cannot_be_shared_out_evenly_is_refused() -> None:
    with pytest.raises(SettingError, match=r"24 samples.*5 parts"):
        _perceptron_trained(accumulation=5)


def test_a_launchers_precision_must_be_the_recipes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "no")
    check_precision("float32")
    check_precision("bf16")
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
    check_precision("bf16")
    with pytest.raises(SettingError, match=r"training\.precision=bf16"):
        check_precision("float32")


def test_a_command_that_trains_in_one_process_is_not_launched_many_times(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(SettingError, match="without a launcher"):
        run_experiment(Recipe.parse({"task": "digits"}, where="test"), tmp_path / "run")
    assert not (tmp_path / "run").exists()
    begun = tmp_path / "begun"
    begun.mkdir()
    (begun / "recipe.toml").write_text(Recipe.parse({"task": "digits"}, where="test").toml())
    with pytest.raises(SettingError, match="without a launcher"):
        monte_carlo(begun)


def test_a_shared_norm_alone_is_the_plain_one() -> None:
    plain = nn.BatchNorm1d(4, affine=False)
    shared = share_norms(nn.Sequential(nn.BatchNorm1d(4, affine=False)))
    assert isinstance(shared[0], SharedNorm)
    inputs = torch.randn(5, 4)
    assert torch.equal(shared(inputs), plain(inputs))
    assert shared.state_dict().keys() == {f"0.{key}" for key in plain.state_dict()}
    assert Alone().count == 1
