"""Settings that all tests share: one thread, and examples that are the same in every run."""

import pytest
import torch
from hypothesis import settings

pytest.register_assert_rewrite("secateur.testing.chip", "secateur.testing.rule")
torch.set_num_threads(1)
settings.register_profile("house", deadline=None, derandomize=True, database=None, max_examples=60)
settings.load_profile("house")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """More time for those that train: a fixture counts as its first test, and one takes 40 min."""
    for item in items:
        if item.get_closest_marker("slow"):
            item.add_marker(pytest.mark.timeout(5000))
