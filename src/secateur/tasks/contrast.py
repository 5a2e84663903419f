"""Evening out a picture's light: grey conversion, equalisation by tiles, gamma, standardisation."""

import numpy as np
from numpy.typing import NDArray

from secateur.errors import SettingError, nearest

Picture = NDArray[np.float64]
Field = NDArray[np.bool_]

# What is kept of red, green and blue. Vessels stand out most in green; grey is ITU-R BT.601's luma.
CHANNELS = {"green": (0.0, 1.0, 0.0), "grey": (0.299, 0.587, 0.114)}
_LEVELS = 256


def grey_of(colours: NDArray[np.uint8], *, channel: str) -> Picture:
    """One number a pixel.

    Args:
        colours: (H, W, 3) bytes.
        channel: "green" or "grey".

    Returns:
        (H, W), from 0 to 255.

    Raises:
        SettingError: for another channel.
    """
    if channel not in CHANNELS:
        raise SettingError(f"channel is {channel!r}", remedy=nearest(channel, CHANNELS))
    return np.asarray(colours @ np.asarray(CHANNELS[channel]))


def stretched(picture: Picture, *, field: Field) -> Picture:
    """Darkest pixel of the field to 0, brightest to 1; 0 outside.

    Args:
        picture: (H, W).
        field: (H, W), the pixels that count.
    """
    inside = picture[field]
    low, high = inside.min(), inside.max()
    return np.where(field, (picture - low) / max(high - low, np.finfo(np.float64).tiny), 0.0)


def equalised(picture: Picture, *, field: Field, tiles: int, clip_limit: float) -> Picture:
    """Contrast-limited adaptive histogram equalisation (CLAHE).

    Zuiderveld, "Contrast limited adaptive histogram equalization", Graphics Gems IV (1994): each
    tile maps its grey levels to their ranks, no level's share counting for more than `clip_limit`
    times the mean share, the excess being dealt out evenly; between the tiles' centres the mappings
    are interpolated. A level's rank is the share below it and half its own, so that a tile with as
    many pixels of every level maps each level to itself.

    Args:
        picture: (H, W) from 0 to 1.
        field: (H, W), the pixels that count; others are mapped too. A tile without any maps each
            level to itself.
        tiles: along each side.
        clip_limit: 1 and more; infinite for no limit.

    Returns:
        (H, W), strictly between 0 and 1.

    Raises:
        SettingError: for less than one tile or limit, or a picture that leaves [0, 1].
    """
    if tiles < 1 or not clip_limit >= 1.0:
        raise SettingError(
            f"CLAHE with {tiles} tiles and clip limit {clip_limit}", remedy="Give 1 or more of each"
        )
    if picture.min() < 0.0 or picture.max() > 1.0:
        raise SettingError("CLAHE is for pictures from 0 to 1", remedy="Stretch the picture first")
    levels = np.minimum((picture * _LEVELS).astype(np.int64), _LEVELS - 1)
    ranks = _ranks(levels, field, tiles, clip_limit)
    rows, columns = (_between(length, tiles) for length in picture.shape)
    found = np.zeros_like(picture)
    for row, row_share in rows:
        for column, column_share in columns:
            tile = row[:, None] * tiles + column
            found += row_share[:, None] * column_share * ranks[tile, levels]
    return found


def _ranks(levels: NDArray[np.int64], field: Field, tiles: int, limit: float) -> Picture:
    """Rank of every level in every tile (tiles x tiles, levels)."""
    row, column = (np.arange(length) * tiles // length for length in levels.shape)
    bins = (row[:, None] * tiles + column) * _LEVELS + levels
    counts = np.bincount(bins[field], minlength=tiles**2 * _LEVELS).reshape(-1, _LEVELS)
    total = counts.sum(axis=1, keepdims=True)
    share = np.where(total > 0, counts / np.maximum(total, 1), 1.0 / _LEVELS)
    clipped = np.minimum(share, limit / _LEVELS)
    clipped += (1.0 - clipped.sum(axis=1, keepdims=True)) / _LEVELS
    return np.asarray(clipped.cumsum(axis=1) - 0.5 * clipped)


def _between(length: int, tiles: int) -> list[tuple[NDArray[np.int64], Picture]]:
    """For each pixel along a side the two tiles whose centres enclose it, and their shares."""
    place = (np.arange(length) + 0.5) * tiles / length - 0.5
    below = np.floor(place).astype(np.int64)
    share = place - below
    pair = ((below, 1.0 - share), (below + 1, share))
    return [(np.clip(tile, 0, tiles - 1), weight) for tile, weight in pair]


def brightened(picture: Picture, *, gamma: float) -> Picture:
    """picture ** (1 / gamma): above 1, dark parts are spread and bright ones pushed together.

    Args:
        picture: from 0 to 1.
        gamma: positive.
    """
    return np.asarray(picture ** (1.0 / gamma))


def standardised(picture: Picture, *, field: Field) -> Picture:
    """Mean 0 and standard deviation 1 over the field; 0, its mean, outside.

    Args:
        picture: (H, W).
        field: (H, W), the pixels that count.
    """
    inside = picture[field]
    spread = max(inside.std(), np.finfo(np.float64).tiny)
    return np.where(field, (picture - inside.mean()) / spread, 0.0)
