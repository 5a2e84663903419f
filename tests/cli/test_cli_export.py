"""A saved chip as a netlist: a circuit simulator finds the currents that the model computes."""

import json
import re
import shutil
import subprocess

import pytest
import torch
from torch import nn

from secateur.chip import Geometry, SimulatedChip
from secateur.circuit import Ideal, Wired
from secateur.network import prune_, pruned_weights, read_chip, save

OHMS = {"input_line_resistance": 3.0, "output_line_resistance": 2.0, "sense_resistance": 15.0}
WORDS = [
    w for name, ohms in OHMS.items() for w in (f"--{name.replace('_', '-')}", str(ohms))
]  # fmt: skip


@pytest.fixture
def model(empty):
    """Two weights on small macros, saved to model.safetensors."""
    chip = SimulatedChip("taox-40nm", seed=2, geometry=Geometry(rows=16, columns=20))
    network = nn.Sequential(nn.Linear(22, 6), nn.ReLU(), nn.Linear(6, 3))
    prune_(network, chip, circuit=Wired(Ideal(), **OHMS))
    save(network.eval(), "model.safetensors")
    return network


def test_the_file_has_the_chips_cells_in_their_places(model):
    saved = read_chip("model.safetensors")
    for name, weight in pruned_weights(model).items():
        assert saved.regions[name] == weight.region
        for tile in weight.region.tiles:
            macro = weight.chip.macro_map(tile.macro, "conductance")
            assert torch.equal(saved.array(tile), macro[tile.row : tile.row + tile.rows])


@pytest.mark.skipif(shutil.which("ngspice") is None, reason="ngspice is not installed")
@pytest.mark.parametrize("tile", [0, 1])
def test_ngspice_finds_the_currents_of_the_models_weights(secateur, model, tile):
    name = "0.weight"
    result = secateur(
        "chip", "export", "model.safetensors", "--weight", name, "--tile", tile, "--voltage",
        "0.25", "--out", "a.cir", "--json", *WORDS,
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    told = json.loads(result.stdout)
    printed = subprocess.run(
        ["ngspice", "-b", "a.cir"], capture_output=True, text=True, check=True
    ).stdout
    found = {int(n): float(x) for n, x in re.findall(r"i\(vsense(\d+)\) = (\S+)", printed)}
    lines = torch.tensor([found[n] for n in range(told["first_line"], told["last_line"] + 1)])
    weight = pruned_weights(model)[name]
    part = weight.region.tiles[tile]
    seen = weight().weight.detach().T[part.first_input : part.first_input + part.rows]
    expected = 0.25 * seen.sum(dim=0)[part.first_output : part.first_output + part.pair_columns]
    torch.testing.assert_close(
        (lines[::2] - lines[1::2]) * float(weight.gain), expected, rtol=1e-4, atol=1e-5
    )


def test_without_words_the_first_weight_is_written_at_the_read_voltage(secateur, model, empty):
    result = secateur("chip", "export", "model.safetensors")
    assert result.exit_code == 0, result.stderr
    name = next(iter(read_chip("model.safetensors").regions))
    text = (empty / f"{name}-0.cir").read_text()
    volts = read_chip("model.safetensors").technology["read_voltage"]
    assert f"Vin1 in1 0 {volts:.17g}" in text
    assert f"{name} is on Vsense" in result.stdout


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["missing.safetensors"], "missing.safetensors"),
        (["model.safetensors", "--weight", "0.wieght"], "0.weight"),
        (["model.safetensors", "--tile", "7"], "no tile 7"),
        (["model.safetensors", "--input-line-resistance", "-1"], "-1.0 ohms"),
    ],
)
def test_what_cannot_be_exported_is_refused_in_words(secateur, model, words, told):
    result = secateur("chip", "export", *words)
    assert result.exit_code != 0
    assert told in result.stderr
    assert "Traceback" not in result.stderr


def test_a_digital_model_has_no_cells(secateur, empty):
    save(nn.Sequential(nn.Linear(3, 2)), "plain.safetensors")
    result = secateur("chip", "export", "plain.safetensors")
    assert result.exit_code != 0
    assert "no cells of a chip" in result.stderr
