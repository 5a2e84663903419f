"""Figures obey the page: its colours, its letters, its width; maps are small and exact."""

import base64
import io
import re
import xml.etree.ElementTree as ET
from itertools import combinations

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from secateur.report import arms, palette, ramps
from secateur.report.drawing import NARROW_WIDTH, WIDE_WIDTHS, Frame, Plate, plate, style
from secateur.report.png import block_means, data_uri, to_levels


def draw(frame: Frame) -> Figure:
    figure = frame.figure(200)
    axes = style(figure.subplots())
    axes.plot([1, 2, 3], [1, 4, 9], "o-", color=palette.LEAF.light)
    axes.set_title("costs $5 & <up>")
    return figure


@pytest.fixture(scope="module")
def drawn() -> Plate:
    return plate("r0-test", draw, alt='a "curve" & more', caption="c", size="half")


def test_a_picture_is_drawn_for_both_widths(drawn: Plate) -> None:
    for svg, width in ((drawn.wide, WIDE_WIDTHS["half"]), (drawn.narrow, NARROW_WIDTH)):
        root = ET.fromstring(str(svg))
        assert root.attrib["viewBox"] == f"0 0 {width} 200"
        assert root.attrib["aria-label"] == 'a "curve" & more'
        assert root.attrib["role"] == "img"


def test_colours_are_left_to_the_style_sheet(drawn: Plate) -> None:
    assert "var(--leaf)" in drawn.wide
    assert "var(--muted)" in drawn.wide
    assert not {colour.light for colour in palette.COLOURS} & set(
        re.findall("#[0-9a-f]{6}", drawn.wide)
    )


def test_labels_stay_text_in_the_readers_own_font(drawn: Plate) -> None:
    assert "costs $5 &amp; &lt;up&gt;" in drawn.wide
    assert "font-family" not in drawn.wide


def test_nothing_leaks_into_the_page(drawn: Plate) -> None:
    assert "<style" not in drawn.wide
    assert "<metadata" not in drawn.wide
    ids = [set(re.findall(r' id="([^"]+)"', svg)) for svg in (drawn.wide, drawn.narrow)]
    assert ids[0]
    assert not ids[0] & ids[1]
    for svg, own in zip((drawn.wide, drawn.narrow), ids, strict=True):
        assert set(re.findall(r'(?:href="#|url\(#)([^")]+)', svg)) == own


def test_the_same_drawing_gives_the_same_bytes(drawn: Plate) -> None:
    again = plate("r0-test", draw, alt='a "curve" & more', caption="c", size="half")
    assert again == drawn


def luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("colour", [*palette.SERIES_COLOURS, palette.SET, palette.RESET])
def test_series_are_seen_on_both_papers(colour: palette.Colour) -> None:
    for face in ("light", "dark"):
        for paper in (palette.PAPER, palette.SURFACE):
            assert contrast(getattr(colour, face), getattr(paper, face)) >= 3


@pytest.mark.parametrize("colour", [palette.INK, palette.MUTED, palette.ACCENT])
def test_text_is_read_on_both_papers(colour: palette.Colour) -> None:
    for face in ("light", "dark"):
        for paper in (palette.PAPER, palette.SURFACE):
            assert contrast(getattr(colour, face), getattr(paper, face)) >= 4.5


def test_faces_are_distinct_so_that_each_finds_its_variable() -> None:
    assert len(palette.BY_LIGHT_FACE) == len(palette.COLOURS)
    for colour in palette.COLOURS:
        assert f"--{colour.name}:{colour.dark}" in palette.style_sheet()


def test_arms_are_told_apart_without_their_colour() -> None:
    for (one, a), (other, b) in combinations(arms.LOOKS.items(), 2):
        assert (a.marker, a.dash) != (b.marker, b.dash), (one, other)


# Viénot, Brettel, Mollon 1999: RGB as seen without the M cones, in linear light.
WITHOUT_GREEN_CONES = np.array(
    [[0.29275, 0.70725, 0], [0.29275, 0.70725, 0], [-0.02234, 0.02234, 1]]
)


def seen_by_a_deuteranope(colour: str) -> np.ndarray:
    srgb = np.array([int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)])
    return np.clip(WITHOUT_GREEN_CONES @ srgb**2.2, 0, 1) ** (1 / 2.2)


def test_the_main_arms_differ_to_colour_blind_eyes() -> None:
    main = ("digital-quantised", "programmed", *arms.GRAINS)
    for face in ("light", "dark"):
        seen = [seen_by_a_deuteranope(getattr(arms.LOOKS[arm].colour, face)) for arm in main]
        for one, other in combinations(seen, 2):
            assert np.linalg.norm(one - other) > 0.12


def test_an_arm_unheard_of_has_a_look_and_keeps_it() -> None:
    assert arms.look_of("melted") == arms.look_of("melted")
    assert "<svg" in arms.swatch("melted")


def decoded(uri: str) -> np.ndarray:
    return np.round(255 * imread(io.BytesIO(base64.b64decode(uri.partition(",")[2])), "png"))


def test_a_map_keeps_every_cell() -> None:
    levels = np.random.default_rng(0).integers(0, 3, (7, 5)).astype(np.uint8)
    colours = [(0, 0, 0, 0), (255, 10, 20, 128), (1, 2, 3, 255)]
    assert np.array_equal(decoded(data_uri(levels, colours)), np.array(colours)[levels])


def test_levels_are_equal_steps_and_the_ends_take_the_rest() -> None:
    values = np.array([[-5.0, 0.0, 0.24, 0.26, 0.99, 1.0, 7.0, np.nan]])
    assert to_levels(values, 0, 1, 4).tolist() == [[0, 0, 0, 1, 3, 3, 3, 0]]


def test_block_means_keep_the_mean_of_whole_blocks() -> None:
    values = np.arange(24.0).reshape(4, 6)
    assert np.array_equal(block_means(values, 4, 6), values)
    assert np.allclose(block_means(values, 2, 3), [[3.5, 5.5, 7.5], [15.5, 17.5, 19.5]])
    uneven = block_means(values[:, :5], 4, 2)
    assert uneven.shape == (4, 2)
    assert np.allclose(uneven[0], [1.0, 3.5])


def test_scales_are_transparent_at_zero() -> None:
    assert ramps.veil(palette.ACCENT)[0][3] == 0
    assert ramps.glow(palette.OCHRE, palette.ORCHID)[0][3] == 0
    both = ramps.diverging(palette.RESET, palette.SET)
    assert len(both) == ramps.STEPS + 1
    assert both[len(both) // 2][3] == 0
    assert both[0][3] == both[-1][3] == 255
