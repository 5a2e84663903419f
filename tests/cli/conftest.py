"""The command line as tests call it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from secateur.cli.main import app

Call = Callable[..., Any]


@pytest.fixture
def secateur(monkeypatch: pytest.MonkeyPatch) -> Call:
    """Calls `secateur` with these words, in this process, as without a terminal."""
    monkeypatch.setenv("NO_COLOR", "1")
    return lambda *words: CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
