"""Settings that all tests share: one thread, and examples that are the same in every run."""

import pytest
import torch
from hypothesis import settings

pytest.register_assert_rewrite("secateur.testing.chip", "secateur.testing.rule")
torch.set_num_threads(1)
settings.register_profile("house", deadline=None, derandomize=True, database=None, max_examples=60)
settings.load_profile("house")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest of those that train, run by the fixture of its first test, takes 40 minutes."""
    for item in items:
        if item.get_closest_marker("slow"):
            item.add_marker(pytest.mark.timeout(5000))
