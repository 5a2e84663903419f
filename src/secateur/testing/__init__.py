"""Contracts that a new chip or topology rule must pass: subclass one, and let pytest run it.

    from secateur.testing import ChipContract

    class TestMyChip(ChipContract):
        def chip(self) -> Chip:
            return MyChip(...)

A chip of your own needs no class: `pytest --secateur-chip mylab.board:Chip`, see `plugin`. Needs
the extra `secateur[test]`. No room of secateur imports this one. For messages that show the
compared values, put `pytest.register_assert_rewrite("secateur.testing.chip")` into conftest.py.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from secateur.testing.chip import ChipContract
    from secateur.testing.rule import RuleContract

__all__ = ["ChipContract", "RuleContract"]


def __getattr__(name: str) -> Any:
    # On first use: pytest loads the plugin beside this file at every start, torch shall wait.
    if name not in __all__:
        raise AttributeError(f"module 'secateur.testing' has no attribute {name!r}")
    from importlib import import_module

    room = {"ChipContract": "chip", "RuleContract": "rule"}[name]
    return getattr(import_module(f"secateur.testing.{room}"), name)
