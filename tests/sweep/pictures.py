"""A folder of small pictures in three classes, and sweeps over it."""

from pathlib import Path

import numpy as np
from PIL import Image

from secateur.experiment.recipe import Recipe
from secateur.experiment.sweep import Plan, Space

NAMES = ("n01", "n02", "n03")


def write_pictures(place: Path) -> Path:
    draw = np.random.default_rng(0)
    for part, count in (("train", 6), ("val", 2)):
        for name in NAMES:
            (place / part / name).mkdir(parents=True)
            for n in range(count):
                pixels = draw.integers(0, 255, (40, 40, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(place / part / name / f"{n}.png")
    return place


def plan(*over: str, **settings) -> Plan:
    recipe = Recipe.parse(
        {"task": {"name": "imagenet-100", "side": 32, "validation_per_class": 2, "workers": 0},
         "run": {"arms": ["digital"]}, "network": {"width": 0.0625, "classes": 3},
         "training": {"epochs": 1, "batch_size": 6}}, where="test",
    )  # fmt: skip
    return Plan.of(recipe.with_settings(settings), Space.from_words(over))
