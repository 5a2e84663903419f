"""Accuracy and cost against size: rows of every size and arm, and a figure made of the record."""

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import scaling
from secateur.errors import SettingError
from secateur.tasks import TASKS, fashion_mnist
from secateur.tasks.fashion_mnist_data import arrange


@pytest.fixture
def pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few pictures of ten patterns in place of Fashion-MNIST."""
    draw = np.random.default_rng(0)
    patterns = draw.integers(0, 256, (10, 28, 28))

    def some(count: int) -> tuple[np.ndarray, np.ndarray]:
        labels = np.arange(count, dtype=np.uint8) % 10
        noisy = patterns[labels] + draw.integers(-40, 40, (count, 28, 28))
        return noisy.clip(0, 255).astype(np.uint8), labels

    def load(data, *, pooled=True, on_bytes=None):
        return arrange(*some(120), *some(40), pooled=pooled, validation_per_class=2)

    monkeypatch.setattr(fashion_mnist, "load_fashion_mnist", load)


def test_the_sizes_grow_from_ten_thousand_to_a_few_million() -> None:
    weights = []
    for size in scaling.SIZES:
        network = TASKS["fashion-mnist"].build(scaling.recipe_of(size, {}).network)
        weights.append(sum(p.numel() for p in network.parameters() if p.dim() > 1))
    assert weights == sorted(weights)
    assert 8_000 < weights[0] < 12_000
    assert 2_000_000 < weights[-1] < 6_000_000


def test_a_run_makes_rows_and_a_figure_and_goes_on_where_it_was(
    pictures: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # One core, one process: this one, which has the made-up pictures.
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    settings = {"training.epochs": 1, "training.batch_size": 20, "run.chips": 1}
    sizes = [{"width": 0.05, "depth": 2}, {"width": 0.1, "hidden_width": 2.0, "depth": 3}]
    asked = {"sizes": sizes, "settings": settings, "data": None, "command": "made here"}
    record = scaling.run(tmp_path, **asked)
    assert [(row["arm"], row["depth"]) for row in record["rows"]] == [
        (arm, depth) for depth in (2, 3) for arm in scaling.ARMS
    ]
    assert json.loads((tmp_path / "scaling.json").read_text()) == record
    small, large = record["rows"][1], record["rows"][4]
    assert small["weights"] < large["weights"]
    assert small["inference_J"] < large["inference_J"]
    assert small["programming_J"] < large["programming_J"]
    assert record["rows"][0]["programming_J"] is None
    figure = scaling.figure_of(record)
    accuracy, energy = figure.axes
    assert {text.get_text() for text in accuracy.get_legend().get_texts()} == {
        "digital, quantised", "pruned pairs", "pruned cells"
    }  # fmt: skip
    drawn = {tuple(line.get_xdata()) for line in energy.get_lines()}
    assert drawn == {(small["weights"], large["weights"])}
    again = scaling.run(tmp_path, **asked)
    assert again["rows"] == record["rows"]


def test_a_network_for_images_of_another_side_is_refused(pictures: None) -> None:
    network = TASKS["fashion-mnist"].build({"side": 28, "width": 0.1})
    data = TASKS["fashion-mnist"].load(None, {"pooled": True})
    with pytest.raises(SettingError, match=r"28 pixels, these have 14.*network\.side"):
        network(data.test.inputs)
