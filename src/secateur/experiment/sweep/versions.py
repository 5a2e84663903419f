"""One sweep, one set of versions: mixed ones would mix figures that differ in their last bits."""

from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from sys import version_info

from secateur.errors import SettingError

# What computes figures, and what carries trials from process to process.
COMPARED = ("secateur", "torch", "numpy", "scipy", "joblib", "dask", "distributed", "ray", "optuna")


def versions_here(packages: Sequence[str]) -> dict[str, str]:
    """Versions of Python and of installed packages; those that are not there are left out."""
    found = {"python": f"{version_info[0]}.{version_info[1]}"}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def refuse_mixed(here: Mapping[str, str], there: Mapping[str, str], *, where: str) -> None:
    """Refuses a worker whose versions are not those of the process that began the sweep.

    Args:
        here: versions of the beginning process.
        there: of the worker.
        where: the worker's name.

    Raises:
        SettingError: with every difference.
    """
    different = [
        f"{name} {here[name]} here and {there.get(name, 'missing')} there"
        for name in here
        if here[name] != there.get(name)
    ]
    if different:
        raise SettingError(
            f"This worker has other versions: {', '.join(different)}", where=where,
            cause="another environment, or a worker started before an upgrade",
            remedy="Start the workers from the environment that runs `secateur sweep`",
        )  # fmt: skip
