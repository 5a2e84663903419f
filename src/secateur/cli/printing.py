"""Output to stdout: tables for people, JSON for programs."""

import json
import sys
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console, RenderableType
from rich.table import Table

# Wide enough for any table: a file or a pipe has no edge to fold lines at.
_PIPE_WIDTH = 1000


def show(*parts: RenderableType) -> None:
    """Prints tables and text, folded to the terminal's width where there is one."""
    width = None if sys.stdout.isatty() else _PIPE_WIDTH
    console = Console(width=width, highlight=False)
    for part in parts:
        console.print(part, markup=False, soft_wrap=isinstance(part, str))


def show_json(content: Any) -> None:
    """Prints one JSON document."""
    sys.stdout.write(json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def table(*columns: str, numbers: tuple[str, ...] = ()) -> Table:
    """An empty table with a rule under its heading; columns of numbers are aligned right."""
    made = Table(
        box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold", show_edge=False
    )
    for name in columns:
        made.add_column(name, justify="right" if name in numbers else "left", overflow="fold")
    return made
