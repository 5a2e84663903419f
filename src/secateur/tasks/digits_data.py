"""Handwritten digits, 8 x 8, that come with scikit-learn: no download."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from secateur.tasks.data import Data, Split, stratified

CLASSES = tuple("0123456789")
_HELD_OUT = 0.2  # of each class, for validation and again for test
_BRIGHTEST = 16.0


def load_digits() -> Data[Split]:
    """The 1 797 digits: 1 079 for training, 359 for validation, 359 for test.

    A fifth of each class (rounded) goes to validation and a fifth to test, the same in every run.
    The file does not tell its 13 writers apart, so every split has digits of all of them: figures
    are for known hands.

    Returns:
        Inputs (N, 1, 8, 8), float32 from 0 (paper) to 1 (full ink, 16 in the file); targets (N,).
    """
    table = bundled_table()
    pictures = torch.from_numpy(table[:, :-1]).to(torch.float32).view(-1, 1, 8, 8)
    inputs, targets = pictures.div_(_BRIGHTEST), torch.from_numpy(table[:, -1]).to(torch.int64)
    fifths = [round(_HELD_OUT * int(count)) for count in torch.bincount(targets)]
    validation, test, training = stratified(
        targets, [[fifth, fifth] for fifth in fifths], name="digits 1"
    )
    return Data(
        training=Split(inputs[training], targets[training]),
        validation=Split(inputs[validation], targets[validation]),
        test=Split(inputs[test], targets[test]),
    )


def bundled_table() -> NDArray[np.float64]:
    """Pixels and class of each digit, (1797, 65), from scikit-learn's file of them.

    Its loader takes a hundred times longer to be imported, and is asked where there is no file.
    """
    found = find_spec("sklearn")
    path = Path(str(found and found.origin)).parent / "datasets/data/digits.csv.gz"
    if path.is_file():
        return np.loadtxt(path, delimiter=",")
    from sklearn.datasets import load_digits as load_bundled

    bundled = load_bundled()
    return np.column_stack([bundled.data, bundled.target])
