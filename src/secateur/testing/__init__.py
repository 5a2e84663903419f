"""Contracts that a new chip or topology rule must pass: subclass one, and let pytest run it.

    from secateur.testing import ChipContract

    class TestMyChip(ChipContract):
        def chip(self) -> Chip:
            return MyChip(...)

Needs the extra `secateur[test]`. No room of secateur imports this one. For messages that show the
compared values, put `pytest.register_assert_rewrite("secateur.testing")` into your conftest.py.
"""

from secateur.testing.chip import ChipContract
from secateur.testing.rule import RuleContract

__all__ = ["ChipContract", "RuleContract"]
