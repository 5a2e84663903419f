"""Settings that all tests share: one thread, and examples that are the same in every run."""

import pytest
import torch
from hypothesis import settings

pytest.register_assert_rewrite("secateur.testing.chip", "secateur.testing.rule")
torch.set_num_threads(1)
settings.register_profile("house", deadline=None, derandomize=True, database=None, max_examples=60)
settings.load_profile("house")
