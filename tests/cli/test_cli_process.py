"""The command as a process: start-up, streams, exit codes."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from secateur import __version__

HEAVY = ("torch", "numpy", "matplotlib", "sklearn", "joblib", "scipy")
ASK_HELP = f"""
import sys
from typer.testing import CliRunner
from secateur.cli.main import app
for words in ("--help", "run --help", "report -h", "technologies -h", "--version"):
    result = CliRunner().invoke(app, words.split())
    assert result.exit_code == 0, result.output
    assert "secateur" in result.output
found = sorted(set(sys.modules) & set({HEAVY!r}))
assert not found, f"help has imported {{found}}"
"""


# A command without the seconds that the real ones take to import torch.
PRINT_MUCH = """
import typer
from secateur.cli.command import Command
from secateur.cli.printing import show
app = typer.Typer()
app.command(cls=Command)(lambda: show("much " * 9999))
app()
"""


def _run(*words: str, **settings: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *words], check=False, text=True, timeout=60,
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **settings},
    )  # fmt: skip


def test_help_imports_nothing_heavy():
    done = _run("-c", ASK_HELP)
    assert done.returncode == 0, done.stderr


def test_the_module_is_the_command():
    done = _run("-m", "secateur", "--version")
    assert (done.returncode, done.stdout) == (0, f"secateur {__version__}\n")


def test_a_reader_who_leaves_the_pipe_is_no_error_message():
    reading, writing = os.pipe()
    os.close(reading)
    done = _run("-c", PRINT_MUCH, stdout=writing)
    os.close(writing)
    assert done.returncode == 1
    assert done.stderr == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_full_disk_is_named():
    with open("/dev/full", "w", encoding="utf-8") as full:
        done = _run("-c", PRINT_MUCH, stdout=full)
    assert done.returncode == 1
    assert done.stderr.startswith("secateur: The disk is full")
    assert done.stderr.count("\n") == 1


def test_a_terminal_without_the_signs_gets_substitutes():
    ascii_only = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = _run("-m", "secateur", "technologies", "taox-40nm", env=ascii_only)
    assert done.returncode == 0
    assert "?S" in done.stdout  # micro
