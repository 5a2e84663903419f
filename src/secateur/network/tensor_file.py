"""Tensors and words in one safetensors file, whole or not there; loading executes nothing."""

import stat
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from secateur.errors import FileError
from secateur.files import whole


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Writes beside the file's place, then moves it there: a kill leaves the old one or the new.

    Raises:
        FileError: where it cannot be written, for instance on a full disk.
    """
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with whole(path) as partial:
        try:
            partial.touch()
            mode = stat.S_IMODE(partial.stat().st_mode)
            # From where the tensors are: no second copy of them in memory. Its file is for its
            # owner alone, whatever the umask says.
            save_file(plain, partial, dict(metadata))
            partial.chmod(mode)
        except SafetensorError as error:
            raise OSError(str(error)) from error


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors and metadata of a file.

    Raises:
        FileError: for a file that is missing, truncated or not safetensors.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            return {name: file.get_tensor(name) for name in file.keys()}, metadata  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise FileError(
            f"Not a readable safetensors file: {error}", where=str(path),
            cause="the file is truncated, or another program wrote it",
            remedy="Give a file that secateur has saved",
        ) from error  # fmt: skip
