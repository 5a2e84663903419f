"""Eyes made up: a bright disc with dark vessels, in files as DRIVE's owners lay them out."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

WIDTH, HEIGHT = 565, 584
PARTS = {"training": range(21, 41), "test": range(1, 21)}


def paths(part: str, number: int) -> tuple[str, str, str]:
    return (
        f"{part}/images/{number:02d}_{part}.tif",
        f"{part}/1st_manual/{number:02d}_manual1.gif",
        f"{part}/mask/{number:02d}_{part}_mask.gif",
    )


def eye(number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Colours, vessels and field of view; every number has vessels of its own."""
    draw = np.random.default_rng(number)
    disc, tree = (Image.new("L", (WIDTH, HEIGHT)) for _ in range(2))
    ImageDraw.Draw(disc).ellipse((12, 22, WIDTH - 12, HEIGHT - 22), fill=255)
    for _ in range(12):
        ends = draw.integers(100, 460, 4).tolist()
        ImageDraw.Draw(tree).line(ends, fill=255, width=int(draw.integers(2, 6)))
    field, vessels = (np.asarray(image) > 0 for image in (disc, tree))
    green = np.where(field, 120.0 - 30.0 * vessels + draw.normal(0.0, 4.0, field.shape), 2.0)
    colours = np.stack([1.4 * green, green, 0.5 * green], axis=2).round().astype(np.uint8)
    return colours, vessels, field


def black_and_white(flags: np.ndarray) -> Image.Image:
    return Image.fromarray(np.where(flags, 255, 0).astype(np.uint8))


def write_eye(folder: Path, part: str, number: int) -> None:
    colours, vessels, field = eye(number)
    files = (Image.fromarray(colours), black_and_white(vessels), black_and_white(field))
    for name, image in zip(paths(part, number), files, strict=True):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        image.save(folder / name)
