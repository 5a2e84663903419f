"""Model and chip in one file: what is loaded gives the same outputs to the bit, without a pulse."""

import json
import os
import stat
from pathlib import Path

import pytest
import torch
from networks import (
    QUIET,
    Holder,
    Tagger,
    chip_of,
    conductances,
    perceptron,
    pruned,
    switching,
    train,
    weights_of,
)
from safetensors import SafetensorError, safe_open
from torch import nn

from secateur.chip import Chip, FixedVoltage, Geometry, SimulatedChip
from secateur.circuit import ReadPerProduct
from secateur.errors import ChipError, FileError, ModelError, SettingError
from secateur.network import (
    load_,
    pack,
    program_,
    prune_,
    pruned_weights,
    quantise_,
    read_tensors,
    save,
    unpack_,
    write_tensors,
)
from secateur.topology import Annealed, TopK


def trained_tagger(**settings) -> nn.Module:
    model = pruned(Tagger(), input_bits=4, **settings)
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    for _ in range(3):
        optimizer.zero_grad()
        model(torch.randn(4, 3, 6)).square().sum().backward()
        optimizer.step()
    return model


def ledger(model: nn.Module) -> list[torch.Tensor]:
    own = chip_of(model).ledger
    return [own.form, own.set, own.reset]


# --- The same to the bit --------------------------------------------------------------------------


@pytest.mark.parametrize("grain", ["pair", "cell"])
@pytest.mark.parametrize("circuit", [None, ReadPerProduct()])
def test_a_loaded_model_gives_the_same_outputs_and_the_chip_got_no_pulse(tmp_path, grain, circuit):
    model = trained_tagger(grain=grain, circuit=circuit)
    save(model, tmp_path / "model.safetensors")
    again = pruned(Tagger(), input_bits=4, grain=grain, circuit=circuit)
    inputs = torch.randn(5, 3, 6)
    assert load_(again, tmp_path / "model.safetensors") is again
    assert all(torch.equal(a, b) for a, b in zip(ledger(again), ledger(model), strict=True))
    assert torch.equal(conductances(again), conductances(model))
    for own, other in zip(weights_of(again), weights_of(model), strict=True):
        known, expected = (w.chip.statistics(w.region) for w in (own, other))
        assert torch.equal(known.difference, expected.difference)
        assert torch.equal(known.deviation, expected.deviation)
    model.eval()
    again.eval()
    for _ in range(2):
        assert torch.equal(again(inputs), model(inputs))
    assert switching(again) == switching(model)


@pytest.mark.parametrize("step", [False, True])
@pytest.mark.parametrize("interval", [1, 2, 3])
def test_training_goes_on_as_if_it_had_never_stopped(tmp_path, step, interval):
    settings = {"interval": interval, "input_bits": 4, "rule": TopK(dead_band=0.05),
                "schedule": Annealed(6), "keep_fraction": 0.4}  # fmt: skip
    model, again = pruned(**settings), pruned(**settings)
    train(model, 4)
    if step:
        # The last step's change of the scores has been seen, otherwise it is still to be.
        model(torch.randn(4, 12))
    save(model, tmp_path / "model")
    load_(again, tmp_path / "model")
    assert train(again, 5) == train(model, 5)
    assert torch.equal(conductances(again), conductances(model))
    assert all(torch.equal(a, b) for a, b in zip(ledger(again), ledger(model), strict=True))
    assert all(
        torch.equal(own.mask, other.mask) and own.flips == other.flips
        for own, other in zip(weights_of(again), weights_of(model), strict=True)
    )


def test_loading_undoes_whatever_was_done_to_the_model_meanwhile(tmp_path):
    model = pruned()
    save(model, tmp_path / "model")
    expected = conductances(model)
    train(model, 5)
    assert not torch.equal(conductances(model), expected)
    load_(model, tmp_path / "model")
    assert torch.equal(conductances(model), expected)
    again = pruned()
    assert train(model, 3) == train(again, 3)


def test_shared_weights_are_stored_once(tmp_path):
    def make() -> nn.Module:
        tied = nn.Sequential(nn.Linear(12, 12), nn.Linear(12, 12), nn.Linear(12, 4))
        tied[1].weight = tied[0].weight
        tied[1].bias = tied[0].bias
        return pruned(tied)

    model, again = make(), make()
    train(model, 3)
    save(model, tmp_path / "model")
    with safe_open(tmp_path / "model", framework="pt") as file:
        names = set(file.keys())
    assert "network/0.weight.scores" in names
    assert not any(name.startswith("network/1.") and "extra" not in name for name in names)
    load_(again, tmp_path / "model")
    assert again[0].weight is again[1].weight
    assert torch.equal(again.eval()(torch.ones(2, 12)), model.eval()(torch.ones(2, 12)))


def test_programmed_quantised_and_plain_models_are_saved_too(tmp_path):
    makers = {
        "programmed": lambda: program_(perceptron(), SimulatedChip()),
        "quantised": lambda: quantise_(perceptron(), input_bits=4, weight_noise=0.1),
        "plain": perceptron,
    }
    for name, make in makers.items():
        model, again = make(), make()
        train(model, 3)
        save(model, tmp_path / name)
        load_(again, tmp_path / name)
        assert train(again, 2) == train(model, 2)
        inputs = torch.randn(3, 12)
        assert torch.equal(again.eval()(inputs), model.eval()(inputs))


def test_a_model_on_two_chips_keeps_them_apart(tmp_path):
    def make() -> nn.Module:
        model = prune_(perceptron(), SimulatedChip(seed=1), where=lambda n, _: n == "0")
        where = lambda n, module: isinstance(module, nn.Linear)  # noqa: E731
        return prune_(model, SimulatedChip(seed=2), where=where)

    model, again = make(), make()
    train(model, 3)
    save(model, tmp_path / "model")
    load_(again, tmp_path / "model")
    assert {w.chip.seed for w in weights_of(again)} == {1, 2}
    assert train(again, 3) == train(model, 3)


def test_a_model_cast_to_half_is_saved_as_it_is(tmp_path):
    model, again = pruned().half(), pruned().half()
    save(model, tmp_path / "model")
    load_(again, tmp_path / "model")
    inputs = torch.randn(3, 12).half()
    assert torch.equal(again.eval()(inputs), model.eval()(inputs))
    with pytest.raises(SettingError, match=r"dtype is 'torch.float32' here, 'torch.float16' saved"):
        load_(pruned(), tmp_path / "model")


def test_packed_content_can_sit_beside_other_content_in_one_file(tmp_path):
    model, again = pruned(), pruned()
    train(model, 3)
    tensors, words = pack(model)
    beside = {f"model/{name}": tensor for name, tensor in tensors.items()}
    write_tensors(
        tmp_path / "file", {**beside, "step": torch.tensor(3)}, {"all": json.dumps(words)}
    )
    read, metadata = read_tensors(tmp_path / "file")
    own = {n.removeprefix("model/"): t for n, t in read.items() if n.startswith("model/")}
    unpack_(again, own, json.loads(metadata["all"]))
    assert train(again, 2) == train(model, 2)


# --- Refusals -------------------------------------------------------------------------------------

DIFFERENT = {
    "seed of the chip": (
        lambda: prune_(perceptron(), SimulatedChip(seed=1)),
        "seed is 1 here, 0 sav",
    ),
    "technology": (
        lambda: pruned(technology=QUIET),
        r"technology.read_noise is 0.0 here, 0.02 sav",
    ),
    "name of it": (lambda: pruned(technology="ideal"), r"technology.name is 'ideal' here"),
    "forming": (
        lambda: prune_(perceptron(), SimulatedChip(forming=FixedVoltage(0.5))),
        r"forming is 'FixedVoltage\(fraction=0.5",
    ),
    "macro": (
        lambda: prune_(perceptron(), SimulatedChip(geometry=Geometry(64, 64))),
        "geometry.rows is 64 here, 512 saved",
    ),
    "macros": (
        lambda: prune_(perceptron(), SimulatedChip(macros=2)),
        "macros is 2 here, None saved",
    ),
    "placement": (
        lambda: pruned(nn.Sequential(nn.Linear(12, 23), nn.ReLU(), nn.Linear(23, 4))),
        r"regions\[0\].shape is \[4, 23\] here, \[4, 24\] saved",
    ),
    "another architecture": (
        lambda: pruned(nn.Sequential(*perceptron(), nn.ReLU(), nn.Linear(4, 4))),
        "kinds.4.weight is 'PrunedWeight' here, absent saved",
    ),
    "a norm more": (
        lambda: pruned(nn.Sequential(*perceptron(), nn.BatchNorm1d(4))),
        "3.weight is .* absent saved",
    ),
    "grain": (lambda: pruned(grain="cell"), "grain is 'cell' here, 'pair' saved"),
    "seed of the noise": (
        lambda: prune_(perceptron(), SimulatedChip(), seed=5),
        "seed is 5 here, 0",
    ),
    "circuit": (lambda: pruned(circuit=ReadPerProduct()), "circuit is .ReadPerProduct"),
    "rule": (lambda: pruned(rule=TopK(dead_band=0.1)), "rule is .TopK.*dead_band=0.1"),
    "interval": (lambda: pruned(interval=2), "interval is 2 here, 1 saved"),
    "schedule": (lambda: pruned(schedule=Annealed(3)), r"schedule is 'Annealed\(updates=3\)' here"),
    "share": (lambda: pruned(keep_fraction=0.4), r"keep_fraction is \[0.4, 0.4\] here, \[0.5"),
    "converters": (lambda: pruned(input_bits=4), "kinds.0.converter is 'InputConverter' here"),
    "bits": (lambda: pruned(input_bits=3), "input_bits is 3 here, 4 saved"),
    "a digital model": (perceptron, "kinds.0.weight is absent here, 'PrunedWeight' saved"),
    "a programmed model": (
        lambda: program_(perceptron(), SimulatedChip()),
        "kinds.0.weight is 'ProgrammedWeight' here",
    ),
}


@pytest.mark.parametrize("name", DIFFERENT)
def test_a_model_or_chip_that_differs_is_refused_by_name_and_stays_as_it_is(tmp_path, name):
    make, words = DIFFERENT[name]
    model = pruned(input_bits=4 if name == "bits" else None)
    train(model, 2)
    save(model, tmp_path / "model.safetensors")
    other = make()
    before = {n: v.clone() for n, v in other.state_dict().items()}
    cells = conductances(other) if pruned_weights(other) else None
    with pytest.raises(SettingError, match=words) as refusal:
        load_(other, tmp_path / "model.safetensors")
    assert "model.safetensors" in str(refusal.value)
    assert all(torch.equal(other.state_dict()[n], v) for n, v in before.items())
    assert cells is None or torch.equal(conductances(other), cells)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_a_truncated_file_is_refused(tmp_path, share):
    path = tmp_path / "model"
    save(pruned(), path)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(FileError, match="model"):
        load_(pruned(), path)


def test_files_of_other_programs_and_missing_ones_are_refused(tmp_path):
    (tmp_path / "words").write_text("not a model")
    torch.save(pruned().state_dict(), tmp_path / "torch")
    write_tensors(tmp_path / "foreign", {"weight": torch.ones(2)}, {"format": "pt"})
    write_tensors(tmp_path / "newer", {"a": torch.ones(2)}, {"secateur.model": '{"version": 99}'})
    write_tensors(tmp_path / "bare", {"a": torch.ones(2)}, {"secateur.model": '{"version": 1}'})
    for name in ("words", "torch", "foreign", "newer", "bare", "missing"):
        with pytest.raises(FileError, match=name):
            load_(pruned(), tmp_path / name)


def test_a_file_without_the_chip_is_refused(tmp_path):
    tensors, words = pack(pruned())
    for lost in ("chip/", "network/0.bias", "chip/0/conductance"):
        rest = {n: t for n, t in tensors.items() if not n.startswith(lost)}
        with pytest.raises((FileError, SettingError)):
            unpack_(pruned(), rest, words)


def test_a_kill_or_a_full_disk_leaves_the_file_that_was_there(tmp_path, monkeypatch):
    path = tmp_path / "model"
    model = pruned()
    save(model, path)
    before = path.read_bytes()
    train(model, 2)

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(FileError, match=r"No space left on device.*model"):
        save(model, path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(FileError):
        save(model, tmp_path / "fresh")
    assert list(tmp_path.iterdir()) == [path]


def test_state_that_is_no_tensor_cannot_be_saved(tmp_path):
    class Worded(nn.Module):
        def get_extra_state(self):
            return {"words": 1}

    with pytest.raises(ModelError, match="no tensor"):
        save(nn.Sequential(Worded()), tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


# --- The chip's part ------------------------------------------------------------------------------


def test_the_state_of_a_chip_is_a_copy():
    model = pruned()
    chip = chip_of(model)
    state = chip.state()
    expected = {name: tensor.clone() for name, tensor in state.tensors.items()}
    train(model, 3)
    assert all(torch.equal(state.tensors[name], tensor) for name, tensor in expected.items())
    reads = chip.ledger.reads
    chip.restore(state)
    assert chip.ledger.reads == int(expected["reads"]) != reads
    assert torch.equal(conductances(model), expected["conductance"])
    train(model, 1)
    assert torch.equal(state.tensors["conductance"], expected["conductance"])


def test_stuck_and_worn_cells_stay_stuck():
    worn = QUIET.with_values(endurance=3.0, endurance_spread=0.0)
    model, again = (pruned(Holder(nn.Linear(6, 4)), technology=worn) for _ in range(2))
    chip, region = chip_of(model), weights_of(model)[0].region
    cells = torch.arange(region.cells.start, region.cells.stop)
    for _ in range(4):
        chip.reset(cells)
        chip.set(cells)
    chip_of(again).restore(chip.state())
    after = []
    for one in (chip, chip_of(again)):
        one.reset(cells)
        after.append(one.conductance(region))
    assert torch.equal(*after)
    assert (after[0] > 5e-6).any()


def test_a_real_chip_keeps_its_own_state():
    class Board(SimulatedChip):
        """A chip that only pulses can change."""

        saves = False
        state, restore = Chip.state, Chip.restore

    model = prune_(perceptron(), Board())
    tensors, words = pack(model)
    assert not any(name.startswith("chip/") for name in tensors)
    train(model, 2)
    cells = conductances(model)
    unpack_(model, tensors, words)
    assert torch.equal(conductances(model), cells)
    with pytest.raises(ChipError, match="real chip"):
        chip_of(model).restore(SimulatedChip().state())


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such permissions")
@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o007, 0o660)])
def test_others_may_read_a_model_as_any_file_of_its_owner(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        save(pruned(), tmp_path / "model.safetensors")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "model.safetensors").stat().st_mode) == mode


def test_what_was_there_stays_where_a_model_cannot_be_written(tmp_path, monkeypatch):
    model, path = pruned(), tmp_path / "model.safetensors"
    save(model, path)
    before = path.read_bytes()

    def fill_the_disk(tensors, name, metadata):
        Path(name).write_bytes(before[:100])
        raise SafetensorError("I/O error: No space left on device")

    monkeypatch.setattr("secateur.network.tensor_file.save_file", fill_the_disk)
    with pytest.raises(FileError, match=r"No space left on device.*full disk.*unharmed"):
        save(model, path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["model.safetensors"]
