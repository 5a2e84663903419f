"""Starting is cheap: what takes seconds to import is imported by whoever needs it."""

import subprocess
import sys

import pytest
import torch

from secateur.uncompiled import uncompiled

HEAVY = ("torch._dynamo", "sympy", "sklearn", "scipy.stats", "matplotlib")
MONTE_CARLO = "import sys, secateur.experiment.monte_carlo; print(*sys.modules)"


def test_what_measures_a_finished_network_imports_neither_a_compiler_nor_statistics() -> None:
    done = subprocess.run(
        [sys.executable, "-c", MONTE_CARLO], capture_output=True, text=True, check=True
    )
    assert not {*HEAVY} & {*done.stdout.split()}


@pytest.mark.filterwarnings("ignore")
def test_what_is_left_alone_gives_the_same_and_keeps_its_name() -> None:
    seen = []

    def noted(inputs: torch.Tensor, *, twice: bool) -> torch.Tensor:
        """Doubles."""
        seen.append(torch.compiler.is_compiling())
        return 2 * inputs if twice else inputs

    alone = uncompiled(noted)
    compiled = torch.compile(lambda inputs: alone(inputs + 1.0, twice=True) + 1.0, backend="eager")
    assert torch.equal(compiled(torch.ones(3)), torch.full((3,), 5.0))
    assert torch.equal(alone(torch.ones(3), twice=False), torch.ones(3))
    assert (alone.__name__, alone.__doc__) == ("noted", "Doubles.")
    # Called as it is, with the compiler and without it.
    assert seen == [False, False]
